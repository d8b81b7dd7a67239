"""What Ollama does with models and this program cannot: refused, with the way out."""

from starlette.requests import Request
from starlette.responses import Response

from ollama_backend.embedded.api.replies import NDJSON, json_reply
from ollama_backend.embedded.api.serving import Serving
from ollama_backend.embedded.errors import RequestError
from ollama_backend.embedded.request_json import dumps, read

PATHS = ("pull", "push", "create", "copy", "delete", "me")
WAY_OUT = (
    "the embedded engine serves the models that it was started with and cannot fetch, make or remove others: "
    "install Ollama (https://ollama.com/download), or add a model file to CHAT_GGUF"
)


class ModelManagement:
    """The handlers of Ollama's routes that change models."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving

    async def refuse(self, request: Request) -> Response:
        """Refuse; but a program that pulls a model which is there goes on."""
        if request.url.path == "/api/pull" and self._is_there(read(await request.body())):
            body = read(await request.body())
            if body.get("stream", True):
                lines = [{"status": "pulling manifest"}, {"status": "success"}]
                return Response(b"".join(dumps(line) + b"\n" for line in lines), media_type=NDJSON)
            return json_reply({"status": "success"})
        raise RequestError(400, WAY_OUT)

    def _is_there(self, body: dict[str, object]) -> bool:
        try:
            self._serving.find(str(body.get("model") or body.get("name") or ""))
        except RequestError:
            return False
        return True
