"""The guide's tokenizer: byte-level BPE, split as llama.cpp splits for `tokenizer.ggml.pre = "qwen2"`."""

from __future__ import annotations

import random
from collections.abc import Iterator

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from .augment import SYSTEM_PROMPTS, augment
from .chat import SPECIALS
from .corpus import Corpus

# llama.cpp, src/llama-vocab.cpp, LLAMA_VOCAB_PRE_TYPE_QWEN2
QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def texts(corpus: Corpus, seed: int = 0) -> Iterator[str]:
    """What the merges are learned from; answers weigh more, for they are what the model writes."""
    source = random.Random(seed)
    for topic in corpus.topics.values():
        yield from (topic.answer, topic.thought) * 3
        for question in topic.questions:
            yield question
            yield from (augment(question, source) for _ in range(3))
    # "\n\n" stands alone after </think>, and would stay two tokens if it were not seen so
    yield from ("user\n", "assistant\n", "system\n", "\n\n") * 50
    yield from SYSTEM_PROMPTS


def prepared(model: models.BPE) -> Tokenizer:
    """A tokenizer that splits and decodes as the guide's does, around a model without special tokens."""
    tokenizer = Tokenizer(model)
    split = pre_tokenizers.Split(Regex(QWEN2), behavior="isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def train(corpus: Corpus, size: int) -> Tokenizer:
    """Learn a vocabulary of `size` tokens, all 256 bytes included, the special ones last."""
    tokenizer = prepared(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=size - len(SPECIALS),
        min_frequency=2,
        show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=[],
    )
    tokenizer.train_from_iterator(texts(corpus), trainer)
    tokenizer.add_special_tokens([AddedToken(text, normalized=False, special=True) for text in SPECIALS])
    if tokenizer.get_vocab_size() != size:
        raise ValueError(f"the corpus is too small for {size} tokens")
    return tokenizer
