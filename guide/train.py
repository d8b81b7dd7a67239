"""Train the guide: `python -m guide.train OUT.gguf` (CPU, seeded; see README.md)."""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from . import corpus, earlier, export, network, tokenizer
from .lessons import Lesson, Teacher

LENGTHS = (36, 48, 64, 88, 128, 192, 320, 640)  # each is compiled once
FIRST = 12  # tokens of a completion that decide which answer it becomes
Batch = tuple[np.ndarray, np.ndarray, np.ndarray]  # tokens, targets and the weight of each target


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="the GGUF file to write")
    parser.add_argument("--start", type=Path, help="an earlier guide to go on from, in place of fresh weights")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--tokens", type=int, default=800, help="tokens in a batch, padding included")
    parser.add_argument("--rate", type=float, default=2e-3, help="highest learning rate")
    parser.add_argument("--short", type=float, default=0.92, help="share of the completions cut after 12 tokens")
    parser.add_argument("--first-weight", type=float, default=2.0, help="weight of a completion's first tokens")
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--vocab", type=int, default=1024)
    return parser.parse_args()


class Batcher:
    """Turns lessons into batches of a few fixed lengths."""

    def __init__(self, words: Any, settings: argparse.Namespace) -> None:
        self.words = words
        self.settings = settings
        self.source = random.Random(settings.seed)

    def tokens(self, lesson: Lesson) -> tuple[list[int], int]:
        """A lesson's tokens and where its completion begins; most completions are cut, for their start decides."""
        prompt = self.words.encode(lesson.prompt).ids
        completion = self.words.encode(lesson.completion).ids
        if self.source.random() < self.settings.short:
            thinking = lesson.completion.partition("</think>")[0] if lesson.think else ""
            completion = completion[: FIRST + len(self.words.encode(thinking).ids)]
        return prompt + completion, len(prompt)

    def batch(self, rows: list[tuple[list[int], int]], length: int, size: int) -> Batch:
        """One batch of `size` rows, empty rows and padding weighing nothing."""
        tokens = np.zeros((size, length), np.int32)
        targets = np.zeros((size, length), np.int32)
        weights = np.zeros((size, length), np.float32)
        for row, (ids, start) in enumerate(rows):
            tokens[row, : len(ids)] = ids
            targets[row, : len(ids) - 1] = ids[1:]
            weights[row, start - 1 : len(ids) - 1] = 1
            weights[row, start - 1 : min(start - 1 + FIRST, len(ids) - 1)] = self.settings.first_weight
        return tokens, targets, weights

    def epoch(self, lessons: list[Lesson]) -> Iterator[Batch]:
        """All lessons in batches, in random order."""
        rows = [self.tokens(lesson) for lesson in lessons]
        batches = []
        for shorter, length in zip((0, *LENGTHS), LENGTHS, strict=False):
            fitting = [row for row in rows if shorter < len(row[0]) <= length]
            size = max(1, self.settings.tokens // length)
            batches += [(fitting[at : at + size], length, size) for at in range(0, len(fitting), size)]
        self.source.shuffle(batches)
        for chosen, length, size in batches:
            yield self.batch(chosen, length, size)


def make_step(shape: network.Shape, optimizer: Any, share: float) -> Callable[..., Any]:
    """The compiled step: weights, state, batch and random key in; weights, state and loss out."""

    def loss(weights: network.Weights, batch: Batch, key: Any) -> Any:
        tokens, targets, importance = batch
        scores = network.logits(weights, tokens, shape, share, key)
        losses = optax.softmax_cross_entropy_with_integer_labels(scores, targets)
        return jnp.sum(losses * importance) / jnp.sum(importance)

    def step(weights: network.Weights, state: Any, batch: Batch, key: Any) -> Any:
        value, gradient = jax.value_and_grad(loss)(weights, batch, key)
        updates, state = optimizer.update(gradient, state, weights)
        return optax.apply_updates(weights, updates), state, value

    compiled: Callable[..., Any] = jax.jit(step, donate_argnums=(0, 1))
    return compiled


def make_optimizer(rate: float, steps: int) -> Any:
    """AdamW with a short warm-up, a cosine down to 2 %, clipped gradients and decay on matrices only."""
    schedule = optax.warmup_cosine_decay_schedule(0.0, rate, 100, steps, 0.02 * rate)

    def matrices(weights: network.Weights) -> Any:
        return jax.tree.map(lambda leaf: leaf.ndim == 2, weights)

    adam = optax.adamw(schedule, b1=0.9, b2=0.98, weight_decay=0.1, mask=matrices)
    return optax.chain(optax.clip_by_global_norm(1.0), adam)


def train(settings: argparse.Namespace) -> tuple[network.Weights, network.Shape, Any]:
    """Train from fresh weights or an earlier guide's; returns the weights, their shape and the tokenizer."""
    known = corpus.load()
    shape = network.Shape(settings.vocab)
    if settings.start:
        weights, words = earlier.read(settings.start, shape)
    else:
        weights, words = network.initial_weights(shape, settings.seed), tokenizer.train(known, settings.vocab)
    teacher, batcher = Teacher(known, settings.seed), Batcher(words, settings)
    steps = settings.epochs * sum(1 for _ in batcher.epoch(teacher.epoch()))
    optimizer = make_optimizer(settings.rate, steps)
    step, state = make_step(shape, optimizer, settings.dropout), optimizer.init(weights)
    key, begun = jax.random.key(settings.seed), time.monotonic()
    print(f"{network.count(weights)} parameters, {len(known.topics)} topics, about {steps} steps", flush=True)
    for epoch in range(settings.epochs):
        losses = []
        for batch in batcher.epoch(teacher.epoch()):
            key, used = jax.random.split(key)
            weights, state, loss = step(weights, state, batch, used)
            losses.append(loss)
        mean = float(jnp.mean(jnp.stack(losses)))
        print(f"epoch {epoch + 1}: loss {mean:.4f}, {time.monotonic() - begun:.0f} s", flush=True)
    return weights, shape, words


def main() -> None:
    """Train and write the GGUF file."""
    settings = arguments()
    weights, shape, words = train(settings)
    export.write(settings.out, weights, shape, words)
    print(f"wrote {settings.out} ({settings.out.stat().st_size} bytes)")


if __name__ == "__main__":
    main()
