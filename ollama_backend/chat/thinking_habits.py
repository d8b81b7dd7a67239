"""Which models think in their content, by Ollama's model details and by their earlier answers.

Some models think even with `think: false`. Ollama then leaves the thinking in the content (ollama#12438).
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
WAIT_SECONDS = 1.0  # an answer is not delayed longer than this

Think = bool | str | None


@dataclass(frozen=True, slots=True)
class _Habit:
    """`separates` is whether Ollama separates the thinking, `opens` whether the template opens the block."""

    separates: bool
    opens: bool


class ThinkingHabits:
    """Looks models up from time to time, and remembers those that thought despite `think: false`."""

    def __init__(self) -> None:
        self._lookups: dict[tuple[Upstream, str], tuple[float, asyncio.Task[_Habit | None]]] = {}
        self._disobedient: set[str] = set()

    async def close(self) -> None:
        """Cancel the requests for model details."""
        lookups = [task for _, task in self._lookups.values()]
        for task in lookups:
            task.cancel()
        await asyncio.gather(*lookups, return_exceptions=True)

    def look_up(self, client: Upstream, model: str) -> None:
        """Start looking a model up, while its answer is being started."""
        looked_up_at, _ = self._lookups.get((client, model), (-LOOKED_UP_AGAIN_SECONDS, None))
        if time.monotonic() - looked_up_at >= LOOKED_UP_AGAIN_SECONDS:
            self._lookups[client, model] = time.monotonic(), asyncio.create_task(self._look(client, model))

    def is_looking_up(self, client: Upstream, model: str) -> bool:
        """Return whether a model is being looked up."""
        return (client, model) in self._lookups and not self._lookups[client, model][1].done()

    async def wait_for_lookup(self, client: Upstream, model: str) -> None:
        """Wait until a model has been looked up, but not longer than WAIT_SECONDS."""
        await asyncio.wait((self._lookups[client, model][1],), timeout=WAIT_SECONDS)

    def splitter(self, client: Upstream, model: str, think: Think) -> ThinkingSplitter:
        """Return the splitter for a new answer of a model, by what is known of it."""
        _, task = self._lookups.get((client, model), (0.0, None))
        habit = task.result() if task and task.done() and not task.cancelled() else None
        if habit is None:
            return ThinkingSplitter(may_close=True)
        opened = habit.opens and not habit.separates
        if think is False and habit.separates:
            opened = habit.opens or model in self._disobedient
        return ThinkingSplitter(opened=opened, may_close=habit.opens or habit.separates)

    def learn(self, model: str, think: Think, answer: WrittenAnswer) -> None:
        """Learn from an answer that has ended."""
        if think is False and answer.splitter.closed_unopened:
            self._disobedient.add(model)
        elif answer.splitter.unclosed and answer.state is AnswerState.DONE:
            # The block was never closed: this time the model did not think, so it is expected to obey again.
            self._disobedient.discard(model)

    async def _look(self, client: Upstream, model: str) -> _Habit | None:
        try:
            shown = await client.shown(model)
        except BackendError:
            return None  # the server has no model details
        opens = opens_thinking(shown.template or "", shown.modelfile or "")
        return _Habit(separates="thinking" in (shown.capabilities or ()), opens=opens)
