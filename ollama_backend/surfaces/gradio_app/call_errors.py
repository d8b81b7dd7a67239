"""Errors of functions that Gradio calls outside its queue: answered with their own status and shape.

Gradio answers 500 for every exception there (routes.py, `predict`), also where the caller only lacks the key.
"""

from starlette.types import Message, Scope, Send

from ollama_backend.errors import BackendError

_RAISED = "ollamaspace.raised"


def note_error(scope: Scope, error: BackendError) -> None:
    """Keep the error of a call for `CallErrors.check`."""
    scope.get(_RAISED, []).append(error)


class CallErrors:
    """Withholds Gradio's response to an error, so that the error itself can be raised after the call."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._raised: list[BackendError] = []
        # Gradio and Starlette copy the scope on the way to the function; all copies share this list.
        self.scope = {**scope, _RAISED: self._raised}
        self._send = send

    async def send(self, message: Message) -> None:
        """Send a part of the response, unless the function has raised an error."""
        if not self._raised:
            await self._send(message)

    def check(self) -> None:
        """Raise the error that the function has raised."""
        if self._raised:
            raise self._raised[0]
