"""Keys and callers."""

import hmac

import pytest

from ollama_backend.auth import Caller, Gate, Keys, client_address, presented_keys
from ollama_backend.errors import BackendError, RateLimited, Unauthorized

BEARER = (b"Authorization", b"Bearer k1")


def test_both_headers_carry_a_key() -> None:
    """A key travels as a bearer token or as X-API-Key; the scheme's case does not matter, another scheme does."""
    headers = [(b"authorization", b"bearer  one "), (b"x-api-key", b" two"), (b"authorization", b"Basic three")]
    assert presented_keys(headers) == [b"one", b"two"]


def test_one_valid_header_is_enough() -> None:
    """A private Space spends Authorization on its own token."""
    gate = Gate(Keys(["k1", "k2"]), 0)
    caller = gate.caller([(b"authorization", b"Bearer hf_x"), (b"x-api-key", b"k2")], "1.2.3.4")
    assert caller.address == "1.2.3.4" and len(caller.key) == 16
    assert caller != gate.caller([BEARER], "1.2.3.4")


@pytest.mark.parametrize(
    "headers", [[], [(b"x-api-key", b"")], [(b"x-api-key", b"k")], [(b"x-api-key", "ké".encode())]]
)
def test_without_a_valid_key(headers: list[tuple[bytes, bytes]]) -> None:
    """Nothing else passes, and the message holds no key."""
    gate = Gate(Keys(["k1"]), 0)
    with pytest.raises(Unauthorized) as caught:
        gate.caller(headers, "")
    assert "k1" not in caught.value.message
    assert gate.caller(headers, "9.9.9.9", keyless=True) == Caller("", "9.9.9.9")


def test_every_key_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also after a hit, every configured key is compared, by `hmac.compare_digest`."""
    compared = []
    real = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: compared.append((a, b)) or real(a, b))
    assert Keys(["k1", "k2", "k3"]).check([b"k1"]) is not None
    assert compared == [(b"k1", b"k1"), (b"k1", b"k2"), (b"k1", b"k3")]


def test_keys_are_not_shown() -> None:
    """The representation tells how many there are."""
    assert repr(Keys(["secret"])) == "Keys(1)"


@pytest.mark.parametrize(
    ("forwarded", "proxies", "address"),
    [
        (["6.6.6.6, 1.1.1.1"], 0, "9.9.9.9"),
        (["6.6.6.6, 1.1.1.1"], 1, "1.1.1.1"),
        (["6.6.6.6", "1.1.1.1"], 1, "1.1.1.1"),
        (["6.6.6.6,\t5.5.5.5 ,, 1.1.1.1,"], 2, "5.5.5.5"),
        (["6.6.6.6"] * 500 + ["1.1.1.1"], 1, "1.1.1.1"),
        (["1.1.1.1"], 2, "1.1.1.1"),
        ([], 1, "9.9.9.9"),
        ([" , ,"], 1, "9.9.9.9"),
        (["6.6.6.6, 1.1.1.1:50412"], 1, "1.1.1.1"),
        (["6.6.6.6, [2001:db8::17]:443"], 1, "2001:db8::17"),
        (['6.6.6.6, "[2001:DB8:0:0::17]"'], 1, "2001:db8::17"),
        (["fe80::1%eth0"], 1, "fe80::1"),
        (["::ffff:1.1.1.1"], 1, "1.1.1.1"),
        (["6.6.6.6, unknown"], 1, "9.9.9.9"),
        (["6.6.6.6, _hidden"], 1, "9.9.9.9"),
        (["6.6.6.6, 1.1.1.1.1"], 1, "9.9.9.9"),
        (["6.6.6.6, ["], 1, "9.9.9.9"),
        (["6.6.6.6, \u00b2.1.1.1"], 1, "9.9.9.9"),
        (["x" * 60_000], 1, "9.9.9.9"),
    ],
)
def test_the_address_behind_proxies(forwarded: list[str], proxies: int, address: str) -> None:
    """Only as many entries from the right are believed as proxies stand in front; what is no address is the peer."""
    headers = [(b"X-Forwarded-For", line.encode("latin-1")) for line in forwarded]
    assert client_address(headers, "::ffff:9.9.9.9", proxies) == address


def test_a_caller_cannot_choose_its_address() -> None:
    """Whatever stands left of what the proxy appends, the caller is the same; an IPv6 caller is its network."""
    gate = Gate(Keys(["k1"]), 1)
    for own, named in (("203.0.113.7", "203.0.113.7"), ("2001:db8:1:2:3::9", "2001:db8:1:2::/64")):
        forged = ["", "8.8.8.8, ", "127.0.0.1, ::1, ", '"x", ', ", , ", "\xff, "]
        sent = [[BEARER, (b"x-forwarded-for", (start + own).encode("latin-1"))] for start in forged]
        assert {gate.caller(headers, "10.0.0.1").address for headers in sent} == {named}
    neighbours = [[BEARER, (b"x-forwarded-for", f"2001:db8:1:2::{n:x}".encode())] for n in range(50)]
    assert len({gate.caller(headers, "10.0.0.1") for headers in neighbours}) == 1


def outcome(gate: Gate, key: str, address: str, request_id: str = "") -> type[Exception] | None:
    """How a key from an address is taken: None when it is valid, else the error."""
    headers = [(b"x-api-key", key.encode()), (b"x-request-id", request_id.encode())]
    try:
        gate.caller(headers, address)
    except BackendError as exc:
        return type(exc)
    return None


@pytest.mark.parametrize(("address", "neighbour"), [("10.0.0.1", "10.0.0.2"), ("2001:db8::1", "2001:db8:0:1::1")])
def test_who_guesses_gets_a_handful_a_minute(address: str, neighbour: str) -> None:
    """Then each wrong key is one too many; a valid one always passes, also one that was never shown from there.

    Another address is not affected, nor who comes without a key.
    """
    gate = Gate(Keys(["right", "other"]), 0)
    outcomes = [outcome(gate, f"guess {n}", address) for n in range(1000)]
    assert outcomes.count(Unauthorized) == 10 and outcomes.count(RateLimited) == 990
    assert outcome(gate, "right", address) is None and outcome(gate, "other", address) is None
    assert outcome(gate, "guess", address) is RateLimited
    assert outcome(gate, "right", neighbour) is None and outcome(gate, "wrong", neighbour) is Unauthorized
    assert gate.caller([(b"x-api-key", b"guess")], address, keyless=True).key == ""
    with pytest.raises(Unauthorized, match="A key is needed"):
        gate.caller([], address)


def test_a_key_that_is_checked_twice_in_a_request_is_one_guess() -> None:
    """On the way to Gradio's functions and in them."""
    gate = Gate(Keys(["right"]), 0)
    outcomes = [outcome(gate, "wrong", "10.0.0.1", f"request {n // 2}") for n in range(24)]
    assert outcomes == [Unauthorized] * 20 + [RateLimited] * 4


def test_many_keys_in_one_request_are_not_looked_at() -> None:
    """Each would be a guess."""
    gate = Gate(Keys(["right"]), 0)
    headers = [(b"x-api-key", f"guess {n}".encode()) for n in range(3)]
    assert gate.caller([*headers, (b"x-api-key", b"right")], "10.0.0.1").key
    with pytest.raises(Unauthorized):
        gate.caller([*headers, (b"x-api-key", b"guess"), (b"x-api-key", b"right")], "10.0.0.2")
