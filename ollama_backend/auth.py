"""Checks keys in constant time, and identifies callers by key and address."""

import hashlib
import hmac
import ipaddress
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import limits

from ollama_backend.errors import BackendError, RateLimited, Unauthorized

WRONG_KEYS = limits.parse("10/minute")  # lets people correct a typo, and slows guessing down
WRONG_KEY = "The key is wrong. Send the one that this server's owner gave you."
NO_KEY = "A key is needed. Send it as `Authorization: Bearer KEY` or as `X-API-Key: KEY`."

Headers = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Caller:
    """A key's fingerprint (empty without a key) and an address: the unit for the rate limit and fair queueing."""

    key: str
    address: str

    @property
    def fingerprint(self) -> str:
        """12 hex digits that identify this caller in the log, without revealing key or address."""
        return fingerprint(f"{self.key}@{self.address}".encode())[:12]


def generate_key() -> str:
    """Return a new key: 32 random bytes as URL-safe text."""
    return secrets.token_urlsafe(32)


def fingerprint(key: bytes) -> str:
    """Return 16 hex digits that identify a key without revealing it."""
    return hashlib.sha256(key).hexdigest()[:16]


class Keys:
    """The valid keys; there may be several, for rotation."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._keys = tuple(key.encode() for key in keys)
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
            for key in self._keys:
                if hmac.compare_digest(candidate, key) and found is None:
                    found = fingerprint(key)
        return found


def presented_keys(headers: Headers) -> list[bytes]:
    """Return the keys in `Authorization: Bearer KEY` and `X-API-Key: KEY`.

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
    return keys


def client_address(headers: Headers, peer: str, trusted_proxies: int) -> str:
    """Return the address at position `trusted_proxies` from the right of `X-Forwarded-For`, or the peer's.

    Each trusted proxy appends the address it was called from. Entries further left come from the caller and may be
    forged.
    """
    if trusted_proxies < 1:
        return peer
    lines = [value.decode("latin-1") for name, value in headers if name.lower() == b"x-forwarded-for"]
    hops = [hop.strip() for hop in ",".join(lines).split(",") if hop.strip()]
    if not hops:
        return peer
    # With fewer hops than proxies, the first one is the closest to the caller.
    return hops[-trusted_proxies] if len(hops) >= trusted_proxies else hops[0]


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
    """Checks keys. Behind `trusted_proxies` proxies, the caller's address is taken from `X-Forwarded-For`.

    After WRONG_KEYS from one network, further wrong keys get RateLimited instead of Unauthorized. Valid keys are always
    accepted, since several people may share an address.
    """

    def __init__(self, keys: Keys, trusted_proxies: int) -> None:
        self._keys = keys
        self._trusted_proxies = trusted_proxies
        self._wrong_keys = limits.strategies.MovingWindowRateLimiter(limits.storage.MemoryStorage())

    def caller(self, headers: Headers, peer: str, *, keyless: bool = False) -> Caller:
        """Return the caller. Raises Unauthorized or RateLimited without a valid key, unless `keyless` is set."""
        presented = presented_keys(headers)
        address = client_address(headers, peer, self._trusted_proxies)
        key = self._keys.check(presented)
        if key is None and not keyless:
            raise self._refusal(address) if presented else Unauthorized(NO_KEY)
        return Caller(key or "", address)

    def _refusal(self, address: str) -> BackendError:
        if self._wrong_keys.hit(WRONG_KEYS, network(address)):
            return Unauthorized(WRONG_KEY)
        return RateLimited("Too many wrong keys from this address. Try again in a minute.", retry_after=60)
