"""Read a guide back from its GGUF file, so that training can go on from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import jax.numpy as jnp
import numpy as np
from tokenizers import AddedToken, Tokenizer, models

from . import tokenizer
from .chat import SPECIALS
from .network import Shape, Weights, layer_shapes


def read_words(reader: gguf.GGUFReader) -> Tokenizer:
    """The tokenizer of the file: its tokens and merges, split as all guides split."""
    tokens = [token for token in reader.fields["tokenizer.ggml.tokens"].contents() if token not in SPECIALS]
    merges = [tuple(merge.split(" ")) for merge in reader.fields["tokenizer.ggml.merges"].contents()]
    words = tokenizer.prepared(models.BPE({token: number for number, token in enumerate(tokens)}, merges))
    words.add_special_tokens([AddedToken(text, normalized=False, special=True) for text in SPECIALS])
    return words


def read(path: Path, shape: Shape) -> tuple[Weights, Tokenizer]:
    """The weights, as exact as Q8_0 kept them, and the tokenizer."""
    reader = gguf.GGUFReader(path)
    stored = {
        tensor.name: gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        for tensor in reader.tensors
    }

    def take(name: str) -> Any:
        return jnp.asarray(stored[f"{name}.weight"])

    norms = ("attn_norm", "ffn_norm", "attn_q_norm", "attn_k_norm")
    layers = [
        {name: take(f"blk.{number}.{name}").T for name in layer_shapes(shape)}
        | {name: take(f"blk.{number}.{name}") for name in norms}
        for number in range(shape.layers)
    ]
    return {"embedding": take("token_embd"), "norm": take("output_norm"), "layers": layers}, read_words(reader)
