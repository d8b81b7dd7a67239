"""Hosts, durations and model names are read as Ollama reads them."""

import pytest

from ollama_backend.formats import is_cloud, is_loopback, model_name, parse_duration, parse_host


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:11434"),
        ("127.0.0.1:8080", "http://127.0.0.1:8080"),
        (":8080", "http://127.0.0.1:8080"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("0.0.0.0:1234", "http://127.0.0.1:1234"),
        ("[::]:1234", "http://[::1]:1234"),
        ("[::1]", "http://[::1]:11434"),
        ("::1", "http://[::1]:11434"),
        ("http://example.com", "http://example.com"),
        ("https://example.com:8443/", "https://example.com:8443"),
        ("https://example.com/ollama/", "https://example.com/ollama"),
        ("HTTP://Example.com:80", "http://Example.com"),
        ("example.com", "http://example.com:11434"),
        ("ollama.com", "https://ollama.com:443"),
        (' "localhost:1" ', "http://localhost:1"),
    ],
)
def test_every_form_of_a_host(text: str, url: str) -> None:
    """Every form that `OLLAMA_HOST` takes gives one base URL."""
    assert parse_host(text) == url


@pytest.mark.parametrize("text", ["ftp://x", "host:port", "host:0", "host:70000", "user:pw@host", "http://h/?q", "a b"])
def test_what_is_no_host(text: str) -> None:
    """What no client could reach is refused."""
    with pytest.raises(ValueError, match=r"its|contains"):
        parse_host(text)


def test_where_a_host_is() -> None:
    """Loopback and the cloud are told from every other host."""
    assert is_loopback("http://127.0.0.1:1") and is_loopback("http://[::1]:1") and is_loopback("http://LOCALHOST")
    assert not is_loopback("http://127.0.0.1.example.com") and not is_loopback("http://192.168.1.4")
    assert is_cloud("https://ollama.com:443") and not is_cloud("https://notollama.com")


@pytest.mark.parametrize(
    ("text", "seconds"), [("5m", 300), ("1h30m", 5400), ("90", 90), ("1.5s", 1.5), ("300ms", 0.3), ("-1", -1)]
)
def test_durations(text: str, seconds: float) -> None:
    """Go's durations and bare seconds are understood."""
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "soon", "5 m", "m5", "1h30"])
def test_what_is_no_duration(text: str) -> None:
    """Anything else is refused."""
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


def test_names_of_one_model_are_equal() -> None:
    """Case, `:latest`, `library/` and the registry make no other model."""
    same = ["Qwen3", "qwen3:latest", "library/qwen3", "registry.ollama.ai/library/QWEN3:latest"]
    assert {model_name(name) for name in same} == {"qwen3:latest"}
    assert model_name("hf.co/a/B:Q4") == "hf.co/a/b:q4" != model_name("hf.co/a/b")
