"""The embedded engine is held to 154 exchanges that were recorded with a real Ollama."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.embedded_engine import GUIDE, engine
from tests.support.gguf_files import with_template
from tests.support.recordings import exchanges, recordings

PLAIN_TEMPLATE = """\
{%- for message in messages %}
{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endfor %}
{{- '<|im_start|>assistant\\n' }}"""

ROUTER = "errors and folded slashes are answered in one way, without a router's redirects and plain texts"
FILE = "the files differ: the recorded one names an author"
NOTHING_FETCHED = "it cannot fetch, send, copy or delete models, and says so before it looks for them"
SOONER = "refused before anything is generated; Ollama thinks first and fails then"
BAD_REQUEST = "what is wrong with the request is a 400 here"
CUT = "nothing is too long for the guide: its template reads the beginning of a message"
NO_EMPTY = "no pieces without anything in them"
CONTEXT = "a context is this server's own encoding, and another's is refused"
APART = "thinking and content come apart on every route"
COUNTED = "llama.cpp's own answer: it counts cached tokens, and names fields that it leaves empty"
LENIENT = "an effort for a model that does not think does nothing: coding agents always send one"
STARLETTE = "a preflight is answered with 200 and a text"

# What stays different whatever is asked, and why.
ALWAYS = {
    **dict.fromkeys(["server / unknown path", "server / wrong method", "server / wrong method on tags"], ROUTER),
    **dict.fromkeys(["server / trailing slash", "server / doubled slash", "openai / v1 unknown path"], ROUTER),
    **dict.fromkeys(["show / show", "show / show plain", "show / show with tag"], FILE),
    **dict.fromkeys(["models / pull", "models / pull whole", "models / push unknown", "models / me"], NOTHING_FETCHED),
    **dict.fromkeys(["models / delete unknown", "models / copy unknown"], NOTHING_FETCHED),
    **dict.fromkeys(["chat / chat bad format", "native template / native bad format"], SOONER),
    **dict.fromkeys(["chat errors / option of wrong type", "generate / generate no model"], BAD_REQUEST),
    **dict.fromkeys(["embed / embed with a chat model"], BAD_REQUEST),
    **dict.fromkeys(["chat errors / context overflow, no truncation"], CUT),
    **dict.fromkeys(["chat errors / context overflow, no shift", "native template / native context overflow"], CUT),
    "generate / generate think": NO_EMPTY,
    "generate / generate context": CONTEXT,
    "native template / native generate think": APART,
    **dict.fromkeys([f"openai / v1 {name}" for name in ("chat effort", "chat no effort", "messages")], COUNTED),
    **dict.fromkeys([f"openai / v1 {name}" for name in ("chat", "chat stream", "chat stream usage")], COUNTED),
    **dict.fromkeys([f"openai / v1 {name}" for name in ("completions", "completions stream", "responses")], COUNTED),
    "openai / v1 chat effort on plain": LENIENT,
    "origins / preflight": STARLETTE,
}

# What differs besides with the default that a tiny model has: the request does not say whether to think, Ollama
# thinks then, the guide does not.
SILENT = {
    "chat": ["stream", "whole", "length", "length whole", "stop", "system", "turns", "logprobs", "json", "unknown key"],
    "chat errors": ["unknown role", "no role", "only system", "empty content", "unknown option", "option a float"],
    "generate": ["stream", "whole", "system", "length"],
}
WITHOUT_THINKING = {
    f"{group} / {group + ' ' if ' ' not in group else ''}{n}" for group, ns in SILENT.items() for n in ns
}
WITHOUT_THINKING |= {f"chat errors / {name}" for name in ("option null", "negative temperature", "JSON as text")}
WITHOUT_THINKING |= {f"native template / native {name}" for name in ("chat", "chat whole", "logprobs")}
WHEN_THINKING = {"generate / generate stream", "generate / generate length", "native template / native logprobs"}


def plain(value: Any) -> Any:
    """Leave out what no client reads: an error's exact words, a charset, a last newline; and the models' notes."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {key: plain(item) for key, item in value.items() if key not in ("note", "ends")}
    if isinstance(kept.get("error"), str):
        kept["error"] = "words"
    return kept | ({"type": kept["type"].partition(";")[0]} if isinstance(kept.get("type"), str) else {})


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, letters: Path) -> Iterator[dict[str, Path]]:
    """The four models of the recording; all but the one for embeddings are the guide's weights."""
    without_thinking = with_template(GUIDE, tmp_path_factory.mktemp("plain") / "plain.gguf", PLAIN_TEMPLATE)
    yield {"guide": GUIDE, "native": GUIDE, "plain": without_thinking, "embed": letters}


@pytest.mark.parametrize(("think_default", "more"), [("on", WHEN_THINKING), ("off", WITHOUT_THINKING)])
def test_a_client_sees_what_a_real_ollama_shows(models: dict[str, Path], think_default: str, more: set[str]) -> None:
    """Every exchange looks the same to a client but for the listed ones, and each listed one does differ."""
    recorded = recordings()
    differing, count = {}, 0
    with engine("--think-default", think_default, models=models) as running:
        for group, name, _request, answer in exchanges.every_case(running.url):
            count += 1
            seen, expected = plain(exchanges.seen(answer)), plain(recorded[group, name])
            if seen != expected:
                differing[f"{group} / {name}"] = seen, expected
    assert count == len(recorded) == 154
    odd = differing.keys() ^ (ALWAYS.keys() | more)
    assert not odd, {name: differing.get(name) for name in odd}
