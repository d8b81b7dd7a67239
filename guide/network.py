"""The network: Qwen3's architecture (tied embeddings) in JAX, only what training needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Weights = dict[str, Any]  # "embedding", "norm" and "layers", a list of matrices and norms by name


@dataclass(frozen=True)
class Shape:
    """The sizes of the network; `context` is in tokens."""

    vocab: int
    width: int = 128
    layers: int = 4
    heads: int = 4
    kv_heads: int = 2
    head_width: int = 32
    hidden: int = 384
    context: int = 2048
    rope_base: float = 10000.0
    epsilon: float = 1e-6


def layer_shapes(shape: Shape) -> dict[str, tuple[int, int]]:
    """The matrices of one layer, rows being inputs."""
    queries, keys = shape.heads * shape.head_width, shape.kv_heads * shape.head_width
    return {
        "attn_q": (shape.width, queries),
        "attn_k": (shape.width, keys),
        "attn_v": (shape.width, keys),
        "attn_output": (queries, shape.width),
        "ffn_gate": (shape.width, shape.hidden),
        "ffn_up": (shape.width, shape.hidden),
        "ffn_down": (shape.hidden, shape.width),
    }


def initial_weights(shape: Shape, seed: int) -> Weights:
    """Fresh weights: small normal matrices (smaller where a layer adds to the stream), norms of one."""
    source = np.random.default_rng(seed)

    def normal(size: tuple[int, int], deviation: float) -> Any:
        return jnp.asarray(source.normal(0, deviation, size), jnp.float32)

    layers = []
    for _ in range(shape.layers):
        layer = {}
        for name, size in layer_shapes(shape).items():
            adds = name in ("attn_output", "ffn_down")
            layer[name] = normal(size, 0.02 / np.sqrt(2 * shape.layers) if adds else 0.02)
        for name in ("attn_norm", "ffn_norm"):
            layer[name] = jnp.ones(shape.width)
        for name in ("attn_q_norm", "attn_k_norm"):
            layer[name] = jnp.ones(shape.head_width)
        layers.append(layer)
    return {"embedding": normal((shape.vocab, shape.width), 0.04), "norm": jnp.ones(shape.width), "layers": layers}


def count(weights: Weights) -> int:
    """How many parameters there are."""
    return sum(leaf.size for leaf in jax.tree.leaves(weights))


def rms_norm(x: Any, weight: Any, epsilon: float) -> Any:
    """Root mean square norm over the last axis."""
    return x * jax.lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + epsilon) * weight


def rope_tables(shape: Shape, length: int) -> tuple[Any, Any]:
    """Cosines and sines of the rotary positions, (length, 1, head_width)."""
    rates = shape.rope_base ** (-np.arange(0, shape.head_width, 2) / shape.head_width)
    angles = np.outer(np.arange(length), rates)
    angles = np.concatenate((angles, angles), -1)[:, None, :]
    return jnp.asarray(np.cos(angles), jnp.float32), jnp.asarray(np.sin(angles), jnp.float32)


def rotate(x: Any, cos: Any, sin: Any) -> Any:
    """Rotary positions in halves, as Qwen3 has them."""
    first, second = jnp.split(x, 2, -1)
    return x * cos + jnp.concatenate((-second, first), -1) * sin


def dropout(x: Any, share: float, key: Any) -> Any:
    """Zero a share of the values while training; `key` None means not training."""
    if key is None or share == 0:
        return x
    return jnp.where(jax.random.bernoulli(key, 1 - share, x.shape), x / (1 - share), 0)


def attention(layer: Weights, x: Any, shape: Shape, tables: tuple[Any, Any]) -> Any:
    """Causal attention with grouped keys and normed queries and keys."""
    batch, length, _ = x.shape
    group = shape.heads // shape.kv_heads
    q = (x @ layer["attn_q"]).reshape(batch, length, shape.heads, shape.head_width)
    k = (x @ layer["attn_k"]).reshape(batch, length, shape.kv_heads, shape.head_width)
    v = (x @ layer["attn_v"]).reshape(batch, length, shape.kv_heads, shape.head_width)
    q = rotate(rms_norm(q, layer["attn_q_norm"], shape.epsilon), *tables)
    k = rotate(rms_norm(k, layer["attn_k_norm"], shape.epsilon), *tables)
    k, v = jnp.repeat(k, group, 2), jnp.repeat(v, group, 2)
    scores = jnp.einsum("bqhd,bkhd->bhqk", q, k) / np.sqrt(shape.head_width)
    causal = np.tril(np.ones((length, length), bool))
    shares = jax.nn.softmax(jnp.where(causal, scores, -1e30), -1)
    return jnp.einsum("bhqk,bkhd->bqhd", shares, v).reshape(batch, length, -1) @ layer["attn_output"]


def feed_forward(layer: Weights, x: Any) -> Any:
    """The gated feed-forward part."""
    return (jax.nn.silu(x @ layer["ffn_gate"]) * (x @ layer["ffn_up"])) @ layer["ffn_down"]


def logits(weights: Weights, tokens: Any, shape: Shape, share: float = 0.0, key: Any = None) -> Any:
    """Scores of the next token at every position of a (batch, length) array of tokens."""
    keys = [None] * (2 * shape.layers + 1) if key is None else list(jax.random.split(key, 2 * shape.layers + 1))
    tables = rope_tables(shape, tokens.shape[1])
    x = dropout(weights["embedding"][tokens], share / 2, keys.pop())
    for layer in weights["layers"]:
        normed = rms_norm(x, layer["attn_norm"], shape.epsilon)
        x = x + dropout(attention(layer, normed, shape, tables), share, keys.pop())
        normed = rms_norm(x, layer["ffn_norm"], shape.epsilon)
        x = x + dropout(feed_forward(layer, normed), share, keys.pop())
    return rms_norm(x, weights["norm"], shape.epsilon) @ weights["embedding"].T
