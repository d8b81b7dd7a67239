"""Lists and details of models, without the models that requests may not name and without folders of files."""

import asyncio
import re

import msgspec

from ollama_backend.errors import ModelNotFound, NotFound, OllamaFailed
from ollama_backend.formats import model_name
from ollama_backend.json_text import JsonObject
from ollama_backend.ollama.hosts import Hosts
from ollama_backend.ollama.upstream import Upstream
from ollama_backend.ollama.upstream_messages import reworded
from ollama_backend.ollama.wire import NOT_ITS_PROTOCOL, failure
from ollama_backend.surfaces.asgi.exchange import Exchange
from ollama_backend.surfaces.passthrough.requests import named_model, sent_name
from ollama_backend.surfaces.passthrough.strict_json import encode

_PATH = r"\"?(?:~|/|[A-Za-z]:\\).*"
_FROM = re.compile(rf"^(FROM\s+){_PATH}$", re.MULTILINE)
_OTHERS = re.compile(rf"^((?:ADAPTER|DRAFT|PROJECTOR)\s+){_PATH}$", re.MULTILINE)


class ModelLists:
    """Answers the routes that need no slot, from one host or, for lists, from all. They never wait in the line."""

    def __init__(self, hosts: Hosts, *, in_cloud: bool) -> None:
        self._hosts = hosts
        self._in_cloud = in_cloud

    async def version(self, exchange: Exchange) -> None:
        """Answer with Ollama's version."""
        client = self._hosts.up[0].client
        with reworded(client.messages):
            media_type, raw = await client.get("/api/version")
            _decoded(raw)
        await _send(exchange, media_type, raw)

    async def tags(self, exchange: Exchange) -> None:
        """List the models that requests may name."""
        await self._listed(exchange, "/api/tags", "models", "name")

    async def models(self, exchange: Exchange) -> None:
        """List the models that requests may name, in OpenAI's shape."""
        await self._listed(exchange, "/v1/models", "data", "id")

    async def running(self, exchange: Exchange) -> None:
        """List the loaded models. The list is empty for the cloud, which does not report them."""
        if self._in_cloud:
            await exchange.whole(200, {"models": []})
        else:
            await self._listed(exchange, "/api/ps", "models", "name", is_union=False)

    async def model(self, exchange: Exchange, name: str) -> None:
        """Show one model in OpenAI's shape, taken from the list: Ollama's own route rejects names with a slash."""
        resolved = self._hosts.resolve(named_model("/v1/models", {"model": name}))
        client = self._hosts.with_model(resolved).client
        media_type, _, rows = await _list_of(client, "/v1/models", "data")
        for row in rows:
            if model_name(str(row.get("id"))) == model_name(resolved):
                await _send(exchange, media_type, msgspec.json.encode({**row, "id": name}) + b"\n")
                return
        raise ModelNotFound(f"The model {name!r} is not installed.")

    async def show(self, exchange: Exchange, body: JsonObject) -> None:
        """Show the details of one model, without the folders of its files."""
        name = named_model("/api/show", body)
        resolved = self._hosts.resolve(name)
        host = self._hosts.with_model(resolved)
        sent = sent_name(name, host.readiness.installed(resolved) or resolved)
        request = encode({"model": sent, "verbose": bool(body.get("verbose"))})
        media_type, raw = await host.client.get("/api/show", request, "POST")
        shown = _decoded(raw)
        if isinstance(shown.get("modelfile"), str):
            shown["modelfile"] = without_folders(shown["modelfile"], sent)
        await _send(exchange, media_type, msgspec.json.encode(shown))

    async def count_tokens(self, exchange: Exchange, body: JsonObject) -> None:
        """Count the tokens of a request in Anthropic's dialect. Raises NotFound if the engine cannot."""
        host = self._hosts.with_model(str(body.get("model", "")))
        try:
            media_type, raw = await host.client.get(exchange.path, encode(body), "POST")
        except NotFound as exc:
            raise NotFound("This engine does not count tokens. As an estimate, one token is about 4 bytes.") from exc
        await _send(exchange, media_type, raw)

    async def _listed(self, exchange: Exchange, path: str, rows: str, name: str, *, is_union: bool = True) -> None:
        """Send the rows of all hosts for allowed models; with `is_union` each model is listed once."""
        # A host that fails must not hide the models of the others.
        clients = [host.client for host in self._hosts.up]
        answers = await asyncio.gather(*(_list_of(client, path, rows) for client in clients), return_exceptions=True)

        def name_of(row: JsonObject) -> str:
            return model_name(str(row.get(name) or row.get("model")))

        lists = [answer for answer in answers if not isinstance(answer, BaseException)]
        if not lists:
            raise next(answer for answer in answers if isinstance(answer, BaseException))
        media_type, raw, _ = lists[0]
        allowed = {model_name(model.name) for model in self._hosts.models}
        listed = [row for _, _, its_rows in lists for row in its_rows]
        kept = [row for row in listed if name_of(row) in allowed]
        if is_union:  # of equal rows the first one stays, in its place
            kept = list({name_of(row): row for row in reversed(kept)}.values())[::-1]
        if len(lists) > 1 or len(kept) < len(listed):  # else Ollama's own bytes are sent
            raw = msgspec.json.encode({**_decoded(raw), rows: kept})
        await _send(exchange, media_type, raw)


def without_folders(modelfile: str, model: str) -> str:
    """Return a Modelfile with the model's name in place of its file, and other files without their folders."""
    named = _FROM.sub(lambda line: line[1] + model, modelfile)
    return _OTHERS.sub(lambda line: line[1] + re.split(r"[/\\]", line[0].strip().rstrip('"'))[-1], named)


async def _list_of(client: Upstream, path: str, name: str) -> tuple[bytes, bytes, list[JsonObject]]:
    """Return the content type, the bytes and the rows of a list."""
    with reworded(client.messages):
        media_type, raw = await client.get(path)
        return media_type, raw, _rows(raw, name)


def _decoded(raw: bytes) -> JsonObject:
    try:
        value = msgspec.json.decode(raw, type=JsonObject)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise OllamaFailed(NOT_ITS_PROTOCOL) from exc
    if value.get("error"):  # with status 200
        raise failure(200, raw)
    return value


def _rows(raw: bytes, name: str) -> list[JsonObject]:
    try:
        return msgspec.convert(_decoded(raw).get(name) or [], list[JsonObject])
    except msgspec.ValidationError as exc:
        raise OllamaFailed(NOT_ITS_PROTOCOL) from exc


async def _send(exchange: Exchange, media_type: bytes, raw: bytes) -> None:
    await exchange.begin(
        200, media_type, [(b"content-length", str(len(raw)).encode()), (b"cache-control", b"no-store")]
    )
    await exchange.send(b"" if exchange.method == "HEAD" else raw, more=False)
