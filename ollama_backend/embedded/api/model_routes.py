"""Routes that list and describe models, in Ollama's and OpenAI's shapes, and routes that are refused."""

import time

from starlette.responses import Response

from ollama_backend.embedded.api.http_responses import NDJSON, json_reply
from ollama_backend.embedded.api.serving import Serving
from ollama_backend.embedded.errors import RequestError
from ollama_backend.embedded.model_card import stamp
from ollama_backend.embedded.request_json import Body, dumps

VERSION = "0.0.0-embedded"
FOREVER = "2318-01-01T00:00:00Z"
MAX_SECONDS = 10**9
REFUSED = ("push", "create", "copy", "delete", "me")
ADVICE = (
    "the embedded engine only serves the models that it was started with and cannot pull, create or delete any: "
    "install Ollama (https://ollama.com/download), or add a model file to CHAT_GGUF"
)


class ModelRoutes:
    """The handlers of the routes that generate nothing."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving

    def version(self) -> Body:
        """Answer `/api/version`."""
        return {"version": VERSION}

    def tags(self) -> Body:
        """Answer `/api/tags`, with the default model first."""
        return {"models": [model.listed() for model in self._serving.models]}

    def ps(self) -> Body:
        """Answer `/api/ps`, with the model that stays loaded longest first."""
        entries = []
        for loaded in self._serving.pool.running():
            until = FOREVER if loaded.expires_in > MAX_SECONDS else stamp(time.time() + loaded.expires_in)
            entries.append(loaded.model.running(loaded.plan.context, until))
        return {"models": entries}

    def openai_models(self) -> Body:
        """Answer `/v1/models`."""
        return {"object": "list", "data": [self.openai_model(model.tagged) for model in self._serving.models]}

    def openai_model(self, name: str) -> Body:
        """Answer `/v1/models/NAME`."""
        created = int(self._serving.find(name).gguf.modified)
        return {"id": name, "object": "model", "created": created, "owned_by": "library"}

    async def show(self, body: Body) -> Response:
        """Answer `/api/show`."""
        return json_reply(self._serving.find(body.get("model") or body.get("name")).show())

    async def pull(self, body: Body) -> Response:
        """Answer `/api/pull`: succeed at once for a served model, refuse any other.

        Some programs pull a model before they use it, whether or not it is there.
        """
        try:
            self._serving.find(body.get("model") or body.get("name"))
        except RequestError as error:
            raise RequestError(400, ADVICE) from error
        lines = [{"status": "pulling manifest"}, {"status": "success"}]
        if not body.get("stream", True):
            return json_reply(lines[-1])
        return Response(b"".join(dumps(line) + b"\n" for line in lines), media_type=NDJSON)
