"""Whatever stands in the headers of keys and addresses, it is read without an error and cannot be forged."""

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from ollama_backend.auth import Gate, Keys, client_address, network, parsed_address, presented_keys
from ollama_backend.errors import BackendError

KEY = "the-right-key"
ADDRESSES = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str)
WRITTEN = st.one_of(
    ADDRESSES,
    ADDRESSES.map(lambda address: f"[{address}]:443" if ":" in address else f"{address}:443"),
    ADDRESSES.map(lambda address: f'"{address}"'),
)
LATIN = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"))


@given(LATIN)
def test_any_text_is_an_address_or_none(text: str) -> None:
    """What is read as one is one in its only form, and is read as itself again."""
    address = parsed_address(text)
    assert address is None or (str(ipaddress.ip_address(address)) == address and parsed_address(address) == address)
    assert network(address or "") == (address or "") or ":" in str(address)


@given(st.lists(LATIN), WRITTEN, st.integers(1, 5), st.lists(ADDRESSES, min_size=4, max_size=4))
def test_what_a_caller_writes_into_the_header_changes_nothing(
    forged: list[str], own: str, proxies: int, hops: list[str]
) -> None:
    """Behind any number of proxies the address is the one that the outermost of them saw."""
    appended = [own, *hops][:proxies]
    lines = [*forged, ", ".join(appended)]
    headers = [(b"X-Forwarded-For", line.encode("latin-1")) for line in lines]
    expected = parsed_address(own) or "10.0.0.9"
    assert client_address(headers, "10.0.0.9", proxies) == expected


@given(st.lists(st.tuples(st.sampled_from([b"authorization", b"X-API-Key", b"cookie"]), st.binary()), max_size=8))
def test_only_the_right_key_is_valid(headers: list[tuple[bytes, bytes]]) -> None:
    """Any other bytes are refused with 401 or 429, and the right key beside up to three others passes."""
    gate = Gate(Keys([KEY]), 0)
    assert all(presented_keys(headers))
    try:
        gate.caller(headers, "10.0.0.1")
    except BackendError as exc:
        assert exc.status in (401, 429) and KEY not in exc.message
    else:
        assert KEY.encode() in presented_keys(headers)
    if len(set(presented_keys(headers))) <= 3:
        assert gate.caller([*headers, (b"x-api-key", KEY.encode())], "10.0.0.1").key
