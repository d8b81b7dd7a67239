"""The routes around the answers: what is installed, what is loaded, pulling, deleting, embeddings."""

import asyncio
import hashlib
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import checks
from .exchange import Exchange
from .models import Model
from .shapes import FOR_EVER, Refused, RefusedInStream, canonical, digest, encode, seconds, tokens

if TYPE_CHECKING:
    from .server import FakeOllama

NO_SUCH = "pull model manifest: file does not exist"
DISK_FULL = "write /root/.ollama/models/blobs/sha256-partial: no space left on device"
REGISTRY = "https://registry.ollama.ai/v2/library/{}/manifests/latest"
OFFLINE = 'pull model manifest: Get "{}": dial tcp: lookup registry.ollama.ai on 127.0.0.53:53: no such host'


@dataclass
class Pull:
    """What a pull of one model does: it takes `seconds` in `steps`, and may fail after a share of its bytes."""

    model: Model
    seconds: float = 0.1
    steps: int = 10
    error: str | None = None
    error_at: float = 0.5


async def version(fake: "FakeOllama", exchange: Exchange) -> None:
    await exchange.json(200, {"version": fake.version})


async def tags(fake: "FakeOllama", exchange: Exchange) -> None:
    newest = sorted(fake.models.values(), key=lambda model: -model.installed_at)
    await exchange.json(200, {"models": [model.listed() for model in newest]})


async def ps(fake: "FakeOllama", exchange: Exchange) -> None:
    fake.scheduler.drop_expired()
    longest = sorted(fake.scheduler.loaded.values(), key=lambda runner: -runner.expires_at)
    rows = [runner.model.running(runner.expires_at, runner.settings[0]) for runner in longest]
    await exchange.json(200, {"models": rows})


async def show(fake: "FakeOllama", exchange: Exchange) -> None:
    body = checks.decode(exchange.request.raw, "ShowRequest", {"model": str, "name": str})
    name = body.get("model") or body.get("name")
    if not name:
        raise Refused(400, "model is required")
    if canonical(name) not in fake.models:
        raise Refused(404, f"model '{canonical(name)}' not found")
    await exchange.json(200, fake.model(name).shown())


async def pull(fake: "FakeOllama", exchange: Exchange) -> None:
    body = checks.decode(exchange.request.raw, "PullRequest", {"model": str, "name": str, "stream": bool})
    name = body.get("model") or body.get("name") or ""
    key = canonical(name)
    fake.pulls.append(key)
    if body.get("stream") is False:
        last: dict[str, Any] = {}
        async for last in progress(fake, name, key):
            if "error" in last:
                raise RefusedInStream(500, last["error"])
        await exchange.json(200, last)
        return
    await exchange.start(200, "application/x-ndjson")
    async for line in progress(fake, name, key):
        await exchange.write(encode(line) + b"\n")
    await exchange.end()


async def progress(fake: "FakeOllama", name: str, key: str) -> Any:
    yield {"status": "pulling manifest"}
    offer = fake.registry.get(key)
    if fake.offline or offer is None:
        yield {"error": OFFLINE.format(REGISTRY.format(name)) if fake.offline else NO_SUCH}
        return
    layer = digest(key)
    there = key in fake.models
    for step in range(offer.steps + 1):
        share = 1.0 if there else step / offer.steps
        if offer.error and share >= offer.error_at:
            yield {"error": offer.error}
            return
        total = offer.model.size
        completed = {"completed": int(total * share)} if share else {}
        yield {"status": f"pulling {layer[:12]}", "digest": f"sha256:{layer}", "total": total, **completed}
        await asyncio.sleep(0 if there else min(offer.seconds / offer.steps, FOR_EVER))
    for status in ("verifying sha256 digest", "writing manifest", "success"):
        if status == "success":
            fake.install(offer.model)
        yield {"status": status}


