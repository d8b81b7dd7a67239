"""GGUF files for tests: a copy with another chat template, a tiny embedding model, a file of one tensor."""

import struct
from pathlib import Path
from typing import Any

import numpy as np

ALIGNMENT = 32
INT32, UINT32, FLOAT32, BOOL, STRING, ARRAY = 5, 4, 6, 7, 8, 9
F32 = 0
TEMPLATE_KEY = "tokenizer.chat_template"
COUNT_AT = 16  # the number of metadata entries, after the magic number, the version and the number of tensors

# Tools as many models write them: the call is a JSON object. SmolLM2 continues the pattern of earlier calls.
TOOLS_TEMPLATE = """\
{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].role == 'system' %}
        {{- messages[0].content + '\\n\\n' }}
    {%- endif %}
    {{- 'You may call a function:' }}
    {%- for tool in tools %}
        {{- '\\n' }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- '<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == 'user' or (message.role == 'system' and not (loop.first and tools)) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
    {%- elif message.role == 'assistant' %}
        {{- '<|im_start|>assistant' }}
        {%- if message.content %}
            {{- '\\n' + message.content }}
        {%- endif %}
        {%- for call in message.tool_calls or [] %}
            {{- '\\n{"name": "' + call.function.name + '", "arguments": ' }}
            {{- call.function.arguments | tojson }}
            {{- '}' }}
        {%- endfor %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == 'tool' %}
        {{- '<|im_start|>user\\n<tool_response>\\n' + message.content + '\\n</tool_response><|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""

# The same with an answered question before the conversation, so that SmolLM2 calls these functions by itself.
SHOWN = """\
{%- macro shown(question, call, answer) %}
    {{- '<|im_start|>user\\n' + question + '<|im_end|>\\n<|im_start|>assistant\\n' + call + '<|im_end|>\\n' }}
    {{- '<|im_start|>user\\n<tool_response>\\n' + answer + '\\n</tool_response><|im_end|>\\n' }}
    {{- '<|im_start|>assistant\\n' + answer + '<|im_end|>\\n' }}
{%- endmacro %}
{%- if tools and tools[0].function.name == 'weather' %}
    {{- shown('What is the weather in Oslo?', '{"name": "weather", "arguments": {"city": "Oslo"}}', 'Snow in Oslo.') }}
{%- elif tools and tools[0].function.name == 'person' %}
    {{- shown('Describe a person.', '{"name": "person", "arguments": {"name": "Eva", "age": 30}}', 'Done.') }}
{%- endif %}
"""
MESSAGES = "{%- for message in messages %}\n"
SHOWING_TEMPLATE = TOOLS_TEMPLATE.replace(MESSAGES, SHOWN + MESSAGES)

# As Gemma's and Mistral's: a conversation that does not alternate is an error.
ALTERNATING_TEMPLATE = """\
{%- for message in messages %}
{%- if (message.role == 'user') != (loop.index0 % 2 == 0) %}
{{- raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}
{%- endif %}
{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endfor %}
{{- '<|im_start|>assistant\\n' }}
"""


def text(value: str) -> bytes:
    """Encode a string."""
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def pair(key: str, value: Any) -> bytes:
    """Encode one entry of the metadata; a list holds strings, floats or integers."""
    if isinstance(value, str):
        return text(key) + struct.pack("<I", STRING) + text(value)
    if isinstance(value, bool):
        return text(key) + struct.pack("<I?", BOOL, value)
    if isinstance(value, int):
        return text(key) + struct.pack("<II", UINT32, value)
    if isinstance(value, float):
        return text(key) + struct.pack("<If", FLOAT32, value)
    kind, form = {str: (STRING, ""), float: (FLOAT32, "<f"), int: (INT32, "<i")}[type(value[0])]
    items = b"".join(text(item) if kind == STRING else struct.pack(form, item) for item in value)
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


def with_template(source: Path, target: Path, template: str, more: dict[str, Any] | None = None) -> Path:
    """Copy a file with another chat template and more metadata; a comment keeps everything else where it is aligned."""
    raw, key = source.read_bytes(), text(TEMPLATE_KEY) + struct.pack("<I", STRING)
    begin = raw.index(key)
    at = begin + len(key)
    (length,), (count,) = struct.unpack_from("<Q", raw, at), struct.unpack_from("<Q", raw, COUNT_AT)
    added = b"".join(pair(name, value) for name, value in (more or {}).items())
    template = template.rstrip("\n") + "{##}"
    template = template[:-2] + " " * ((length - len(template.encode()) - len(added)) % ALIGNMENT) + "#}"
    head = raw[:COUNT_AT] + struct.pack("<Q", count + len(more or {})) + raw[COUNT_AT + 8 : begin]
    target.write_bytes(head + added + key + text(template) + raw[at + 8 + length :])
    return target


def without_profile(path: Path) -> Path:
    """Rename the key by which the engine recognises a model that it has settings of its own for."""
    path.write_bytes(path.read_bytes().replace(text("general.basename"), text("general.basenote"), 1))
    return path


def embedding_model(path: Path, context: int = 256) -> Path:
    """Write a BERT of random weights with a vocabulary of letters: its vectors mean nothing, but differ."""
    width, hidden, layers = 32, 64, 2
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *(f"\u2581{letter}" for letter in letters), *letters]
    own = {"context_length": context, "embedding_length": width, "block_count": layers, "feed_forward_length": hidden}
    own |= {
        "attention.head_count": 2,
        "attention.causal": False,
        "pooling_type": 1,
        "attention.layer_norm_epsilon": 1e-12,
    }
    metadata: dict[str, Any] = {"general.architecture": "bert", "general.name": "letters", "general.file_type": 0}
    metadata |= {f"bert.{key}": value for key, value in own.items()}
    metadata |= {"tokenizer.ggml.model": "bert", "tokenizer.ggml.tokens": tokens}
    metadata |= {"tokenizer.ggml.token_type": [3] * 4 + [1] * (len(tokens) - 4), "tokenizer.ggml.token_type_count": 2}
    metadata |= {"tokenizer.ggml.scores": [0.0] * len(tokens), "tokenizer.ggml.padding_token_id": 0}
    metadata |= {"tokenizer.ggml.unknown_token_id": 1, "tokenizer.ggml.bos_token_id": 2}
    metadata |= {"tokenizer.ggml.seperator_token_id": 3, "tokenizer.ggml.cls_token_id": 2}
    random = np.random.default_rng(1)
    shapes = {"token_embd": (len(tokens), width), "position_embd": (context, width), "token_types": (2, width)}
    norms = ["token_embd_norm"]
    for layer in range(layers):
        block = f"blk.{layer}."
        shapes |= {block + name: (width, width) for name in ("attn_q", "attn_k", "attn_v", "attn_output")}
        shapes |= {block + "ffn_up": (hidden, width), block + "ffn_down": (width, hidden)}
        norms += [block + "attn_output_norm", block + "layer_output_norm"]
    tensors = {f"{name}.weight": random.normal(size=shape) for name, shape in shapes.items()}
    for name, shape in shapes.items():
        if name.startswith("blk."):
            tensors[f"{name}.bias"] = np.zeros(shape[0])
    for name in norms:
        tensors |= {f"{name}.weight": np.ones(width), f"{name}.bias": np.zeros(width)}
    return write(path, metadata, tensors)


def broken_model(path: Path, weights: int = 512) -> Path:
    """Write a file of an unknown family with two tensors of 64 values, of which `weights` bytes of 512 are there."""
    head = struct.pack("<4sIQQ", b"GGUF", 3, 2, 1) + pair("general.architecture", "nonsense")
    head += b"".join(text(name) + struct.pack("<IQIQ", 1, 64, F32, offset) for name, offset in (("a", 0), ("b", 256)))
    path.write_bytes(padded(head) + bytes(weights))
    return path
