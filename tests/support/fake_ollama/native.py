"""`/api/chat` and `/api/generate`."""

from typing import TYPE_CHECKING, Any

from . import checks
from .answer import Written, answer
from .exchange import Exchange
from .generation import End
from .models import Model
from .script import Ask, Delta, Script
from .shapes import Refused, RefusedInStream, encode, now, seconds, tokens

if TYPE_CHECKING:
    from .server import FakeOllama

TOO_LONG = (
    "the prompt is longer than the context length currently available to the model; shorten the prompt, adjust the "
    "context length in settings, or use a model with a longer context length"
)


class Native:
    """The lines of both routes; `message` tells which."""

    stream_type = "application/x-ndjson"
    whole_type = "application/json; charset=utf-8"
    half = b'{"model":"gui\n'

    def __init__(self, ask: Ask) -> None:
        self.ask = ask
        self.chats = ask.path == "/api/chat"
        self.thought = self.spoke = False

    def delta(self, delta: Delta) -> bytes:
        first = b"" if self.thought or self.spoke else self.first_line(delta)
        thinking, content = self.spaced(delta)
        self.thought, self.spoke = self.thought or bool(delta.thinking), self.spoke or bool(delta.content)
        return first + self.line(self.part(thinking, content, delta.tool_calls), delta)

    def first_line(self, delta: Delta) -> bytes:
        """The `<think>` token: swallowed, but seen as an empty chunk in some cases."""
        if not delta.thinking or (self.chats and not (self.ask.native_template and self.ask.body.get("logprobs"))):
            return b""
        tag = "<think>" if self.ask.native_template and not self.chats else ""
        return self.line(self.part("", tag, []), Delta(content="<think>"))

    def spaced(self, delta: Delta) -> tuple[str, str]:
        """A bare template leaves the newlines before each part, and `/api/generate` its tags as text."""
        thinking, content = delta.thinking, delta.content
        if self.ask.native_template and not self.ask.raw:
            thinking = "\n" + thinking if thinking and not self.thought else thinking
            content = "\n\n" + content if content and not self.spoke else content
            if not self.chats:
                closing = "</think>" if content and self.thought and not self.spoke else ""
                return "", thinking + closing + content
        return thinking, content

    def part(self, thinking: str, content: str, calls: list[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
        thought = {"thinking": thinking} if thinking else {}
        called = {"tool_calls": [tool_call(number, *call) for number, call in enumerate(calls)]} if calls else {}
        if self.chats:
            return {"message": {"role": "assistant", "content": content, **thought, **called}}
        return {"response": content, **thought, **called}

    def line(self, part: dict[str, Any], delta: Delta) -> bytes:
        chances = {"logprobs": [logprob(delta, self.ask.body)]} if self.ask.body.get("logprobs") else {}
        return encode({"model": self.ask.model, "created_at": now(), **part, "done": False, **chances}) + b"\n"

    def last(self, end: End, part: dict[str, Any]) -> dict[str, Any]:
        done = {"done": True, "done_reason": end.reason} if end.ending == "done" else {"done": False}
        memory = {} if self.chats or self.ask.raw else {"context": list(range(1, end.generation.prompt_tokens + 1))}
        return {"model": self.ask.model, "created_at": now(), **part, **done, **memory, **end.metrics()}

    def done(self, end: End) -> bytes:
        return encode(self.last(end, self.part("", "", []))) + b"\n"

    def failure(self, text: str) -> bytes:
        return encode({"error": text}) + b"\n"

    def whole(self, end: End, written: Written) -> dict[str, Any]:
        thinking, content = "", ""
        for delta in written.deltas:
            spaced = self.spaced(delta)
            self.thought, self.spoke = self.thought or bool(delta.thinking), self.spoke or bool(delta.content)
            thinking, content = thinking + spaced[0], content + spaced[1]
        chances = (
            {"logprobs": [logprob(d, self.ask.body) for d in written.deltas]} if self.ask.body.get("logprobs") else {}
        )
        return self.last(end, self.part(thinking, content, written.tool_calls)) | chances

    def error(self, status: int, text: str) -> dict[str, Any]:
        return {"error": text}


def tool_call(number: int, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    return {"id": f"call_{number}{name}", "function": {"index": number, "name": name, "arguments": arguments}}


def logprob(delta: Delta, body: dict[str, Any]) -> dict[str, Any]:
    text = delta.thinking or delta.content
    one = {"token": text, "logprob": -0.02, "bytes": list(text.encode("utf-8", "surrogatepass"))}
    return one | ({"top_logprobs": [one] * body["top_logprobs"]} if body.get("top_logprobs") else {})


async def chat(fake: "FakeOllama", exchange: Exchange) -> None:
    body = checks.decode(exchange.request.raw, "ChatRequest", checks.CHAT)
    checks.check_think(body.get("think"))
    keep = seconds(body.get("keep_alive"))
    if not body.get("model"):
        raise Refused(400, "model is required")
    model = fake.model(body["model"])
    checks.check_logprobs(body)
    messages = body.get("messages") or []
    if not messages:
        await load_or_unload(fake, exchange, model, body, keep, {"message": {"role": "assistant", "content": ""}})
        return
    checks.check_options(body.get("options") or {})
    ask = ask_of(model, exchange.request.path, body, messages)
    await answer(fake, exchange, ask, Native(ask))


async def generate(fake: "FakeOllama", exchange: Exchange) -> None:
    body = checks.decode(exchange.request.raw, "GenerateRequest", checks.GENERATE)
    checks.check_think(body.get("think"))
    keep = seconds(body.get("keep_alive"))
    model = fake.model(body.get("model") or "")
    checks.check_logprobs(body)
    if body.get("suffix"):
        raise Refused(400, f"registry.ollama.ai/library/{model.key} does not support insert")
    if not body.get("prompt"):
        await load_or_unload(fake, exchange, model, body, keep, {"response": ""})
        return
    checks.check_options(body.get("options") or {})
    messages = [{"role": "user", "content": body["prompt"], "images": body.get("images")}]
    if body.get("system"):
        messages.insert(0, {"role": "system", "content": body["system"]})
    ask = ask_of(model, exchange.request.path, body, messages)
    ask.messages, ask.prompt = None, body["prompt"]
    await answer(fake, exchange, ask, Native(ask))


async def load_or_unload(
    fake: "FakeOllama", exchange: Exchange, model: Model, body: dict[str, Any], keep: float | None, part: dict[str, Any]
) -> None:
    """A request without a prompt: it touches no slot, so that it cannot tell a lost one."""
    reply = {"model": body["model"], "created_at": now(), **part, "done": True}
    if keep == 0:
        fake.scheduler.expire(model)
        await exchange.json(200, reply | {"done_reason": "unload"})
        return
    async with fake.scheduler.hold(model, body, keep):
        pass
    await exchange.json(200, reply | {"done_reason": "load", "created_at": now()})


def ask_of(model: Model, path: str, body: dict[str, Any], messages: list[dict[str, Any]]) -> Ask:
    """What is asked for, after every check of what the model can do."""
    kind = "generate" if path == "/api/generate" else "chat"
    if "embedding" in model.capabilities:
        raise Refused(400, f'"{body["model"]}" does not support {kind}')
    think = checks.check_think(body.get("think"))
    if think and not model.thinks:
        raise Refused(400, f'"{body["model"]}" does not support thinking')
    if body.get("tools") and "tools" not in model.capabilities:
        raise Refused(400, f"registry.ollama.ai/library/{model.key} does not support tools")
    checks.check_images([i for m in messages for i in m.get("images") or []], "vision" in model.capabilities)
    raw = bool(body.get("raw"))
    text = str(messages[-1].get("content") or "")
    rendered = text if raw else fitted(model, body, render(messages))
    goes_on = raw or messages[-1].get("role") == "assistant"
    thinks = model.thinks and think is not False and not goes_on
    ask = Ask(body["model"], path, text, rendered, body.get("stream") is not False, thinks, body)
    ask.messages, ask.raw, ask.options = messages, raw, body.get("options") or {}
    ask.format, ask.keep_alive = body.get("format"), seconds(body.get("keep_alive"))
    ask.native_template = model.native_template
    check_format(ask)
    return ask


def check_format(ask: Ask) -> None:
    """A bad `format` is found only when the answer's own text begins, which may be in mid-stream."""
    error = checks.bad_format(ask.format)
    if error is None:
        return
    ask.format = None
    if ask.native_template or not (ask.thinks and ask.stream):
        raise RefusedInStream(500, error)
    thought = [delta for delta in Script().tokens_for(ask) if delta.thinking]
    ask.script = Script(deltas=[*thought, Delta()], ending="error", error=error)


def render(messages: list[dict[str, Any]]) -> str:
    turns = (f"<|im_start|>{m.get('role') or ''}\n{m.get('content') or ''}<|im_end|>\n" for m in messages)
    return "".join(turns) + "<|im_start|>assistant\n"


def fitted(model: Model, body: dict[str, Any], rendered: str) -> str:
    """A prompt cut to the context as Ollama does it, or the refusal in its words."""
    wanted = (body.get("options") or {}).get("num_ctx") or model.context_length
    context = min(int(wanted), model.context_length)
    words = tokens(rendered)
    if len(words) <= context:
        return rendered
    if model.native_template or body.get("truncate") is False:
        raise checks.too_long(len(words), context)
    if body.get("shift") is False:
        raise Refused(400, TOO_LONG)
    return "".join(words[:4] + words[-context // 2 :])
