"""Every way in for a question: each asks it as a program would, and records what it got."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import aiohttp

ANSWER_SECONDS = 60.0
MESSAGES = [{"role": "user", "content": "Hello"}]


@dataclass
class Outcome:
    """What a program got: the status, the text, whether the answer ended well, and else the words and the code.

    The Gradio endpoint and realtime sessions have no status for an answer: theirs is that of the connection.
    """

    status: int
    text: str = ""
    done: bool = False
    error: str = ""
    code: str | None = None
    retry_after: str | None = None


Surface = Callable[[aiohttp.ClientSession], Awaitable[Outcome]]


async def _refusal(answer: aiohttp.ClientResponse) -> Outcome:
    error = (await answer.json())["error"]
    words, code = (error, None) if isinstance(error, str) else (error["message"], error["code"])
    return Outcome(answer.status, error=words, code=code, retry_after=answer.headers.get("Retry-After"))


async def _lines(answer: aiohttp.ClientResponse) -> AsyncIterator[dict[str, Any]]:
    async for line in answer.content:
        yield json.loads(line)


async def _events(answer: aiohttp.ClientResponse) -> AsyncIterator[tuple[str, str]]:
    """The name and the data of each event."""
    name = ""
    async for line in answer.content:
        field, _, value = line.decode().rstrip("\n").partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            yield name, value
            name = ""


def _native(path: str, text: Callable[[dict[str, Any]], str], **body: Any) -> Surface:
    async def ask(session: aiohttp.ClientSession) -> Outcome:
        async with session.post(path, json=body) as answer:
            if answer.status != 200:
                return await _refusal(answer)
            outcome = Outcome(200)
            async for line in _lines(answer):
                if "error" in line:
                    outcome.error, outcome.code = line["error"], line.get("code")
                else:
                    outcome.text += text(line)
                    outcome.done = outcome.done or line["done"]
            return outcome

    return ask


def _compatible(path: str, take: Callable[[Outcome, str, dict[str, Any]], None], **body: Any) -> Surface:
    """A route with event streams; `take` takes in an event that is no error."""

    async def ask(session: aiohttp.ClientSession) -> Outcome:
        async with session.post(path, json={"model": "guide", **body}) as answer:
            if answer.status != 200:
                return await _refusal(answer)
            outcome = Outcome(200)
            if not body.get("stream"):
                take(outcome, "", await answer.json())
                return outcome
            async for name, payload in _events(answer):
                if payload == "[DONE]":
                    outcome.done = True
                    continue
                event = json.loads(payload)
                error = event.get("error")
                if error:
                    outcome.error, outcome.code = error["message"], error["code"]
                else:
                    take(outcome, name, event)
            return outcome

    return ask


def _chat_completion(outcome: Outcome, _: str, event: dict[str, Any]) -> None:
    for choice in event["choices"]:
        outcome.text += choice.get("delta", choice.get("message"))["content"] if choice.get("delta") != {} else ""
        outcome.done = outcome.done or "message" in choice


def _completion(outcome: Outcome, _: str, event: dict[str, Any]) -> None:
    outcome.text += "".join(choice["text"] for choice in event["choices"])
    outcome.done = outcome.done or (event["object"] == "text_completion" and "usage" in event)


def _whole_message(outcome: Outcome, _: str, message: dict[str, Any]) -> None:
    outcome.text = "".join(block["text"] for block in message["content"] if block["type"] == "text")
    outcome.done = message["stop_reason"] is not None


def _whole_response(outcome: Outcome, _: str, response: dict[str, Any]) -> None:
    parts = [part for item in response["output"] if item["type"] == "message" for part in item["content"]]
    outcome.text = "".join(part["text"] for part in parts)
    outcome.done = response["status"] == "completed"


def _message(outcome: Outcome, name: str, event: dict[str, Any]) -> None:
    if name == "content_block_delta":
        outcome.text += event["delta"].get("text", "")
    outcome.done = outcome.done or name == "message_stop"


def _response(outcome: Outcome, name: str, event: dict[str, Any]) -> None:
    if name == "response.output_text.delta":
        outcome.text += event["delta"]
    outcome.done = outcome.done or name == "response.completed"


async def _gradio(session: aiohttp.ClientSession) -> Outcome:
    async with session.post("/gradio_api/call/chat_api", json={"data": ["Hello"]}) as answer:
        if answer.status != 200:
            return await _refusal(answer)
        event_id = (await answer.json())["event_id"]
    outcome = Outcome(200)
    async with session.get(f"/gradio_api/call/chat_api/{event_id}") as answer:
        async for name, payload in _events(answer):
            if name == "error":
                outcome.error = json.loads(payload)["error"]
            elif name in ("generating", "complete"):
                outcome.text = (json.loads(payload) or [outcome.text])[0] or outcome.text
                outcome.done = name == "complete"
    return outcome


async def page(session: aiohttp.ClientSession) -> Outcome:
    """The chat page, by the event that its script posts; it waits where Ollama is away, so it is not in SURFACES."""
    async with session.get("/config") as answer:
        rows = (await answer.json())["dependencies"]
    number = next(row["id"] for row in rows if row["api_name"] == "follow")
    turn = {"id": uuid4().hex, "start": True, "messages": [{"role": "user", "content": "Hello"}]}
    body = {"data": [turn], "fn_index": number, "session_hash": turn["id"]}
    async with session.post("/gradio_api/queue/join", json=body) as answer:
        answer.raise_for_status()
    outcome = Outcome(200)
    async with session.get("/gradio_api/queue/data", params={"session_hash": turn["id"]}) as answer:
        async for _, event in _events(answer):
            for update in _updates(json.loads(event)):
                outcome.text += update.get("content", {}).get("text", "")
                outcome.error, outcome.code = update.get("error") or "", update.get("code")
                outcome.done = update.get("state") == "done"
    return outcome


def _updates(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The update in one of Gradio's messages: a value, or how it differs from the one before."""
    for value in (message.get("output") or {}).get("data", []) if message["msg"] == "process_generating" else []:
        text = value if isinstance(value, str) else value[0][2] if isinstance(value, list) and value else ""
        if isinstance(text, str) and text.startswith("{"):
            yield json.loads(text)


