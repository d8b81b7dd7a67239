"""The stand-in is held to 154 exchanges that were recorded with a real Ollama."""

from tests.support.fake_ollama import FakeOllama, wire_models
from tests.support.recordings import exchanges, recordings

# What stays different, and why.
KNOWN = {
    "chat errors / context overflow, no truncation": "the error counts the prompt in another tokenizer's tokens",
    "native template / native context overflow": "the error counts the prompt in another tokenizer's tokens",
}


def test_the_stand_in_answers_as_the_real_one_did() -> None:
    """Every recorded exchange looks the same to a client, but for the listed ones, and those do differ."""
    recorded = recordings()
    differing, count = {}, 0
    with FakeOllama(wire_models()) as fake:
        fake.offline = True  # the recordings were made without internet
        fake.script(match="word word", thinking=[])  # a prompt cut in the middle made the model lose its thread
        exchanges.exchange(fake.url, "POST", "/api/embed", {"model": "embed", "input": "a"}, {})  # for /api/ps to show
        for group, name, _request, answer in exchanges.every_case(fake.url):
            count += 1
            if exchanges.seen(answer) != recorded[group, name]:
                differing[f"{group} / {name}"] = exchanges.seen(answer), recorded[group, name]
    assert count == len(recorded) == 154
    assert differing.keys() == KNOWN.keys(), {name: differing.get(name) for name in differing.keys() ^ KNOWN.keys()}
