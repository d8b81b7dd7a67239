"""What Ollama does with models and this program cannot: refused in Ollama's shapes, with the way out."""

from collections.abc import AsyncGenerator

from ollama_backend.embedded import bodies
from ollama_backend.embedded.bodies import dumps
from ollama_backend.embedded.card import plain_name
from ollama_backend.embedded.faults import Fault
from ollama_backend.embedded.native import ONE_MODEL
from ollama_backend.embedded.replies import BARE_JSON, Lines, Reply, whole
from ollama_backend.embedded.service import Service


async def _told(statuses: list[str], fault: str) -> AsyncGenerator[bytes, None]:
    for status in statuses:
        yield dumps({"status": status}) + b"\n"
    yield dumps({"error": fault}) + b"\n"


async def pull(service: Service, raw: bytes) -> Reply:
    """Answer `/api/pull`: the one model is there already, another cannot be had."""
    body = bodies.read(raw, bodies.NAMED)
    name = body.get("model") or body.get("name") or ""
    plain_name(name)
    if service.card.is_called(name):
        return _progress(["pulling manifest", "success"], body.get("stream", True))
    if body.get("stream", True):
        return Lines(_told(["pulling manifest"], f"pull model manifest: {ONE_MODEL}"))
    return whole({"error": f"pull model manifest: {ONE_MODEL}"}, 500, BARE_JSON)


def _progress(statuses: list[str], stream: bool) -> Reply:
    async def every() -> AsyncGenerator[bytes, None]:
        for status in statuses:
            yield dumps({"status": status}) + b"\n"

    return Lines(every()) if stream else whole({"status": statuses[-1]})


async def push(service: Service, raw: bytes) -> Reply:
    """Answer `/api/push`."""
    body = bodies.read(raw, bodies.NAMED)
    plain_name(body.get("model") or body.get("name") or "")
    return Lines(_told(["retrieving manifest", "couldn't retrieve manifest"], ONE_MODEL))


async def delete(service: Service, raw: bytes) -> Reply:
    """Answer `/api/delete`."""
    body = bodies.read(raw, bodies.NAMED)
    service.check_name(body.get("model") or body.get("name") or "")
    raise Fault(400, ONE_MODEL)


async def copy(service: Service, raw: bytes) -> Reply:
    """Answer `/api/copy`."""
    source = bodies.read(raw, bodies.NAMED).get("source", "")
    if not service.card.is_called(source):
        raise Fault(404, f'model "{source}" not found')
    raise Fault(400, ONE_MODEL)


async def create(service: Service, raw: bytes) -> Reply:
    """Answer `/api/create`."""
    body = bodies.read(raw, bodies.NAMED)
    if not body.get("from") and not body.get("files"):
        return whole({"error": "neither 'from' or 'files' was specified"}, 400, BARE_JSON)
    return whole({"error": ONE_MODEL}, 400, BARE_JSON)


async def me(service: Service, raw: bytes) -> Reply:
    """Answer `/api/me`: nobody is signed in here."""
    raise Fault(503, "account unavailable")