async def delete(fake: "FakeOllama", exchange: Exchange) -> None:
    body = checks.decode(exchange.request.raw, "DeleteRequest", {"model": str, "name": str})
    name = body.get("model") or body.get("name") or ""
    fake.model(name)
    fake.remove(name)
    await exchange.whole(200, b"", None, {})


async def copy(fake: "FakeOllama", exchange: Exchange) -> None:
    body = checks.decode(exchange.request.raw, "CopyRequest", {"source": str, "destination": str})
    if canonical(body.get("source") or "") not in fake.models:
        raise Refused(404, f'model "{body.get("source")}" not found')
    await exchange.whole(200, b"", None, {})


async def create(fake: "FakeOllama", exchange: Exchange) -> None:
    checks.decode(exchange.request.raw, "CreateRequest", {"model": str, "from": str, "files": dict})
    raise RefusedInStream(400, "neither 'from' or 'files' was specified")


async def push(fake: "FakeOllama", exchange: Exchange) -> None:
    body = checks.decode(exchange.request.raw, "PushRequest", {"model": str, "name": str, "stream": bool})
    path = (
        f"open /root/.ollama/models/manifests/registry.ollama.ai/{body.get('model')}/latest: no such file or directory"
    )
    await exchange.start(200, "application/x-ndjson")
    for line in ({"status": "retrieving manifest"}, {"status": "couldn't retrieve manifest"}, {"error": path}):
        await exchange.write(encode(line) + b"\n")
    await exchange.end()


async def me(fake: "FakeOllama", exchange: Exchange) -> None:
    raise Refused(503, "account unavailable")


def vector(text: str, length: int) -> list[float]:
    """A unit vector that depends on the text alone."""
    stream = hashlib.shake_256(text.encode("utf-8", "surrogatepass")).digest(length)
    raw = [byte - 127.5 for byte in stream]
    norm = math.sqrt(sum(value * value for value in raw))
    return [round(value / norm, 8) for value in raw]


async def vectors(fake: "FakeOllama", model: Model, texts: list[str], body: dict[str, Any]) -> list[list[float]]:
    if "embedding" not in model.capabilities:
        raise Refused(501, "This server does not support embeddings. Start it with `--embeddings`")
    async with fake.scheduler.hold(model, body, seconds(body.get("keep_alive"))) as runner:
        slot = await runner.take([])
        try:
            await asyncio.sleep(fake.embed_seconds)
            return [vector(text, body.get("dimensions") or model.embedding_length) for text in texts]
        finally:
            runner.free(slot)


def embedder(fake: "FakeOllama", name: str) -> Model:
    if canonical(name) not in fake.models:
        raise Refused(404, f'model "{name}" not found, try pulling it first')
    return fake.model(name)


def inputs(given: Any) -> list[str]:
    texts = [given] if isinstance(given, str) else given or []
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise Refused(400, "invalid input type")
    return texts


async def embed(fake: "FakeOllama", exchange: Exchange) -> None:
    started = time.monotonic()
    body = checks.decode(exchange.request.raw, "EmbedRequest", {"model": str, "options": dict, "dimensions": int})
    texts = inputs(body.get("input"))
    model = embedder(fake, body.get("model") or "")
    reply: dict[str, Any] = {"model": body["model"], "embeddings": []}
    if texts:
        reply["embeddings"] = await vectors(fake, model, texts, body)
        spent = int((time.monotonic() - started) * 1e9)
        reply |= {"total_duration": spent, "load_duration": 1}
        reply["prompt_eval_count"] = sum(len(tokens(text)) for text in texts)
    await exchange.json(200, reply)


async def embeddings(fake: "FakeOllama", exchange: Exchange) -> None:
    body = checks.decode(exchange.request.raw, "EmbeddingRequest", {"model": str, "prompt": str, "options": dict})
    if not body.get("model"):
        raise Refused(400, "model is required")
    found = await vectors(fake, embedder(fake, body["model"]), [body.get("prompt") or ""], body)
    await exchange.json(200, {"embedding": found[0]})
