"""The Gradio endpoint `/chat_api`: what `POST /chat_api` does, for `gradio_client`."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import gradio as gr

from ollama_backend.chat.admission import Admission
from ollama_backend.chat.answer_state import AnswerState
from ollama_backend.chat.answers import Answers
from ollama_backend.chat.conversation import ChatRequest, checked_request, messages_for
from ollama_backend.chat.follow import follow
from ollama_backend.chat.request import Request
from ollama_backend.errors import BackendError, BadRequest, Unauthorized
from ollama_backend.settings import Settings
from ollama_backend.surfaces.gradio_app.event_streams import EventStreams

HEARTBEAT_SECONDS = 5.0


def add_endpoint(
    blocks: gr.Blocks, settings: Settings, admission: Admission, answers: Answers, streams: EventStreams
) -> None:
    """Add the endpoint to a page; every failure becomes a `gr.Error` in words."""

    async def chat_api(
        prompt: str,
        model: str | None = None,
        system: str | None = None,
        think: bool | None = None,
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
                content = ""
                async for reader in readers:
                    new = "".join(delta.text for delta in reader.take() if delta.kind == "content")
                    if new or (answer.state is AnswerState.DONE and not content):
                        content += new
                        yield content
            if answer.error:
                raise answer.error
        except BackendError as exc:
            raise gr.Error(exc.message, print_exception=False) from exc

    with blocks:
        gr.api(  # type: ignore[attr-defined]
            chat_api, api_name="chat_api", concurrency_limit=None
        )


def checked(prompt: Any, model: Any, system: Any, think: Any, options: Any, settings: Settings) -> ChatRequest:
    """Return the request to a model; anyone can post anything here. Raises BadRequest."""
    for name, value, kind in (
        ("prompt", prompt, str),
        ("model", model, str),
        ("system", system, str),
        ("think", think, bool),
        ("options", options, dict),
    ):
        if value is not None and not isinstance(value, kind):
            raise BadRequest(f"{name!r} must be of type {kind.__name__}.")
    messages = messages_for(prompt or "", system, settings.system_prompt)
    return checked_request(messages, model=model, options=options, think=think, max_tokens=settings.max_tokens)
