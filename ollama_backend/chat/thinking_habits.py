"""Which models think in their content, from what Ollama shows of them and from their answers so far.

Some thinking models think although they are told not to: Ollama then leaves it in the content (ollama#12438).
"""

import asyncio
import time
from dataclasses import dataclass

from ollama_backend.chat.answer_state import AnswerState
from ollama_backend.chat.thinking import ThinkingSplitter, opens_thinking
from ollama_backend.chat.written_answer import WrittenAnswer
from ollama_backend.errors import BackendError
from ollama_backend.ollama.upstream import Upstream

LOOKED_UP_AGAIN_SECONDS = 600.0
WAIT_SECONDS = 1.0  # an answer is not held up longer for this

Think = bool | str | None


@dataclass(frozen=True, slots=True)
class _Habit:
    """`separates` is whether Ollama takes the thinking apart, `opens` whether the template opens the block."""

    separates: bool
    opens: bool


class ThinkingHabits:
    """Looks each model up once in a while, and remembers those that thought although they were told not to."""

    def __init__(self) -> None:
        self._lookups: dict[tuple[Upstream, str], tuple[float, asyncio.Task[_Habit | None]]] = {}
        self._disobedient: set[str] = set()

    async def close(self) -> None:
        """End the requests for models."""
        lookups = [task for _, task in self._lookups.values()]
        for task in lookups:
            task.cancel()
        await asyncio.gather(*lookups, return_exceptions=True)

    def ask(self, client: Upstream, model: str) -> None:
        """Begin to find out about a model, while its answer is being started."""
        looked_up_at, _ = self._lookups.get((client, model), (-LOOKED_UP_AGAIN_SECONDS, None))
        if time.monotonic() - looked_up_at >= LOOKED_UP_AGAIN_SECONDS:
            self._lookups[client, model] = time.monotonic(), asyncio.create_task(self._look(client, model))

    async def splitter(self, client: Upstream, model: str, think: Think) -> ThinkingSplitter:
        """Return what takes a new answer of a model apart."""
        habit = None
        if (client, model) in self._lookups:
            task = self._lookups[client, model][1]
            await asyncio.wait((task,), timeout=WAIT_SECONDS)
            habit = task.result() if task.done() and not task.cancelled() else None
        if habit is None:
            return ThinkingSplitter(may_close=True)
        opened = habit.opens and not habit.separates
        if think is False and habit.separates:
            opened = habit.opens or model in self._disobedient
        return ThinkingSplitter(opened=opened, may_close=habit.opens or habit.separates)

    def learn(self, model: str, think: Think, answer: WrittenAnswer) -> None:
        """Take note of an answer that has ended."""
        if think is False and answer.splitter.closed_unopened:
            self._disobedient.add(model)
        elif answer.splitter.unclosed and answer.state is AnswerState.DONE:
            self._disobedient.discard(model)

    async def _look(self, client: Upstream, model: str) -> _Habit | None:
        try:
            shown = await client.shown(model)
        except BackendError:
            return None  # a server that shows no models
        opens = opens_thinking(shown.template or "", shown.modelfile or "")
        return _Habit(separates="thinking" in (shown.capabilities or ()), opens=opens)
