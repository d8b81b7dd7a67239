"""The one model as Ollama's lists show it."""

import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ollama_backend.embedded.faults import Fault
from ollama_backend.embedded.gguf import Gguf

FILE_TYPES = {0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K", 11: "Q3_K_S"}
FILE_TYPES |= {12: "Q3_K_M", 13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S", 17: "Q5_K_M", 18: "Q6_K"}
FILE_TYPES |= {19: "IQ2_XXS", 20: "IQ2_XS", 23: "IQ3_XXS", 25: "IQ4_NL", 26: "IQ3_S", 30: "IQ4_XS", 32: "BF16"}
# Words of a chat template by which a model that thinks is known.
THINKING_MARKS = ("<think>", "enable_thinking", "reasoning_content", "<|channel|>analysis", "[THINK]")
REGISTRY = "registry.ollama.ai/"
NAME = re.compile(
    r"(?:(?P<host>[\w][\w.:-]*)/)?(?:(?P<owner>\w[\w.-]*)/)?(?P<model>\w[\w.-]*)(?::(?P<tag>\w[\w.-]*))?", re.ASCII
)
FOREVER = "2318-01-01T00:00:00Z"


def stamp(seconds: float | None = None) -> str:
    """Write a moment (seconds since 1970; now, when none is given) as Ollama does, to the nanosecond."""
    nanoseconds = time.time_ns() if seconds is None else int(seconds * 1e9)
    moment = datetime.fromtimestamp(nanoseconds // 10**9, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{nanoseconds % 10**9:09}Z"


def human_number(count: int) -> str:
    """Write a count of parameters as Ollama's lists do (format/format.go, HumanNumber)."""
    if count >= 10**9:
        billions = count / 10**9
        return f"{billions:.0f}B" if billions == int(billions) else f"{billions:.1f}B"
    if count >= 10**6:
        millions = count / 10**6
        return f"{millions:.0f}M" if millions == int(millions) else f"{millions:.2f}M"
    return f"{count / 10**3:.0f}K" if count >= 10**3 else str(count)


def plain_name(name: str) -> str:
    """Return a name as it is compared: in lower case, with its tag, without the registry's prefix.

    Raises Fault for what cannot be a name.
    """
    if not NAME.fullmatch(name):
        raise Fault(400, "invalid model name")
    short = name.lower().removeprefix(REGISTRY).removeprefix("library/")
    return short if ":" in short.rpartition("/")[2] else short + ":latest"


@dataclass(frozen=True)
class Card:
    """The model under the name that it is served as."""

    name: str
    gguf: Gguf

    @property
    def tagged(self) -> str:
        """Return the name with its tag."""
        return self.name if ":" in self.name else f"{self.name}:latest"

    @property
    def long_name(self) -> str:
        """Return the name as it stands in some of Ollama's errors."""
        return f"{REGISTRY}library/{self.tagged}"

    @property
    def thinks(self) -> bool:
        """Tell whether the chat template knows thinking."""
        return any(mark in self.gguf.template for mark in THINKING_MARKS)

    @property
    def uses_tools(self) -> bool:
        """Tell whether the chat template knows tools."""
        return bool(re.search(r"\btools\b", self.gguf.template))

    @property
    def capabilities(self) -> list[str]:
        """List what the model can do, in Ollama's words."""
        return ["completion"] + ["tools"] * self.uses_tools + ["thinking"] * self.thinks

    def is_called(self, name: str) -> bool:
        """Tell whether a request's name means this model."""
        return plain_name(name) == plain_name(self.name)

    @property
    def details(self) -> dict[str, Any]:
        """Describe format, family and size."""
        family = self.gguf.architecture
        return {
            "parent_model": "",
            "format": "gguf",
            "family": family,
            "families": [family],
            "parameter_size": human_number(self.gguf.parameters),
            "quantization_level": FILE_TYPES.get(self.gguf.metadata.get("general.file_type", -1), "unknown"),
        }

    def tags(self) -> dict[str, Any]:
        """Answer `/api/tags`."""
        lengths = {key: self.gguf.number(key) for key in ("context_length", "embedding_length")}
        entry: dict[str, Any] = {"name": self.tagged, "model": self.tagged, "modified_at": stamp(self.gguf.modified)}
        entry |= {"size": self.gguf.size, "digest": self.gguf.digest, "details": self.details | lengths}
        return {"models": [entry | {"capabilities": self.capabilities}]}

    def running(self, loaded: bool, context: int) -> dict[str, Any]:
        """Answer `/api/ps`; the model stays until it is asked to go."""
        entry: dict[str, Any] = {
            "name": self.tagged,
            "model": self.tagged,
            "size": self.gguf.size,
            "digest": self.gguf.digest,
        }
        entry |= {"details": self.details, "expires_at": FOREVER, "size_vram": 0, "context_length": context}
        return {"models": [entry] if loaded else []}

    def show(self, own: dict[str, Any]) -> dict[str, Any]:
        """Answer `/api/show`; the template is the file's own (Jinja), long lists and the layers left out."""
        parameters = "\n".join(f"{name:30} {value}" for name, value in own.items())
        hidden = ("general.name", "tokenizer.chat_template")
        facts = {key: value for key, value in sorted(self.gguf.metadata.items()) if key not in hidden}
        outer = sorted((t.name, t.kind, t.shape) for t in self.gguf.tensors if not t.name.startswith("blk."))
        tensors = [{"name": name, "type": kind, "shape": list(shape)} for name, kind, shape in outer]
        return {
            "modelfile": f'FROM {self.gguf.path.name}\nTEMPLATE """{self.gguf.template}"""\n',
            "parameters": parameters,
            "template": self.gguf.template,
            "details": self.details,
            "model_info": facts | {"general.parameter_count": self.gguf.parameters},
            "tensors": tensors,
            "capabilities": self.capabilities,
            "modified_at": stamp(self.gguf.modified),
        }
