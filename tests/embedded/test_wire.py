"""The embedded engine is held to 154 exchanges that were recorded with a real Ollama."""

import pytest

from tests.support.embedded_engine import engine
from tests.support.recordings import exchanges, recordings

ANOTHER = "another model's case: the embedded engine serves one model, and answers that this one is not there"
NOTHING_FETCHED = "it cannot fetch or send models, and says what to do instead of what the registry's name server said"

AUTHOR = "the guide's file names no author, as the recorded model's does"
CUT = "nothing is too long for the guide: its template reads the beginning of a message"

# What stays different whatever is asked, and why.
ALWAYS = {
    "chat / chat bad format": "refused before anything is generated; Ollama thinks first and then fails in the stream",
    "models / pull": NOTHING_FETCHED,
    "models / pull whole": NOTHING_FETCHED,
    "models / push unknown": NOTHING_FETCHED,
    "show / show": AUTHOR,
    "show / show with tag": AUTHOR,
    "chat errors / context overflow, no truncation": CUT,
    "chat errors / context overflow, no shift": CUT,
    "show / show plain": ANOTHER,
    "chat errors / think on a plain model": ANOTHER,
    "chat errors / no think on a plain model": ANOTHER,
    "chat errors / plain model": ANOTHER,
    "generate / generate think plain": ANOTHER,
    "native template / native chat": ANOTHER,
    "native template / native chat whole": ANOTHER,
    "native template / native no think": ANOTHER,
    "native template / native generate think": ANOTHER,
    "native template / native context overflow": ANOTHER,
    "native template / native logprobs": ANOTHER,
    "native template / native bad format": ANOTHER,
    "embed / embed": ANOTHER,
    "embed / embed two": ANOTHER,
    "embed / embed none": ANOTHER,
    "embed / embed missing input": ANOTHER,
    "embed / embed number": ANOTHER,
    "embed / embeddings": ANOTHER,
    "embed / chat with an embedding model": ANOTHER,
    "embed / embed dimensions": ANOTHER,
    "openai / v1 chat effort on plain": ANOTHER,
    "openai / v1 embeddings": ANOTHER,
    "openai / v1 embeddings base64": ANOTHER,
}

SILENT = "the request does not say whether to think: Ollama thinks then, the guide does not unless it is asked to"
# What differs besides with the default that a tiny model has.
WITHOUT_THINKING = dict.fromkeys(
    [
        "chat / chat stream",
        "chat / chat whole",
        "chat / chat length",
        "chat / chat length whole",
        "chat / chat stop",
        "chat / chat system",
        "chat / chat turns",
        "chat / chat logprobs",
        "chat / chat json",
        "chat / chat unknown key",
        "chat errors / unknown role",
        "chat errors / no role",
        "chat errors / only system",
        "chat errors / empty content",
        "chat errors / unknown option",
        "chat errors / option a float",
        "chat errors / option null",
        "chat errors / negative temperature",
        "chat errors / JSON as text",
        "generate / generate stream",
        "generate / generate whole",
        "generate / generate system",
        "generate / generate context",
        "generate / generate length",
        "openai / v1 chat",
        "openai / v1 chat stream",
        "openai / v1 chat stream usage",
        "openai / v1 messages",
        "openai / v1 responses",
    ],
    SILENT,
)
WHEN_THINKING: dict[str, str] = {}


@pytest.mark.parametrize(("think_default", "more"), [("on", WHEN_THINKING), ("off", WITHOUT_THINKING)])
def test_a_client_sees_what_a_real_ollama_shows(think_default: str, more: dict[str, str]) -> None:
    """Every exchange looks the same to a client but for the listed ones, and each listed one does differ."""
    recorded = recordings()
    differing, count = {}, 0
    with engine("--think-default", think_default) as running:
        for group, name, _request, answer in exchanges.every_case(running.url):
            count += 1
            if exchanges.seen(answer) != recorded[group, name]:
                differing[f"{group} / {name}"] = exchanges.seen(answer), recorded[group, name]
    assert count == len(recorded) == 154
    odd = differing.keys() ^ (ALWAYS | more).keys()
    assert not odd, {name: differing.get(name) for name in odd}
