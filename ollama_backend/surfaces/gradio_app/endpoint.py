"""The Gradio endpoint `/chat_api`: what `POST /chat_api` does, for `gradio_client`."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import gradio as gr

from ollama_backend.auth import Gate
from ollama_backend.chat.answer import State
from ollama_backend.chat.answers import Answers
from ollama_backend.chat.conversation import Ask, checked_ask, messages_for
from ollama_backend.chat.follow import follow
from ollama_backend.errors import BackendError, BadRequest, Unauthorized
from ollama_backend.settings import Settings
from ollama_backend.surfaces.gradio_app.event_streams import EventStreams

BEAT_SECONDS = 5.0


def add_endpoint(blocks: gr.Blocks, settings: Settings, answers: Answers, gate: Gate, streams: EventStreams) -> None:
    """Add the endpoint to a page; every failure is told as a `gr.Error` in words."""

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
            if request is None:
                raise Unauthorized("A key is needed, and this call has no headers.")
            caller = gate.caller(request.headers.raw, request.client.host)
            answer = answers.start(checked(prompt, model, system, think, options, settings), caller)
            gone = streams.gone(request.session_hash or "")
            async with aclosing(follow(answer, live=answers.live, gone=gone, beat=BEAT_SECONDS)) as updates:
                content = ""
                async for reader in updates:
                    new = "".join(delta.text for delta in reader.take() if delta.kind == "content")
                    if new or (answer.state is State.DONE and not content):
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


def checked(prompt: Any, model: Any, system: Any, think: Any, options: Any, settings: Settings) -> Ask:
    """Return what a caller asks: anyone can post anything here. Raises BadRequest."""
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
    return checked_ask(messages, model=model, options=options, think=think, max_tokens=settings.max_tokens)
