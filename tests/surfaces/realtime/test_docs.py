"""The page about realtime sessions says what the code does."""

import re
from pathlib import Path

import msgspec
import pytest

from app import PING_SECONDS, SOCKET_MESSAGE_BYTES
from ollama_backend.chat import conversation, sessions
from ollama_backend.ollama.wire import COUNTS
from ollama_backend.surfaces.realtime import app, connection, messages, websocket
from ollama_backend.surfaces.realtime.messages import MESSAGE_BYTES

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "realtime.md").read_text()
MESSAGES = [
    kind
    for kind in vars(messages).values()
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind.__struct_config__.tag
]


def rows(heading: str) -> str:
    """The part of the page under a heading."""
    return PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__name__)
def test_every_message_and_field_is_told(kind: type[msgspec.Struct]) -> None:
    """Its type stands in a table, and each of its fields in that row."""
    tables = rows("Client messages") + rows("Server messages")
    tag = kind.__struct_config__.tag
    row = next(line for line in tables.splitlines() if re.match(rf"\| [^|]*[`\"]{tag}[`\"]", line))
    for name in kind.__struct_encode_fields__:
        assert re.search(rf"[`\"]{name}[`\"]", row), name


def test_the_counts_of_complete_are_told() -> None:
    """All of Ollama's, by name."""
    row = next(line for line in rows("Server messages").splitlines() if line.startswith("| `complete`"))
    assert all(f"`{name}`" in row for name in COUNTS)


def test_every_close_code_is_told() -> None:
    """Those that the code uses are those in the table, but for the protocol's own."""
    documented = {int(code) for code in re.findall(r"^\| (\d{4}) ", rows("Close codes"), re.MULTILINE)}
    used = {code for code, _ in connection.CLOSE_CODES.values()} | {connection.INTERNAL_ERROR_CODE}
    assert documented == used | {app.BAD_SESSION, app.NO_KEY, app.TRY_LATER, 1009, 1012}


def test_the_limits_are_told() -> None:
    """Numbers and words agree with the constants."""
    assert f"last {conversation.MAX_HISTORY_MESSAGES} messages" in PAGE
    assert f"{conversation.MAX_HISTORY_BYTES // 1024} KiB" in PAGE
    assert f"{sessions.MAX_BYTES // 2**20} MiB" in PAGE
    assert (sessions.MAX_SESSIONS, sessions.IDLE_SECONDS) == (1000, 3600)
    assert "an hour after its last connection" in PAGE and "a thousand" in PAGE
    assert f"at most {MESSAGE_BYTES // 2**20} MiB" in PAGE
    assert f"more than {SOCKET_MESSAGE_BYTES // 2**20} MiB" in PAGE
    assert f"sends a ping every {PING_SECONDS:.0f} seconds" in PAGE
    assert websocket.PROTOCOL in PAGE and websocket.BEARER in PAGE
