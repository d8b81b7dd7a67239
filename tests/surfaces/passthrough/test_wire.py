"""The pass-through is held to 154 exchanges that were recorded with a real Ollama."""

import asyncio

from tests.support.fake_ollama import FakeOllama, wire_models
from tests.support.gateway import BEARER, Gateway
from tests.support.recordings import exchanges, recordings

CLOSED = "models are managed where Ollama runs: no such route here"
ONE_SHAPE = "errors have one shape, JSON"
FOLDED = "slashes too many are folded without a redirect"
NOT_INSTALLED = "told in words that say what to do and which models there are"
WORDS = "a wrong body is refused before the line, in words for people"
UNWRAPPED = "Ollama's JSON inside JSON is unwrapped into a sentence"
CODE = "`code` names the failure for programs"
KEEP_ALIVE = "keep_alive is ignored: no caller unloads the model of all"
ORIGINS = "every origin is allowed by default, and the host is the Space's"
PREFLIGHT = "a preflight is answered by Starlette, with 200 and a body instead of 204"
CALLERS_FAULT = "what the caller must change is a 400, in words that say how"

KNOWN = {
    "server / unknown path": ONE_SHAPE,
    "server / wrong method": ONE_SHAPE,
    "server / wrong method on tags": ONE_SHAPE,
    "server / trailing slash": FOLDED,
    "server / doubled slash": FOLDED,
    "show / show unknown": NOT_INSTALLED,
    "chat / chat bad format": WORDS,
    "chat / chat images": UNWRAPPED,
    "chat load / load unknown": NOT_INSTALLED,
    "chat load / unload": KEEP_ALIVE,
    "chat load / load bad keep_alive": KEEP_ALIVE,
    "chat errors / unknown model": NOT_INSTALLED,
    "chat errors / unknown model whole": NOT_INSTALLED,
    "chat errors / unknown tag": NOT_INSTALLED,
    "chat errors / not JSON": WORDS,
    "chat errors / half JSON": WORDS,
    "chat errors / array": WORDS,
    "chat errors / messages a string": WORDS,
    "chat errors / content a number": WORDS,
    "chat errors / stream a string": WORDS,
    "chat errors / option of wrong type": WORDS,
    "chat errors / options a list": WORDS,
    "chat errors / form encoded": WORDS,
    "chat errors / context overflow, no truncation": UNWRAPPED,
    "chat errors / context overflow, no shift": "`shift` is ignored: it would load the model anew for everyone",
    "generate / generate unload": KEEP_ALIVE,
    "generate / generate unknown": NOT_INSTALLED,
    "generate / generate prompt a number": WORDS,
    "native template / native context overflow": UNWRAPPED,
    "native template / native bad format": WORDS,
    "embed / embed unknown": NOT_INSTALLED,
    "embed / embed with a chat model": CALLERS_FAULT,
    "models / pull": CLOSED,
    "models / pull whole": CLOSED,
    "models / pull no model": CLOSED,
    "models / pull bad name": CLOSED,
    "models / delete unknown": CLOSED,
    "models / copy unknown": CLOSED,
    "models / create nothing": CLOSED,
    "models / push unknown": CLOSED,
    "models / me": CLOSED,
    "origins / foreign origin": ORIGINS,
    "origins / null origin": ORIGINS,
    "origins / foreign preflight": ORIGINS,
    "origins / preflight": PREFLIGHT,
    "origins / foreign host": ORIGINS,
    "origins / space host": ORIGINS,
    "origins / bearer": "the case brings a key of its own, which is wrong here",
    "openai / v1 model unknown": CODE,
    "openai / v1 chat effort on plain": CODE,
    "openai / v1 chat unknown": CODE,
    "openai / v1 chat empty": CODE,
    "openai / v1 chat bad JSON": CODE,
    "openai / v1 chat no model": CODE,
    "openai / v1 chat wrong type": CODE,
    "openai / v1 chat image url": CODE,
    "openai / v1 embeddings unknown": CODE,
    "openai / v1 unknown path": ONE_SHAPE,
    "openai / v1 responses": "max_output_tokens, which the answer repeats, is the ceiling of this server",
}


async def test_a_client_sees_what_the_real_one_answered() -> None:
    """Every recorded exchange looks the same through the app, but for the listed ones, and those do differ."""
    recorded = recordings()
    async with FakeOllama(wire_models()) as fake, Gateway(fake) as gateway:
        fake.offline = True  # the recordings were made without internet
        fake.script(match="word word", thinking=[])  # a prompt cut in the middle made the model lose its thread
        await gateway.post("/api/embed", {"model": "embed", "input": "a"})  # for /api/ps to show
        answered = await asyncio.to_thread(lambda: list(exchanges.every_case(gateway.url, (), BEARER)))
    seen = {(group, name): exchanges.seen(answer) for group, name, _request, answer in answered}
    assert seen.keys() == recorded.keys() and len(seen) == 154
    differing = {f"{group} / {name}": (seen[group, name], real) for (group, name), real in recorded.items()}
    differing = {name: both for name, both in differing.items() if both[0] != both[1]}
    assert differing.keys() == KNOWN.keys(), {name: differing.get(name) for name in differing.keys() ^ KNOWN.keys()}