async def _realtime(session: aiohttp.ClientSession) -> Outcome:
    outcome = Outcome(101)
    async with session.ws_connect("/ws") as socket:
        await socket.send_json({"type": "chat", "content": "Hello"})
        async for raw in socket:
            message = json.loads(raw.data)
            if message["type"] == "stream":
                outcome.text += message["content"]
            elif message["type"] == "error":
                outcome.error, outcome.code = message["message"], message["code"]
            if message["type"] in ("complete", "error", "stopped"):
                outcome.done = message["type"] == "complete"
                break
    return outcome


def _spoken(line: dict[str, Any]) -> str:
    return str(line["message"]["content"])


def _written(line: dict[str, Any]) -> str:
    return str(line["response"])


CHAT_API = _native("/chat_api", _written, prompt="Hello")
# Those of the page's own, then those that are passed through.
OWN: dict[str, Surface] = {
    "/chat_api": CHAT_API,
    "/chat_api, whole": _native("/chat_api", _written, prompt="Hello", stream=False),
    "Gradio": _gradio,
    "realtime": _realtime,
}
PASSED: dict[str, Surface] = {
    "/api/chat": _native("/api/chat", _spoken, model="guide", messages=MESSAGES),
    "/api/chat, whole": _native("/api/chat", _spoken, model="guide", messages=MESSAGES, stream=False),
    "/api/generate": _native("/api/generate", _written, model="guide", prompt="Hello"),
    "/v1/chat/completions": _compatible("/v1/chat/completions", _chat_completion, messages=MESSAGES, stream=True),
    "/v1/chat/completions, whole": _compatible("/v1/chat/completions", _chat_completion, messages=MESSAGES),
    "/v1/messages": _compatible("/v1/messages", _message, messages=MESSAGES, max_tokens=100, stream=True),
    "/v1/completions, whole": _compatible("/v1/completions", _completion, prompt="Hello"),
    "/v1/messages, whole": _compatible("/v1/messages", _whole_message, messages=MESSAGES, max_tokens=100),
    "/v1/responses, whole": _compatible("/v1/responses", _whole_response, input="Hello"),
    "/v1/responses": _compatible("/v1/responses", _response, input="Hello", stream=True),
}
SURFACES = OWN | PASSED
WHOLE = frozenset(name for name in SURFACES if name.endswith(", whole"))


async def ask_every_surface(session: aiohttp.ClientSession, without: Sequence[str] = ()) -> dict[str, Outcome]:
    """Ask all of them at the same time."""
    surfaces = {name: surface for name, surface in SURFACES.items() if name not in without}
    asking = (asyncio.wait_for(surface(session), ANSWER_SECONDS) for surface in surfaces.values())
    outcomes = await asyncio.gather(*asking)
    return dict(zip(surfaces, outcomes, strict=True))
