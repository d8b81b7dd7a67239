"""A served model as Ollama's routes describe it, and settings for models that need their own."""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from ollama_backend.embedded.errors import RequestError
from ollama_backend.embedded.llama.gguf import Gguf
from ollama_backend.embedded.llama.sizing import MAX_CONTEXT

FILE_TYPES = {0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K", 11: "Q3_K_S"}
FILE_TYPES |= {12: "Q3_K_M", 13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S", 17: "Q5_K_M", 18: "Q6_K"}
FILE_TYPES |= {19: "IQ2_XXS", 20: "IQ2_XS", 23: "IQ3_XXS", 25: "IQ4_NL", 26: "IQ3_S", 30: "IQ4_XS", 32: "BF16"}
# A model is known to think if its chat template contains one of these.
THINKING_MARKS = ("<think>", "enable_thinking", "reasoning_content", "<|channel|>analysis", "[THINK]")
MAX_ANSWER_IN_CONTEXTS = 10  # Ollama's limit for answers without num_predict
REGISTRY = "registry.ollama.ai/"
NAME = re.compile(r"(?:[\w][\w.:-]*/)?(?:\w[\w.-]*/)?\w[\w.-]*(?::\w[\w.-]*)?", re.ASCII)
# Ollama's own defaults (api/types.go), in llama.cpp's names, which are the same.
SAMPLING = {"temperature": 0.8, "top_k": 40, "top_p": 0.9, "min_p": 0.0, "repeat_last_n": 64, "repeat_penalty": 1.0}
# Sampling that a GGUF file may recommend for itself.
RECOMMENDED = {"temp": "temperature", "top_k": "top_k", "top_p": "top_p", "min_p": "min_p"}
RECOMMENDED |= {"penalty_repeat": "repeat_penalty", "penalty_last_n": "repeat_last_n"}


@dataclass(frozen=True)
class Profile:
    """Settings for one model: a note for its users, and the system prompt and sampling of requests that set none.

    `longest_answer` is in tokens; None means that only the context limits it.
    """

    note: str = ""
    system: str = ""
    sampling: dict[str, Any] = field(default_factory=dict)
    longest_answer: int | None = None


# By the basename and size label of the file. SmolLM2's values were found by experiment (docs/embedded.md): with
# Ollama's defaults it answers in broken French and repeats itself, and without DRY it repeats whole lines.
PROFILES = {
    ("guide", "0.9M"): Profile("Knows only this app.", sampling={"temperature": 0.0}),
    ("smollm2", "135M"): Profile(
        "Very small model, often wrong.",
        "You are a helpful AI assistant. Give clear and correct answers.",
        {
            "temperature": 0.1,
            "dry_multiplier": 0.8,
            "dry_allowed_length": 3,
            "dry_penalty_last_n": 256,
            "dry_sequence_breakers": ["<|im_start|>"],
        },
        512,
    ),
}


def stamp(seconds: float | None = None) -> str:
    """Format a time (seconds since 1970, by default now) as in RFC 3339."""
    moment = datetime.now(UTC) if seconds is None else datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S.%fZ}"


def human_number(count: int) -> str:
    """Format a number of parameters as Ollama does (format/format.go, HumanNumber)."""
    for unit, size, digits in (("B", 10**9, 1), ("M", 10**6, 2), ("K", 10**3, 0)):
        if count >= size:
            return f"{count / size:.{digits if count % size else 0}f}{unit}"
    return str(count)


def plain_name(name: str) -> str:
    """Return a name in the form used for comparison: in lower case, with its tag, without the registry's prefix.

    Raises RequestError for an invalid name.
    """
    if not NAME.fullmatch(name):
        raise RequestError(400, "invalid model name")
    short = name.lower().removeprefix(REGISTRY).removeprefix("library/")
    return short if ":" in short.rpartition("/")[2] else short + ":latest"


@dataclass(frozen=True)
class ServedModel:
    """A model file and the name under which it is served."""

    name: str
    gguf: Gguf

    @property
    def tagged(self) -> str:
        """The name with its tag."""
        return self.name if ":" in self.name else f"{self.name}:latest"

    @cached_property
    def profile(self) -> Profile:
        """The model's own settings; empty for most models."""
        basename, size = (str(self.gguf.metadata.get(f"general.{key}", "")) for key in ("basename", "size_label"))
        return PROFILES.get((basename.lower(), size), Profile())

    @cached_property
    def sampling(self) -> dict[str, Any]:
        """The default sampling, with llama.cpp's names."""
        metadata = self.gguf.metadata
        own = {name: metadata.get(f"general.sampling.{key}") for key, name in RECOMMENDED.items()}
        own = {name: value for name, value in own.items() if isinstance(value, int | float)}
        return SAMPLING | own | self.profile.sampling

    @property
    def thinks(self) -> bool:
        """Whether the chat template supports thinking."""
        return any(mark in self.gguf.template for mark in THINKING_MARKS)

    @property
    def uses_tools(self) -> bool:
        """Whether the chat template supports tools."""
        return bool(re.search(r"\btools\b", self.gguf.template))

    def longest_answer(self, wanted: int | None) -> int:
        """Return the limit of an answer in tokens: `wanted`, within what the model and its context allow."""
        context = min(self.gguf.number("context_length", MAX_CONTEXT), MAX_CONTEXT)
        ceiling = self.profile.longest_answer or MAX_ANSWER_IN_CONTEXTS * context
        return ceiling if wanted is None or wanted < 0 else min(wanted, ceiling)

    @property
    def embeds(self) -> bool:
        """Whether this is an embedding model; Ollama checks the same key (server/images.go)."""
        return f"{self.gguf.architecture}.pooling_type" in self.gguf.metadata

    @property
    def capabilities(self) -> list[str]:
        """The model's capabilities, with Ollama's names."""
        if self.embeds:
            return ["embedding"]
        return ["completion"] + ["tools"] * self.uses_tools + ["thinking"] * self.thinks

    @property
    def details(self) -> dict[str, Any]:
        """Format, family and size."""
        family = self.gguf.architecture
        return {
            "parent_model": "",
            "format": "gguf",
            "family": family,
            "families": [family],
            "parameter_size": human_number(self.gguf.parameters),
            "quantization_level": FILE_TYPES.get(self.gguf.metadata.get("general.file_type", -1), "unknown"),
        }

    @property
    def _entry(self) -> dict[str, Any]:
        """The fields of every list."""
        return {"name": self.tagged, "model": self.tagged, "size": self.gguf.size, "digest": self.gguf.digest}

    def running(self, context: int, expires_at: str) -> dict[str, Any]:
        """Return the entry of `/api/ps`."""
        memory = {"expires_at": expires_at, "size_vram": 0, "context_length": context}
        return self._entry | {"details": self.details} | memory

    def listed(self) -> dict[str, Any]:
        """Return the entry of `/api/tags`."""
        lengths = {key: self.gguf.number(key) for key in ("context_length", "embedding_length")}
        details = {"modified_at": stamp(self.gguf.modified), "details": self.details | lengths}
        return self._entry | details | {"capabilities": self.capabilities} | self._own("note")

    def show(self) -> dict[str, Any]:
        """Return the response of `/api/show`. The template is the file's own (Jinja); long lists are left out."""
        gguf = self.gguf
        hidden = ("general.name", "tokenizer.chat_template")
        facts = {key: value for key, value in sorted(gguf.metadata.items()) if key not in hidden}
        return {
            "modelfile": f'FROM {gguf.path.name}\nTEMPLATE """{gguf.template}"""\n',
            "parameters": "\n".join(f"{name:30} {value}" for name, value in self.sampling.items()),
            "template": gguf.template,
            "details": self.details,
            "model_info": facts | {"general.parameter_count": gguf.parameters},
            "capabilities": self.capabilities,
            "modified_at": stamp(gguf.modified),
        } | self._own("system", "note")  # fmt: skip

    def _own(self, *names: str) -> dict[str, str]:
        """Return these texts of the profile, without empty ones."""
        return {name: text for name in names if (text := getattr(self.profile, name))}
