"""What every program here does: it runs its cases in order and prints what came out as one JSON object.

The environment has `SPACE_URL`, `SPACE_KEY`, and `PROMPTS`, the questions that the server's model knows, as JSON.
"""

import asyncio
import inspect
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

URL = os.environ["SPACE_URL"]
KEY = os.environ["SPACE_KEY"]
BEARER = {"Authorization": f"Bearer {KEY}"}
PROMPTS: dict[str, str] = json.loads(os.environ["PROMPTS"])
MODEL = os.environ.get("SPACE_MODEL", "guide")
WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
}
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
}


def weather(city: str) -> str:
    """Return the weather in a city."""
    return PROMPTS["tool_result"].replace("CITY", city)


def described(exc: BaseException) -> dict[str, Any]:
    """The class, the status and the words of an exception, as the program would show them."""
    status = getattr(exc, "status_code", None)
    body = getattr(exc, "body", None)
    words = f"{exc} {json.dumps(body, default=str) if body else ''}"
    return {"error": {"kind": type(exc).__name__, "status": status, "words": words.strip()}}


async def outcome(case: Callable[[], Any]) -> dict[str, Any]:
    began = time.monotonic()
    fields: dict[str, Any] = {}
    try:
        value = case(fields) if inspect.signature(case).parameters else case()  # type: ignore[call-arg]
        if inspect.isawaitable(value):
            value = await value
        fields["value"] = value
    except Exception as exc:
        fields |= described(exc)
    return {**fields, "seconds": round(time.monotonic() - began, 2)}


async def run(cases: dict[str, Callable[..., Any]]) -> None:
    """Run the cases; one that takes an argument may write into it what it got before an exception."""
    print(json.dumps({name: await outcome(case) for name, case in cases.items()}))


def main(cases: dict[str, Callable[..., Any]]) -> None:
    asyncio.run(run(cases))
    sys.stdout.flush()
