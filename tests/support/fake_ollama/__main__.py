"""`python -m tests.fake_ollama --port N [MODEL …]`: the stand-in by hand."""

import argparse
import asyncio

import uvloop

from . import FakeOllama, wire_models


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", help="default: those of the recordings")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--slots", type=int, default=1)
    parser.add_argument("--offer", nargs="*", default=[], help="models that can be pulled")
    parser.add_argument("--speed", type=float, default=30.0, help="tokens per second; 0: as fast as it goes")
    parser.add_argument("--words", type=int, default=0, help="tokens of an answer, without thinking; 0: the usual text")
    parser.add_argument("--silence", type=float, default=0.0, help="seconds before the first token")
    parser.add_argument("--wedge", type=float, default=0.0, help="probability that a cancel wedges")
    given = parser.parse_args()
    async with FakeOllama(given.models or wire_models(), slots=given.slots, port=given.port) as fake:
        for name in given.offer:
            fake.offer(name, seconds=3.0)
        fake.offline = not given.offer
        fake.wedge_after_cancel = given.wedge
        fake.script(tokens_per_second=given.speed, first_delay=given.silence)
        if given.words:
            words = [f"w{number} " for number in range(given.words)]
            fake.script(content=words, thinking="", tokens_per_second=given.speed, first_delay=given.silence)
        print(fake.url, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    try:
        uvloop.run(main())
    except KeyboardInterrupt:
        print("stopped")
