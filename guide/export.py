"""Write the trained guide as a GGUF file that llama.cpp runs (architecture qwen3, Q8_0)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from .chat import SPECIALS, TEMPLATE
from .network import Shape, Weights, count

NAME = "guide"
DESCRIPTION = "A tiny model, trained from scratch on questions and answers about one product only."


def add_shape(writer: gguf.GGUFWriter, shape: Shape) -> None:
    """The sizes; llama.cpp takes the head's width from width / heads unless it is told."""
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.hidden)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head_width)
    writer.add_value_length(shape.head_width)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_layer_norm_rms_eps(shape.epsilon)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


def token_type(token: str) -> gguf.TokenType:
    """The thinking tags must stay visible in the text, or llama.cpp cannot take the thinking apart."""
    if token in ("<think>", "</think>"):
        return gguf.TokenType.USER_DEFINED
    return gguf.TokenType.CONTROL if token in SPECIALS else gguf.TokenType.NORMAL


def add_words(writer: gguf.GGUFWriter, words: Any) -> None:
    """The vocabulary, its merges, the special tokens and the chat template."""
    content = json.loads(words.to_str())
    numbers = {**content["model"]["vocab"], **{token["content"]: token["id"] for token in content["added_tokens"]}}
    tokens = sorted(numbers, key=lambda token: numbers[token])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types([token_type(token) for token in tokens])
    writer.add_token_merges([" ".join(pair) for pair in content["model"]["merges"]])
    writer.add_eos_token_id(numbers["<|im_end|>"])
    # llama.cpp would otherwise take <|im_end|> or <|endoftext|>, whichever its hash table has first
    writer.add_eot_token_id(numbers["<|im_end|>"])
    writer.add_pad_token_id(numbers["<|endoftext|>"])
    writer.add_bos_token_id(numbers["<|endoftext|>"])
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)


def add_tensor(writer: gguf.GGUFWriter, name: str, values: Any) -> None:
    """One tensor: norms as they are, matrices quantised, with outputs as rows."""
    array = np.asarray(values, np.float32)
    if array.ndim == 1:
        writer.add_tensor(f"{name}.weight", array)
        return
    kind = gguf.GGMLQuantizationType.Q8_0
    writer.add_tensor(f"{name}.weight", gguf.quants.quantize(np.ascontiguousarray(array), kind), raw_dtype=kind)


def write(path: Path, weights: Weights, shape: Shape, words: Any) -> None:
    """Write everything to `path`; the output matrix is the embedding (tied) and has no tensor of its own."""
    writer = gguf.GGUFWriter(path, "qwen3")
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name(NAME)
    writer.add_basename(NAME)
    writer.add_size_label(f"{count(weights) / 1e6:.1f}M")
    writer.add_license("mit")
    writer.add_description(DESCRIPTION)
    writer.add_languages(["en"])
    add_shape(writer, shape)
    add_words(writer, words)
    add_tensor(writer, "token_embd", weights["embedding"])
    add_tensor(writer, "output_norm", weights["norm"])
    for number, layer in enumerate(weights["layers"]):
        for name, values in layer.items():
            add_tensor(writer, f"blk.{number}.{name}", values if values.ndim == 1 else values.T)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
