"""Whatever is sent as a body or a message, or set as a setting, is taken or refused in words."""

import gzip
import json
import zlib
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from ollama_backend.errors import BackendError
from ollama_backend.settings import SECRETS, SettingsError, load, variables
from ollama_backend.surfaces.asgi.content_coding import unpack
from ollama_backend.surfaces.asgi.exchange import parse_json
from ollama_backend.surfaces.chat_api import ChatBody
from ollama_backend.surfaces.gradio_app.turn import Turn, read_turn
from ollama_backend.surfaces.passthrough.requests import check_shape, named_model
from ollama_backend.surfaces.passthrough.strict_json import encode, parse_object
from ollama_backend.surfaces.realtime.app import session_name
from ollama_backend.surfaces.realtime.messages import Chat, Clear, Resume, Stop, parse

PATHS = (
    "/api/chat", "/api/generate", "/api/embed", "/v1/chat/completions", "/v1/completions", "/v1/embeddings",
    "/v1/responses", "/v1/messages",
)  # fmt: skip
NAMES = st.sampled_from(
    [
        "type",
        "content",
        "model",
        "messages",
        "prompt",
        "input",
        "options",
        "stream",
        "from",
        "answer",
        "think",
        "system",
    ]
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["chat", "clear", "resume"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | st.text(), inner, max_size=5),
    max_leaves=10,
)
BODIES = st.one_of(
    st.binary(),
    st.dictionaries(NAMES, VALUES).map(lambda body: json.dumps(body).encode()),
    VALUES.map(json.dumps).map(str.encode),
)
NAMES_OF_SETTINGS = [field.metadata["name"] for field in variables()]


@given(BODIES)
def test_any_message_of_a_socket_is_one_of_ours_or_refused(raw: bytes) -> None:
    """With 400, in words."""
    try:
        message = parse(raw)
    except BackendError as exc:
        assert exc.status == 400 and exc.message
    else:
        assert isinstance(message, Chat | Clear | Stop | Resume)


@given(BODIES, st.sampled_from(PATHS))
def test_any_body_that_is_passed_through_is_an_object_or_refused(raw: bytes, path: str) -> None:
    """With 400, or 404 where it names no model; what is taken goes up as JSON that reads the same."""
    try:
        body = parse_object(raw)
        check_shape(path, body)
        assert isinstance(named_model(path, body), str)
    except BackendError as exc:
        assert exc.status in (400, 404) and exc.message
    else:
        assert json.loads(encode(body)) == body


@given(BODIES, VALUES)
def test_any_body_of_our_own_routes_is_read_or_refused(raw: bytes, value: Any) -> None:
    """`/chat_api`, and the turn of a page."""
    for read in (lambda: parse_json(raw, ChatBody), lambda: read_turn(value)):
        try:
            assert isinstance(read(), ChatBody | Turn)
        except BackendError as exc:
            assert exc.status == 400 and exc.message


@given(st.binary(max_size=2000), st.sampled_from(["gzip", "deflate", "zstd", "br", "gzip, gzip", ""]), st.booleans())
def test_any_coded_body_is_unpacked_within_the_limit_or_refused(raw: bytes, codings: str, sound: bool) -> None:
    """400, 413 or 415, and never more than the limit."""
    packed = {"gzip": gzip.compress, "deflate": zlib.compress}.get(codings, bytes)(raw) if sound else raw
    try:
        unpacked = unpack(codings, packed, 1000)
    except BackendError as exc:
        assert exc.status in (400, 413, 415)
    else:
        assert len(unpacked) <= max(1000, len(packed))
        assert not sound or codings not in ("gzip", "deflate") or unpacked == raw


@given(st.text())
def test_any_name_of_a_session_is_kept_or_refused(name: str) -> None:
    """400, in words."""
    try:
        assert session_name(name) == name
    except BackendError as exc:
        assert exc.status == 400


@given(st.dictionaries(st.sampled_from(NAMES_OF_SETTINGS), st.text(st.characters(exclude_categories=["Cs"]))))
def test_any_settings_are_taken_or_refused_by_name(environment: dict[str, str]) -> None:
    """Every problem names its variable, and no secret is shown."""
    try:
        settings = load(environment)
    except SettingsError as exc:
        assert exc.problems and all(problem.split(":")[0] in NAMES_OF_SETTINGS for problem in exc.problems)
        for name in SECRETS:
            secret = environment.get(name, "").strip()
            own = [problem for problem in exc.problems if problem.startswith(name)]
            assert len(secret) < 8 or not any(secret in problem for problem in own)
    else:
        assert 1 <= settings.port <= 65535 and settings.keys and settings.hosts
        assert msgspec.json.encode(str(settings))
