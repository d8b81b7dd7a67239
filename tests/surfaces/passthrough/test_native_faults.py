"""Lines of Ollama's API that are no objects are found wherever they are among sound ones."""

import pytest

from ollama_backend.surfaces.passthrough.dialects import GENERATING

SOUND = b'{"model":"guide","message":{"content":"a"},"done":false}\n'
SPACED = b'{"model": "guide", "message": {"content": "a"}, "done": false}\n'
LAST = b'{"model":"guide","done":true,"eval_count":2}\n'
HALF = b'{"model":"guide"\n'
NATIVE = next(dialect for dialect in GENERATING if dialect.path == "/api/chat")


@pytest.mark.parametrize(
    "block", [SOUND, SOUND + LAST, LAST, SPACED, SOUND + SPACED, SPACED + SOUND + LAST, SOUND + b"\n" + SOUND]
)
def test_sound_lines_are_no_fault(block: bytes) -> None:
    assert NATIVE.fault(block) is None


@pytest.mark.parametrize("before", [b"", SOUND, SOUND + SOUND, SPACED, SPACED + SOUND])
@pytest.mark.parametrize("after", [b"", SOUND, SOUND + LAST, SPACED])
def test_half_an_object_is_found_at_its_offset(before: bytes, after: bytes) -> None:
    fault = NATIVE.fault(before + HALF + after)
    assert fault is not None
    assert fault[0] == len(before)
