"""The line: places, order, fairness, bounds."""

import asyncio

import pytest

from ollama_backend.auth import Caller
from ollama_backend.chat.line import Line, Ticket
from ollama_backend.errors import LineFull

A, B, C = Caller("a", "1"), Caller("b", "1"), Caller("a", "2")


def running(tickets: list[Ticket]) -> list[int]:
    """Which tickets hold a place."""
    return [number for number, ticket in enumerate(tickets) if ticket.has_place]


async def test_so_many_run_and_the_rest_wait_in_order() -> None:
    """Two places: the third request waits, and gets the place that is given back."""
    line = Line(2, 10)
    tickets = [line.enter(A) for _ in range(4)]
    assert running(tickets) == [0, 1] and [t.position for t in tickets] == [0, 0, 1, 2]
    tickets[1].leave()
    assert tickets[2].has_place and tickets[3].position == 1 and (line.running, line.waiting) == (2, 1)


async def test_callers_take_turns() -> None:
    """Caller A posts ten requests, caller B one: B is served second."""
    line, order = Line(1, 32), []
    tickets = [("A", line.enter(A)) for _ in range(10)]
    tickets.append(("B", line.enter(B)))
    while tickets:
        name, ticket = next(entry for entry in tickets if entry[1].has_place)
        order.append(name)
        tickets.remove((name, ticket))
        ticket.leave()
    assert order == ["A", "B"] + ["A"] * 9


async def test_a_caller_is_a_key_at_an_address() -> None:
    """The same key from another address is another caller; turns go round all of them."""
    line = Line(1, 32)
    names = {A: "A", B: "B", C: "C"}
    tickets = [line.enter(caller) for caller in (A, A, A, B, B, C)]
    order = []
    while any(t.has_place for t in tickets):
        ticket = next(t for t in tickets if t.has_place)
        order.append(names[ticket.caller])
        tickets.remove(ticket)
        ticket.leave()
    assert order == ["A", "B", "C", "A", "B", "A"]


async def test_nobody_starves() -> None:
    """New callers that keep coming do not hold back one who waits with a second request."""
    line = Line(1, 100)
    first, second = line.enter(A), line.enter(A)
    others = [line.enter(Caller("x", str(n))) for n in range(3)]
    served = [first]
    for n in range(20):
        served[-1].leave()
        others.append(line.enter(Caller("y", str(n))))
        served.append(next(t for t in [second, *others] if t.has_place and t not in served))
        if served[-1] is second:
            break
    assert served[-1] is second and len(served) <= 12


async def test_the_line_is_bounded() -> None:
    """One more than may wait is refused with a time to try again; whoever leaves makes room at once."""
    line = Line(1, 1)
    line.enter(A)
    waiting = line.enter(B)
    with pytest.raises(LineFull) as caught:
        line.enter(C)
    assert caught.value.retry_after
    waiting.leave()
    waiting.leave()
    assert line.enter(C).position == 1


async def test_a_waiting_reader_sees_its_place_change() -> None:
    """Every change of position is told."""
    line, seen = Line(1, 9), []
    first, second = line.enter(A), line.enter(A)
    third = line.enter(A)
    third.moved = lambda: seen.append(third.position)
    second.leave()
    first.leave()
    assert seen == [1] and third.has_place


async def test_a_cancelled_wait_frees_the_place() -> None:
    """A request that is cancelled while it waits leaves the line through its context."""
    line = Line(1, 9)
    line.enter(A)

    async def waits() -> None:
        with line.enter(B) as ticket:
            await ticket.turn()

    task = asyncio.create_task(waits())
    await asyncio.sleep(0)
    assert line.waiting == 1
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert line.waiting == 0
