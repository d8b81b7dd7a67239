"""What every route shares: finding a model, and llama.cpp's events for a question to it."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from ollama_backend.embedded.api.truncation import cut_longest, drop_turns, without_middle
from ollama_backend.embedded.errors import LlamaError, RequestError
from ollama_backend.embedded.llama.loaded_models import LoadedModels
from ollama_backend.embedded.llama.sizing import LARGEST_CONTEXT, is_tiny
from ollama_backend.embedded.model_card import ServedModel, plain_name
from ollama_backend.embedded.request_json import Body

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
LONGEST_ANSWER_IN_CONTEXTS = 10  # as Ollama limits what is unlimited
TOO_LONG = (
    "the prompt is longer than the context length currently available to the model; shorten the prompt, "
    "adjust the context length in settings, or use a model with a longer context length"
)


def longest_answer(model: ServedModel, wanted: int | None) -> int:
    """Return the limit of an answer in tokens: as wanted, within what the model and its context allow."""
    context = min(model.gguf.number("context_length", LARGEST_CONTEXT), LARGEST_CONTEXT)
    ceiling = model.profile.longest_answer or LONGEST_ANSWER_IN_CONTEXTS * context
    return ceiling if wanted is None or wanted < 0 else min(wanted, ceiling)


@dataclass
class Question:
    """What llama.cpp is asked. Without `truncate` a prompt beyond the context is refused, without `shift` as well.

    `began` and `ready` (holding a slot) are in nanoseconds.
    """

    model: ServedModel
    path: str
    body: Body
    keep_alive: float | None = None
    truncate: bool = True
    shift: bool = True
    returns_context: bool = False
    began: int = 0
    ready: int = 0

    def __post_init__(self) -> None:
        self.began = time.perf_counter_ns()

    def shorten(self, error: LlamaError) -> bool:
        """Make a question that is too long shorter where it may be; tell whether to ask again."""
        if not error.is_too_long or not self.truncate:
            return False
        if not self.shift:
            raise RequestError(400, TOO_LONG)
        size, room = error.fields["n_prompt_tokens"], error.fields["n_ctx"]
        if isinstance(prompt := self.body.get("prompt"), str):
            self.body["prompt"] = without_middle(prompt, size, room)
            return bool(self.body["prompt"])
        items = self.body.get("messages", self.body.get("input"))
        return isinstance(items, list) and (drop_turns(items, size, room) or cut_longest(items, size, room))


@dataclass(frozen=True)
class Serving:
    """The models and how they answer; `pace` slows a tiny model down to so many tokens a second, 0 does not.

    `think_default` is for requests that do not say whether to think; None means yes but for a tiny model.
    """

    models: tuple[ServedModel, ...]
    loaded: LoadedModels
    think_default: bool | None = None
    pace: float = 0.0

    def find(self, name: str, missing: int = 400) -> ServedModel:
        """Return the model of that name. Raises RequestError for an unknown one."""
        if not name:
            raise RequestError(missing, "model is required")
        wanted = plain_name(name)
        for model in self.models:
            if plain_name(model.name) == wanted:
                return model
        served = ", ".join(model.name for model in self.models)
        raise RequestError(404, f"model '{name}' not found: this server has {served}")

    def find_chat(self, name: str) -> ServedModel:
        """Return a model that can chat."""
        model = self.find(name)
        if model.embeds:
            raise RequestError(400, f'"{model.name}" does not support chat')
        return model

    def template_options(self, model: ServedModel, think: bool | str | None) -> Body:
        """Return what tells a chat template whether to think; nothing for a model that cannot."""
        if not model.thinks:
            return {}
        if think is None:
            think = not is_tiny(model.gguf) if self.think_default is None else self.think_default
        effort = {"reasoning_effort": think} if isinstance(think, str) else {}
        return {"chat_template_kwargs": {"enable_thinking": bool(think)} | effort}

    async def events(self, question: Question) -> AsyncGenerator[Body, None]:
        """Yield llama.cpp's events; closing the iterator stops the generation and hands on the slot.

        Waits for a slot without limit, as Ollama does. Raises RequestError.
        """
        async with self.loaded.slot(question.model, question.keep_alive) as process:
            begin, count, asked = time.monotonic(), 0, False
            question.ready = time.perf_counter_ns()
            while not asked:
                try:
                    async with aclosing(process.stream(question.path, question.body)) as events:
                        async for event in events:
                            yield event
                            count += 1
                            await self._wait(question.model, begin, count)
                    asked = True
                except LlamaError as error:
                    if not question.shorten(error):
                        raise

    async def _wait(self, model: ServedModel, begin: float, count: int) -> None:
        if self.pace and is_tiny(model.gguf):
            await asyncio.sleep(begin + count / self.pace - time.monotonic())
