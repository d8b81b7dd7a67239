"""Routes that list and describe models, in Ollama's and OpenAI's shapes, and routes that are refused."""

from datetime import UTC, datetime, timedelta

from starlette.requests import Request
from starlette.responses import Response

from ollama_backend.embedded.api.replies import NDJSON, json_reply
from ollama_backend.embedded.api.serving import Serving
from ollama_backend.embedded.errors import RequestError
from ollama_backend.embedded.model_card import ServedModel, stamp
from ollama_backend.embedded.request_json import Body, dumps, read

VERSION = "0.0.0-embedded"
FOREVER = "2318-01-01T00:00:00Z"
REFUSED = ("push", "create", "copy", "delete", "me")
WAY_OUT = (
    "the embedded engine only serves the models that it was started with and cannot pull, create or delete any: "
    "install Ollama (https://ollama.com/download), or add a model file to CHAT_GGUF"
)


class ModelRoutes:
    """The handlers of the routes that generate nothing."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving

    async def root(self, request: Request) -> Response:
        """Answer `/` as Ollama does; clients check their connection with it."""
        return Response("Ollama is running", media_type="text/plain")

    async def version(self, request: Request) -> Response:
        """Answer `/api/version`."""
        return json_reply({"version": VERSION})

    async def tags(self, request: Request) -> Response:
        """Answer `/api/tags`, with the default model first."""
        return json_reply({"models": [model.listed() for model in self._serving.models]})

    async def ps(self, request: Request) -> Response:
        """Answer `/api/ps`, with the model that stays loaded longest first."""
        entries = []
        for loaded in self._serving.pool.running():
            stays = loaded.expires_in
            until = FOREVER if stays > 10**9 else stamp((datetime.now(UTC) + timedelta(seconds=stays)).timestamp())
            entries.append(loaded.model.running(loaded.plan.context, until))
        return json_reply({"models": entries})

    async def show(self, request: Request) -> Response:
        """Answer `/api/show`."""
        return json_reply(self._named(read(await request.body())).show())

    async def pull(self, request: Request) -> Response:
        """Answer `/api/pull`: succeed at once for a served model, refuse any other.

        Some programs pull a model before they use it, whether or not it is there.
        """
        body = read(await request.body())
        try:
            self._named(body)
        except RequestError:
            return await self.refuse(request)
        lines = [{"status": "pulling manifest"}, {"status": "success"}]
        if not body.get("stream", True):
            return json_reply(lines[-1])
        return Response(b"".join(dumps(line) + b"\n" for line in lines), media_type=NDJSON)

    async def refuse(self, request: Request) -> Response:
        """Refuse a request that would change the models."""
        raise RequestError(400, WAY_OUT)

    async def openai_models(self, request: Request) -> Response:
        """Answer `/v1/models`."""
        entries = [_entry(model, model.tagged) for model in self._serving.models]
        return json_reply({"object": "list", "data": entries})

    async def openai_model(self, request: Request) -> Response:
        """Answer `/v1/models/NAME`."""
        name = request.path_params["name"]
        return json_reply(_entry(self._serving.find(name), name))

    def _named(self, body: Body) -> ServedModel:
        return self._serving.find(body.get("model") or body.get("name"))


def _entry(model: ServedModel, name: str) -> Body:
    return {"id": name, "object": "model", "created": int(model.gguf.modified), "owned_by": "library"}
