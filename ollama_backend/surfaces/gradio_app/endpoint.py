"""The Gradio endpoint `/chat_api`: what `POST /chat_api` does, for `gradio_client`."""

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import gradio as gr
from gradio.components.api_component import Api

from ollama_backend.chat.admission import Admission
from ollama_backend.chat.answer import Answer, Reader
from ollama_backend.chat.answer_state import AnswerState
from ollama_backend.chat.answers import Answers
from ollama_backend.chat.conversation import THINK_SCHEMA, ChatRequest, checked_request, messages_for
from ollama_backend.chat.follow import follow
from ollama_backend.chat.request import Request
from ollama_backend.errors import INTERNAL_ERROR, BackendError, BadRequest, Unauthorized
from ollama_backend.settings import Settings
from ollama_backend.surfaces.gradio_app.event_bodies import API_NAME, PARAMETERS
from ollama_backend.surfaces.gradio_app.event_streams import EventStreams

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 5.0
DESCRIPTION = (
    "Answer one prompt. Returns the answer without its thinking; when streamed, each value is the text so far. "
    'The key is sent as a header: Client(url, headers={"Authorization": "Bearer KEY"}).'
)
_TEXT: dict[str, Any] = {"oneOf": [{"type": "null"}, {"type": "string"}]}
# For each parameter its JSON schema, its description and an example.
_DESCRIBED: dict[str, tuple[dict[str, Any], str, Any]] = {
    "prompt": ({"type": "string"}, "the prompt for the model", "Why is the sky blue?"),
    "model": (_TEXT, "an installed model; null for the default model", None),
    "system": (_TEXT, "the system message; null for the server's own", None),
    "think": (THINK_SCHEMA, "whether, or how much, to think; null for the model's default", None),
    "options": (
        {"oneOf": [{"type": "null"}, {"type": "object", "additionalProperties": {}}]},
        "Ollama's options, such as temperature, seed and num_predict",
        None,
    ),
}
_ANSWER = ({"type": "string"}, "the answer of the model", "Because of Rayleigh scattering.")


def add_endpoint(
    blocks: gr.Blocks, settings: Settings, admission: Admission, answers: Answers, streams: EventStreams
) -> None:
    """Add the endpoint to a page; every failure becomes a `gr.Error` with a message."""

    async def chat_api(
        prompt: str,
        model: str | None = None,
        system: str | None = None,
        think: bool | str | None = None,
        options: dict[str, Any] | None = None,
        request: gr.Request | None = None,
    ) -> AsyncGenerator[str, None]:
        """Answer one prompt; yields the text so far, without its thinking."""
        try:
            with Request(admission, "gradio", request.headers.get("x-request-id") if request else None) as admitted:
                if request is None:
                    raise Unauthorized("A key is needed, and this call has no headers.")
                admitted.authenticate(request.headers.raw, request.client.host)
                chat = checked(prompt, model, system, think, options, settings)
                answer = await answers.start(chat, admitted)
            gone = streams.gone(request.session_hash or "")
            async with aclosing(follow(answer, live=answers.live, gone=gone, heartbeat=HEARTBEAT_SECONDS)) as readers:
                text = TextSoFar(answer)
                async for reader in readers:
                    if text.read(reader) or (answer.state is AnswerState.DONE and not text.content):
                        yield text.content
            if answer.error:
                raise answer.error
        except BackendError as exc:
            raise gr.Error(exc.message, print_exception=False) from exc
        except Exception as exc:
            log.exception("a call of the endpoint failed")
            raise gr.Error(INTERNAL_ERROR, print_exception=False) from exc

    with blocks:
        # Without a limit of Gradio's: admission limits generations.
        gr.api(chat_api, api_name=API_NAME, api_description=DESCRIPTION, concurrency_limit=None)  # type: ignore[attr-defined]
        function = blocks.fns[max(blocks.fns)]
        for component, name in zip(function.inputs, PARAMETERS, strict=True):
            _describe(component, name, *_DESCRIBED[name])
        _describe(function.outputs[0], "answer", *_ANSWER)


def _describe(component: Any, name: str, schema: dict[str, Any], description: str, example: Any) -> None:
    """Name and describe a parameter; `gr.api` knows only its position and Python type."""
    assert isinstance(component, Api)  # noqa: S101 - what `gr.api` makes
    component.label = name
    # Gradio shows `additional_description` for parameters and `description` for return values.
    component._api_info = {**schema, "additional_description": description, "description": description}
    component.example_payload = lambda: example  # type: ignore[method-assign]


class TextSoFar:
    """The content of an answer that one reader has received so far."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._rewritten = False
        self.content = ""

    def read(self, reader: Reader) -> bool:
        """Add new deltas; return whether the content has changed."""
        before = self.content
        self.content += "".join(delta.text for delta in reader.take() if delta.kind == "content")
        if self._answer.rewritten and not self._rewritten:
            self._rewritten = True
            self.content = self._answer.text("content")
        return self.content != before


def checked(prompt: Any, model: Any, system: Any, think: Any, options: Any, settings: Settings) -> ChatRequest:
    """Return the request to a model; Gradio does not check the types of the arguments. Raises BadRequest."""
    for name, value, kind, expected in (
        ("prompt", prompt, str, "a string"),
        ("model", model, str, "a string"),
        ("system", system, str, "a string"),
        ("options", options, dict, "an object"),
    ):
        if value is not None and not isinstance(value, kind):
            raise BadRequest(f"{name!r} must be {expected}.")
    messages = messages_for(prompt or "", system, settings.system_prompt)
    return checked_request(messages, model=model, options=options, think=think, max_tokens=settings.max_tokens)
