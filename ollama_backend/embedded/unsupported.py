"""What Ollama does with models and this program cannot: refused, with the way out."""

from starlette.requests import Request
from starlette.responses import Response

from ollama_backend.embedded.api.replies import NDJSON, json_reply
from ollama_backend.embedded.api.serving import Serving
from ollama_backend.embedded.errors import RequestError
from ollama_backend.embedded.request_json import dumps, read

PATHS = ("push", "create", "copy", "delete", "me")
WAY_OUT = (
    "the embedded engine serves the models that it was started with and cannot fetch, make or remove others: "
    "install Ollama (https://ollama.com/download), or add a model file to CHAT_GGUF"
)


class ModelManagement:
    """The handlers of Ollama's routes that change models."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving

    async def pull(self, request: Request) -> Response:
        """Answer a program that pulls a model which is there already; refuse to fetch another."""
        body = read(await request.body())
        try:
            self._serving.find(body.get("model") or body.get("name"))
        except RequestError:
            return await self.refuse(request)
        lines = [{"status": "pulling manifest"}, {"status": "success"}]
        if not body.get("stream", True):
            return json_reply(lines[-1])
        return Response(b"".join(dumps(line) + b"\n" for line in lines), media_type=NDJSON)

    async def refuse(self, request: Request) -> Response:
        """Refuse."""
        raise RequestError(400, WAY_OUT)
