"""The programs: one client each, which runs the cases that make sense for it."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.clients import installs

CASES = {
    "chat": "chat",
    "silence": "12 s of silence",
    "tools": "tool round trip",
    "structured": "structured answer",
    "wrong_key": "wrong key",
    "absent_model": "absent model",
    "fails_before": "failure before",
    "fails_midway": "failure in the middle",
    "fails_late": "failure after 50 s",
    "cancel": "cancel reaches Ollama",
}
# With the embedded engine and a real model behind the product.
EMBEDDED_CASES = {
    "chat": "chat",
    "silence": "stream after 12 s of silence",
    "tools": "tool round trip",
    "structured": "structured answer",
    "wrong_key": "wrong key",
    "absent_model": "absent model",
    "fails_before": "model killed before",
    "fails_midway": "model killed in the middle",
    "fails_late": "model killed after the head",
    "cancel": "cancel frees the slot",
}
ALL = frozenset(CASES)
# An endpoint that returns a text has no tools and no schemas, and its answers always stream.
GRADIO = ALL - {"tools", "structured", "fails_late"}


@dataclass(frozen=True)
class Program:
    """A client: how it is shown, what it needs, how it is started, its cases, and what it shows besides."""

    name: str
    title: str
    version: str
    needs: tuple[str, ...]
    command: Callable[[Path], Sequence[str | Path]]
    cases: frozenset[str] = ALL
    extra: frozenset[str] = field(default_factory=frozenset)


def of_python(source: str, package: str, title: str | None = None, **more: frozenset[str]) -> Program:
    path = installs.HERE / "python" / f"{source}.py"
    return Program(
        source,
        title or f"`{package}`",
        installs.python_version(package),
        (),
        lambda _: (installs.python(), path),
        **more,
    )


def of_node(source: str, package: str, title: str | None = None, **more: frozenset[str]) -> Program:
    def command(folder: Path) -> Sequence[str | Path]:
        # Node looks for packages beside the file that imports them.
        copied = folder / source
        shutil.copytree(installs.HERE / "node", copied, dirs_exist_ok=True)
        (copied / "node_modules").symlink_to(installs.node_modules())
        return "node", copied / f"{source}.mjs"

    version = installs.node_version(package)
    return Program(f"node_{source}", title or f"`{package}`", version, ("node", "npm"), command, **more)


def of_go(source: str, module: str, version: str) -> Program:
    name = f"go_{source}_{version}"
    title = "`" + module.removeprefix("github.com/").removesuffix("/v3") + "`"
    return Program(name, title, version, ("go",), lambda _: (installs.go_program(source, module, version),))


PROGRAMS = (
    of_python("ollama_client", "ollama"),
    of_python("openai_client", "openai", extra=frozenset({"silent_response"})),
    of_python("anthropic_client", "anthropic"),
    of_python("langchain_ollama_client", "langchain-ollama"),
    of_python("langchain_openai_client", "langchain-openai"),
    of_python("llama_index_client", "llama-index-llms-ollama", "`llama-index-llms-ollama`, nothing set"),
    of_python("pydantic_ai_client", "pydantic-ai-slim", "`pydantic-ai`"),
    of_python("openai_agents_client", "openai-agents"),
    of_python("litellm_client", "litellm"),
    of_python("gradio_python_client", "gradio_client", cases=GRADIO, extra=frozenset({"printed_snippet"})),
    of_node("ollama_client", "ollama"),
    of_node("openai_client", "openai", extra=frozenset({"silent_response"})),
    of_node("anthropic_client", "@anthropic-ai/sdk"),
    of_node("ai_client", "ai", "`ai` with `@ai-sdk/openai-compatible`"),
    of_node("gradio_client", "@gradio/client", cases=GRADIO, extra=frozenset({"printed_snippet", "short_list"})),
    of_go("openai", installs.OPENAI_GO, "v3.7.0"),
    of_go("openai", installs.OPENAI_GO, "v3.98.0"),
    of_go("anthropic", installs.ANTHROPIC_GO, "v1.84.0"),
)
