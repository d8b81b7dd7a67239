"""What a test asks of the next answers, and which answer gets it."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from .shapes import tokens

Ending = Literal["done", "error", "cut", "no_done", "malformed", "crash"]
CRASHED = "an error was encountered while running the model: unexpected EOF"
BUSY = "server busy, please try again.  maximum pending requests exceeded"
THINKING = "The question is about what this Space is. I have a note on that.\n"
CONTENT = "This is the scripted answer of a stand-in: it came word by word, and it ends here."


@dataclass
class Delta:
    """One token: its text, a call of a tool, or raw bytes put into the stream as they stand; `delay` in seconds."""

    content: str = ""
    thinking: str = ""
    delay: float | None = None
    tool_calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    raw: bytes | None = None


@dataclass
class Reply:
    """An answer outside the protocol, or one fixed for a path; with `is_cut` the connection breaks after the body."""

    status: int = 200
    body: bytes = b"<html><body>Bad gateway</body></html>"
    content_type: str = "text/html"
    headers: dict[str, str] = field(default_factory=dict)
    is_cut: bool = False


@dataclass
class Ask:
    """One generation as every surface asks for it; `thinks` is whether the answer has a thinking part."""

    model: str
    path: str
    text: str
    rendered: str
    stream: bool
    thinks: bool
    body: dict[str, Any]
    messages: list[dict[str, Any]] | None = None
    prompt: str | None = None
    raw: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    format: Any = None
    keep_alive: float | None = None
    native_template: bool = False
    script: "Script | None" = None


@dataclass
class Script:
    """How answers behave. Seconds, tokens per second; `math.inf` as `first_delay` is silence for ever.

    `end_delay` lies between the last delta and the last line. `after` is the number of deltas before the ending (None:
    all). `status` refuses before the first byte with `error` in the surface's own shape, or with `reply` as it stands.
    `split_every` cuts each line into pieces of so many bytes.
    """

    content: str | list[str] | Callable[[Ask], str] = CONTENT
    thinking: str | list[str] = THINKING
    deltas: list[Delta] | None = None
    first_delay: float = 0.0
    token_delay: float = 0.0
    end_delay: float = 0.0
    tokens_per_second: float | None = None
    after: int | None = None
    ending: Ending = "done"
    error: str = CRASHED
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    reply: Reply | None = None
    split_every: int | None = None
    model: str | None = None
    match: str | None = None
    raw: bool = False
    times: int | None = None

    def fits(self, ask: Ask) -> bool:
        names = {ask.model, ask.model.removesuffix(":latest")}
        wanted = self.model is None or self.model.removesuffix(":latest") in names
        return wanted and self.times != 0 and ask.raw == self.raw and (self.match is None or self.match in ask.text)

    def tokens_for(self, ask: Ask) -> list[Delta]:
        """The deltas of an answer, before `num_predict` and `stop` cut them."""
        if self.deltas is not None:
            return [delta for delta in self.deltas if ask.thinks or not delta.thinking]
        content = formed(ask.format) if ask.format else self.content(ask) if callable(self.content) else self.content
        thought = [Delta(thinking=piece) for piece in pieces(self.thinking)] if ask.thinks else []
        return thought + [Delta(content=piece) for piece in pieces(content)]

    def delay(self, delta: Delta, usual: float | None) -> float:
        speed = self.tokens_per_second or usual
        between = self.token_delay or (1 / speed if speed else 0.0)
        return between if delta.delay is None else delta.delay


class Scripts:
    """Those for a number of times first, in their order; then the lasting ones, the newest first."""

    def __init__(self) -> None:
        self.counted: list[Script] = []
        self.lasting: list[Script] = []

    def add(self, script: Script) -> Script:
        if script.times is None:
            self.lasting.insert(0, script)
        else:
            self.counted.append(script)
        return script

    def take(self, ask: Ask) -> Script:
        for script in (*self.counted, *self.lasting):
            if script.fits(ask):
                if script.times is not None:
                    script.times -= 1
                return script
        return Script()

    def clear(self) -> None:
        self.counted.clear()
        self.lasting.clear()


def pieces(text: str | list[str]) -> Iterable[str]:
    return tokens(text) if isinstance(text, str) else text


def formed(wanted: Any) -> str:
    """A JSON text of the asked form: the least value that a schema allows, or a plain object."""
    return json.dumps({"answer": "yes"} if wanted == "json" else least(wanted))


def least(schema: dict[str, Any]) -> Any:
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type", "object")
    if kind == "object":
        return {name: least(part) for name, part in schema.get("properties", {}).items()}
    return {"integer": 7, "number": 7.5, "boolean": True, "array": [], "null": None}.get(kind, "text")
