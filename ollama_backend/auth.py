"""Checks keys in constant time, and identifies callers by key and address."""

import hashlib
import hmac
import ipaddress
import secrets
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from ollama_backend.errors import RateLimited, Unauthorized
from ollama_backend.key_throttle import KeyThrottle

KEYS_IN_A_REQUEST = 4  # each header once, and a socket's subprotocol in two spellings
ADDRESS_CHARACTERS = 64  # more than any address has
HOP_BYTES = ADDRESS_CHARACTERS + 2  # with a comma and a space
KEPT_ADDRESSES = 4096  # parsing one takes longer than checking a key
WRONG_KEY = "The key is wrong. Send the one that this server's owner gave you."
TOO_MANY_WRONG_KEYS = "Too many wrong keys from this address. Wait a few seconds."
NO_KEY = "A key is needed. Send it as `Authorization: Bearer KEY` or as `X-API-Key: KEY`."

Headers = Sequence[tuple[bytes, bytes]]


class Caller(NamedTuple):
    """A key's fingerprint (empty without a key) and an address: the unit for the rate limit and fair queueing.

    For IPv6 the address is the network, because a subscriber can use every address in it.
    """

    key: str
    address: str

    @property
    def fingerprint(self) -> str:
        """12 hex digits that identify this caller in the log, without revealing key or address."""
        return _caller_fingerprint(*self)


def generate_key() -> str:
    """Return a new key: 32 random bytes as URL-safe text."""
    return secrets.token_urlsafe(32)


def fingerprint(key: bytes) -> str:
    """Return 16 hex digits that identify a key without revealing it."""
    return hashlib.sha256(key).hexdigest()[:16]


UNKNOWN = Caller("", "")


@lru_cache(maxsize=KEPT_ADDRESSES)
def _caller_fingerprint(key: str, address: str) -> str:
    return fingerprint(f"{key}@{address}".encode())[:12]


class Keys:
    """The valid keys; there may be several, for rotation."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._keys = {key.encode(): fingerprint(key.encode()) for key in keys}
        if not self._keys:
            raise ValueError("at least one key is needed")

    def __repr__(self) -> str:
        return f"Keys({len(self._keys)})"

    def check(self, presented: Iterable[bytes]) -> str | None:
        """Return the fingerprint of the first presented key that is valid, or None.

        Compares every pair in constant time, so that the duration reveals nothing about a key.
        """
        found = None
        for candidate in presented:
            for key, name in self._keys.items():
                if hmac.compare_digest(candidate, key) and found is None:
                    found = name
        return found


def presented_keys(headers: Headers) -> list[bytes]:
    """Return the keys in `Authorization: Bearer KEY` and `X-API-Key: KEY`, without empty ones.

    On a private Space `Authorization` carries a Hugging Face token, so the key comes in `X-API-Key`.
    """
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
    """Return the address at position `trusted_proxies` from the right of `X-Forwarded-For`, or the peer's.

    Each trusted proxy appends the address it was called from. Entries further left come from the caller and may be
    forged. An entry that is not an address counts as the peer's: otherwise every invented word would be a new caller.
    """
    if trusted_proxies < 1:
        return parsed_address(peer) or peer
    lines = [value for name, value in headers if name.lower() == b"x-forwarded-for"]
    # Only the end counts, and the rest may be long: what is kept for each caller stays short.
    return _forwarded_address(b",".join(lines)[-trusted_proxies * HOP_BYTES :], peer, trusted_proxies)


@lru_cache(maxsize=KEPT_ADDRESSES)
def _forwarded_address(forwarded: bytes, peer: str, trusted_proxies: int) -> str:
    peer = parsed_address(peer) or peer
    hops = [hop.strip() for hop in forwarded.decode("latin-1").split(",") if hop.strip()]
    if not hops:
        return peer
    # With fewer hops than proxies, the first one is the closest to the caller.
    return parsed_address(hops[-trusted_proxies] if len(hops) >= trusted_proxies else hops[0]) or peer


def parsed_address(text: str) -> str | None:
    """Return an IP address in its canonical form, without port, brackets and zone; None for anything else.

    IPv4 mapped into IPv6 (`::ffff:192.0.2.1`, as dual-stack sockets report it) is returned as IPv4.
    """
    return _parsed_address(text.strip().strip('"')[:ADDRESS_CHARACTERS])


@lru_cache(maxsize=KEPT_ADDRESSES)
def _parsed_address(text: str) -> str | None:
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


@lru_cache(maxsize=KEPT_ADDRESSES)
def network(address: str) -> str:
    """Return the part of an address that identifies a subscriber: all of IPv4, the first 64 bits of IPv6.

    An IPv6 subscriber can use any of 2**64 addresses, and would have as many attempts at guessing a key.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    return address if parsed.version == 4 else str(ipaddress.ip_network((parsed, 64), strict=False))


class Gate:
    """Checks keys. Behind `trusted_proxies` proxies, the caller's address is taken from `X-Forwarded-For`."""

    def __init__(self, keys: Keys, trusted_proxies: int) -> None:
        self._keys = keys
        self._trusted_proxies = trusted_proxies
        self._throttle = KeyThrottle()

    def caller(self, headers: Headers, peer: str, *, keyless: bool = False) -> Caller:
        """Return the caller. Raises Unauthorized or RateLimited without a valid key, unless `keyless` is set."""
        address = network(client_address(headers, peer, self._trusted_proxies))
        try:
            return Caller(self._valid_key(headers, address), address)
        except (Unauthorized, RateLimited):
            if not keyless:
                raise
        return Caller("", address)

    def _valid_key(self, headers: Headers, address: str) -> str:
        """Return the fingerprint of the valid key. Raises Unauthorized or RateLimited."""
        presented = set(presented_keys(headers))
        if not presented:
            raise Unauthorized(NO_KEY)
        # Checked before the throttle: a visitor may share the address of a guesser, and comparing costs microseconds.
        if len(presented) <= KEYS_IN_A_REQUEST and (key := self._keys.check(presented)):
            return key
        request_id = next((value for name, value in headers if name == b"x-request-id"), b"")
        if wait := self._throttle.wrong(address, request_id):
            raise RateLimited(TOO_MANY_WRONG_KEYS, retry_after=wait)
        raise Unauthorized(WRONG_KEY)
