"""Make GGUF files for tests: a copy with another chat template, a tiny embedding model, a file of one tensor."""

import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

ALIGNMENT = 32
UINT32, FLOAT32, BOOL, STRING, ARRAY = 4, 6, 7, 8, 9
INT32 = 5
F32 = 0

# Tools as Qwen2.5 and Hermes write them; the model need not have been trained on it.
TOOLS_TEMPLATE = """\
{%- if tools %}<|im_start|>system
# Tools
<tools>
{%- for tool in tools %}
{{ tool | tojson }}
{%- endfor %}
</tools>
For each function call, return a json object within <tool_call></tool_call> XML tags:
<tool_call>
{"name": <function-name>, "arguments": <args-json-object>}
</tool_call><|im_end|>
{% endif %}
{%- for message in messages %}
{%- if message.role == "assistant" and message.tool_calls %}<|im_start|>assistant
{%- if message.content %}
{{ message.content }}
{%- endif %}
{%- for call in message.tool_calls %}
<tool_call>
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
</tool_call>
{%- endfor %}<|im_end|>
{% elif message.role == "tool" %}<|im_start|>user
<tool_response>
{{ message.content }}
</tool_response><|im_end|>
{% else %}<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""

# As Gemma and Mistral do: a conversation that does not alternate is an error.
ALTERNATING_TEMPLATE = """\
{%- for message in messages %}
{%- if (message.role == "user") != (loop.index0 % 2 == 0) %}
{{ raise_exception("Conversation roles must alternate user/assistant/user/assistant/...") }}
{%- endif %}<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% endfor %}<|im_start|>assistant
"""


def text(value: str) -> bytes:
    """Encode a string as GGUF has it."""
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def pair(key: str, value: Any) -> bytes:
    """Encode one entry of the metadata; lists hold strings, floats or integers."""
    if isinstance(value, str):
        return text(key) + struct.pack("<I", STRING) + text(value)
    if isinstance(value, bool):
        return text(key) + struct.pack("<I?", BOOL, value)
    if isinstance(value, int):
        return text(key) + struct.pack("<II", UINT32, value)
    if isinstance(value, float):
        return text(key) + struct.pack("<If", FLOAT32, value)
    kind, code = (STRING, "") if isinstance(value[0], str) else (FLOAT32, "f") if isinstance(value[0], float) else (INT32, "i")
    items = b"".join(text(item) if kind == STRING else struct.pack("<" + code, item) for item in value)
    return text(key) + struct.pack("<IIQ", ARRAY, kind, len(value)) + items


def padded(raw: bytes) -> bytes:
    """Fill up to the next multiple of the alignment."""
    return raw + bytes(-len(raw) % ALIGNMENT)


def write(path: Path, metadata: dict[str, Any], tensors: dict[str, np.ndarray[Any, Any]]) -> Path:
    """Write a file of 32-bit floats."""
    head = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(metadata))
    head += b"".join(pair(key, value) for key, value in metadata.items())
    weights = b""
    for name, values in tensors.items():
        shape = values.shape[::-1]
        head += text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, F32, len(weights))
        weights += padded(values.astype("<f4").tobytes())
    path.write_bytes(padded(head) + weights)
    return path


def with_template(source: Path, target: Path, template: str) -> Path:
    """Copy a file with another chat template in it."""
    raw = source.read_bytes()
    at = raw.index(text("tokenizer.chat_template") + struct.pack("<I", STRING)) + len(text("tokenizer.chat_template")) + 4
    (length,) = struct.unpack_from("<Q", raw, at)
    start = _end_of_head(raw)
    head = raw[:at] + text(template) + raw[at + 8 + length : start]
    target.write_bytes(padded(head) + raw[-(-start // ALIGNMENT) * ALIGNMENT :])
    return target
