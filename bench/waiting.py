"""What the waiting line costs as it grows, in the process: joining, leaving, and looking at one's position."""

import asyncio
import random
import time

from ollama_backend.auth import Caller
from ollama_backend.chat.line import MemoryLine

CHANGES = 400


async def line_costs(sizes: tuple[int, ...] = (10, 100, 1000, 10000)) -> dict[int, float]:
    """Return the CPU seconds of one change of a line (one leaves, one joins, one looks), by its length."""
    return {size: await best(size) for size in sizes}


async def best(size: int) -> float:
    """Return the best of five rounds."""
    line = MemoryLine(lambda model, conversation, busy: None if busy[0] else 0, size + 1)
    callers = [Caller(f"key{number % 50}", str(number % 50)) for number in range(size)]
    await line.enter(Caller("first", ""))
    tickets = [await line.enter(caller) for caller in callers]
    choices = random.Random(0)
    rounds = []
    for _ in range(5):
        began = time.process_time()
        for _ in range(CHANGES):
            number = choices.randrange(size)
            tickets[number].leave()
            tickets[number] = await line.enter(callers[number])
            assert tickets[choices.randrange(size)].position
        rounds.append((time.process_time() - began) / CHANGES)
    return min(rounds)


if __name__ == "__main__":
    print(asyncio.run(line_costs()))
