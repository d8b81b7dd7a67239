"""Keys, compared in constant time, and callers: a key together with an address."""

import hashlib
import hmac
import ipaddress
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ollama_backend.errors import RateLimited, Unauthorized
from ollama_backend.key_throttle import KeyThrottle

KEYS_IN_A_REQUEST = 4  # each header once, and a socket's subprotocol in two spellings
ADDRESS_CHARACTERS = 64  # more than any address has
WRONG_KEY = "The key is wrong. Send the one that this server's owner gave you."
TOO_MANY_WRONG_KEYS = "Too many wrong keys came from this address. Wait some seconds."
NO_KEY = "A key is needed. Send it as `Authorization: Bearer KEY` or as `X-API-Key: KEY`."

Headers = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Caller:
    """A key (its fingerprint, empty without one) at an address: the unit that line and rate limit count.

    Of an IPv6 address its network: whoever has one address of it has them all.
    """

    key: str
    address: str

    @property
    def fingerprint(self) -> str:
        """12 hex digits that name this caller in the log."""
        return fingerprint(f"{self.key}@{self.address}".encode())[:12]


def generate_key() -> str:
    """Return a new key: 32 random bytes as URL-safe text."""
    return secrets.token_urlsafe(32)


def fingerprint(key: bytes) -> str:
    """Return 16 hex digits that identify a key without revealing it."""
    return hashlib.sha256(key).hexdigest()[:16]


class Keys:
    """The keys that callers may present; several are valid at once, for rotation."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._keys = tuple(key.encode() for key in keys)
        if not self._keys:
            raise ValueError("at least one key is needed")

    def __repr__(self) -> str:
        return f"Keys({len(self._keys)})"

    def check(self, presented: Iterable[bytes]) -> str | None:
        """Return the fingerprint of the first presented key that is valid, or None.

        Every pair is compared, in constant time, so that the time taken reveals nothing about a key.
        """
        found = None
        for candidate in presented:
            for key in self._keys:
                if hmac.compare_digest(candidate, key) and found is None:
                    found = fingerprint(key)
        return found


def presented_keys(headers: Headers) -> list[bytes]:
    """Return the keys in `Authorization: Bearer KEY` and `X-API-Key: KEY`, as they came, without empty ones."""
    keys = []
    for name, value in headers:
        name = name.lower()
        if name == b"x-api-key":
            keys.append(value.strip())
        elif name == b"authorization":
            scheme, _, rest = value.strip().partition(b" ")
            if scheme.lower() == b"bearer":
                keys.append(rest.strip())
    return [key for key in keys if key]


def client_address(headers: Headers, peer: str, trusted_proxies: int) -> str:
    """Return the caller's address: that many from the right of `X-Forwarded-For`, else the peer's.

    Entries further left can be forged by the caller and are ignored. An entry that is no address, which no proxy writes
    of its own accord, counts as the peer: otherwise each invented word would be a new caller.
    """
    peer = parsed_address(peer) or peer
    if trusted_proxies < 1:
        return peer
    lines = [value.decode("latin-1") for name, value in headers if name.lower() == b"x-forwarded-for"]
    hops = [hop.strip() for hop in ",".join(lines).split(",") if hop.strip()]
    if not hops:
        return peer
    return parsed_address(hops[-trusted_proxies] if len(hops) >= trusted_proxies else hops[0]) or peer


def parsed_address(text: str) -> str | None:
    """Return an IP address in its one form, without port, brackets and zone; None for anything else.

    IPv4 written as IPv6 (`::ffff:192.0.2.1`, as sockets for both have it) is IPv4.
    """
    text = text.strip().strip('"')[:ADDRESS_CHARACTERS]
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def network(address: str) -> str:
    """Return the part of an address that one customer of a provider has: all of IPv4, the first 64 bits of IPv6."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    return address if parsed.version == 4 else str(ipaddress.ip_network((parsed, 64), strict=False))


class Gate:
    """Checks keys; behind `trusted_proxies` proxies the caller's address is taken from `X-Forwarded-For`."""

    def __init__(self, keys: Keys, trusted_proxies: int) -> None:
        self._keys = keys
        self._trusted_proxies = trusted_proxies
        self._throttle = KeyThrottle()

    def caller(self, headers: Headers, peer: str, *, keyless: bool = False) -> Caller:
        """Return the caller. Raises Unauthorized or RateLimited without a valid key, unless `keyless` ones may pass."""
        address = network(client_address(headers, peer, self._trusted_proxies))
        try:
            return Caller(self._valid_key(headers, address), address)
        except (Unauthorized, RateLimited):
            if not keyless:
                raise
        return Caller("", address)

    def _valid_key(self, headers: Headers, address: str) -> str:
        """Return the fingerprint of the valid one of the keys."""
        presented = set(presented_keys(headers))
        request_id = next((value for name, value in headers if name == b"x-request-id"), b"")
        if not presented:
            raise Unauthorized(NO_KEY)
        # First, whatever came before: a visitor may share the address of a guesser, and comparing costs microseconds.
        if len(presented) <= KEYS_IN_A_REQUEST and (key := self._keys.check(presented)):
            return key
        if wait := self._throttle.wrong(address, request_id):
            raise RateLimited(TOO_MANY_WRONG_KEYS, retry_after=wait)
        raise Unauthorized(WRONG_KEY)
