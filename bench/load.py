"""Many callers at once against few places: what each gets, and what a visitor of the page notices.

    python -m bench.load [CALLERS]

Each caller has an address of its own and asks once. Prints how the requests ended, how long they took, and how quickly
the page's configuration and its first event were answered meanwhile.
"""

import asyncio
import statistics
import sys
import time
from collections import Counter

import aiohttp

from tests.support.surfaces import SURFACES, Outcome

from .processes import BEARER, app_and_stand_in

NAMES = (
    "/chat_api", "/chat_api, whole", "Gradio", "realtime", "/api/chat", "/v1/chat/completions", "/v1/messages",
)  # fmt: skip
PLACES = 4
LONGEST_SECONDS = 120


async def ask(url: str, number: int) -> tuple[str, float]:
    """Ask as one of the callers; return how it ended, and the seconds until then."""
    name = NAMES[number % len(NAMES)]
    headers = {**BEARER, "X-Forwarded-For": f"10.1.{number // 250}.{number % 250}"}
    began = time.monotonic()
    async with aiohttp.ClientSession(url, headers=headers) as session:
        try:
            outcome = await asyncio.wait_for(SURFACES[name](session), LONGEST_SECONDS)
        except TimeoutError:
            return "hung", LONGEST_SECONDS
    return ending(outcome), time.monotonic() - began


def ending(outcome: Outcome) -> str:
    """Return how a request ended, in words."""
    if outcome.done:
        return "answered"
    if outcome.status in (429, 503):
        return f"{outcome.status}: {outcome.error}"
    return (
        f"refused in words (no status there): {outcome.error}" if outcome.error else f"{outcome.status} without words"
    )


async def visit(session: aiohttp.ClientSession, path: str, body: object = None) -> float:
    """Ask for something of the page; return the milliseconds."""
    began = time.perf_counter()
    async with session.request("POST" if body else "GET", path, json=body) as answer:
        await answer.read()
        answer.raise_for_status()
    return 1000 * (time.perf_counter() - began)


async def measure(url: str, callers: int) -> None:
    """Let all ask at once, visit the page meanwhile, and print."""
    began = time.monotonic()
    async with aiohttp.ClientSession(url, headers=BEARER | {"X-Forwarded-For": "203.0.113.7"}) as visitor:
        async with visitor.get("/config") as answer:
            functions = (await answer.json())["dependencies"]
        index = next(function["id"] for function in functions if function["api_name"] == "hello")
        hello = {"data": [], "fn_index": index, "session_hash": "visitor"}
        asking = asyncio.gather(*(ask(url, number) for number in range(callers)))
        visits: dict[str, list[float]] = {"/config": [], "hello": []}
        while not asking.done():
            visits["/config"].append(await visit(visitor, "/config"))
            visits["hello"].append(await visit(visitor, "/gradio_api/run/predict", hello))
            await asyncio.sleep(0.05)
        ended = await asking
    print(f"{callers} callers, all over after {time.monotonic() - began:.1f} s:")
    for what, count in Counter(what for what, _ in ended).most_common():
        seconds = [taken for one, taken in ended if one == what]
        print(f"- {count} {what} (median {statistics.median(seconds):.1f} s, at most {max(seconds):.1f} s)")
    for what, times in visits.items():
        print(f"- the visitor's {what}: median {statistics.median(times):.0f} ms, at most {max(times):.0f} ms")


def main() -> None:
    """Measure with so many callers."""
    callers = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    with app_and_stand_in(slots=PLACES, speed=30, words=20, CHAT_TRUSTED_PROXIES="1") as (url, _, _app):
        asyncio.run(measure(url, callers))


if __name__ == "__main__":
    main()
