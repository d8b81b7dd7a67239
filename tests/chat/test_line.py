"""The line: places, order, fairness, bounds."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollama_backend.auth import Caller
from ollama_backend.chat.line import Choose, MemoryLine, Ticket
from ollama_backend.errors import LineFull
from tests.support.waiting import until

A, B, C = Caller("a", "1"), Caller("b", "1"), Caller("a", "2")


def places(number: int) -> Choose:
    """One host with so many places."""
    return lambda model, conversation, busy: 0 if busy.get(0, 0) < number else None


def running(tickets: list[Ticket]) -> list[int]:
    """Which tickets hold a place."""
    return [number for number, ticket in enumerate(tickets) if ticket.has_place]


async def test_so_many_run_and_the_rest_wait_in_order() -> None:
    """Two places: the third request waits, and gets the place that is given back."""
    line = MemoryLine(places(2), 10)
    tickets = [await line.enter(A) for _ in range(4)]
    assert running(tickets) == [0, 1] and [t.position for t in tickets] == [0, 0, 1, 2]
    tickets[1].leave()
    assert tickets[2].has_place and tickets[3].position == 1 and (line.running, line.waiting) == (2, 1)


async def test_callers_take_turns() -> None:
    """Caller A posts ten requests, caller B one: B is served second."""
    line, order = MemoryLine(places(1), 32), []
    tickets = [("A", await line.enter(A)) for _ in range(10)]
    tickets.append(("B", await line.enter(B)))
    while tickets:
        name, ticket = next(entry for entry in tickets if entry[1].has_place)
        order.append(name)
        tickets.remove((name, ticket))
        ticket.leave()
    assert order == ["A", "B"] + ["A"] * 9


async def test_a_caller_is_a_key_at_an_address() -> None:
    """The same key from another address is another caller; turns go round all of them."""
    line = MemoryLine(places(1), 32)
    names = {A: "A", B: "B", C: "C"}
    tickets = [await line.enter(caller) for caller in (A, A, A, B, B, C)]
    order = []
    while any(t.has_place for t in tickets):
        ticket = next(t for t in tickets if t.has_place)
        order.append(names[ticket.caller])
        tickets.remove(ticket)
        ticket.leave()
    assert order == ["A", "B", "C", "A", "B", "A"]


async def test_nobody_starves() -> None:
    """New callers that keep coming do not hold back one who waits with a second request."""
    line = MemoryLine(places(1), 100)
    first, second = await line.enter(A), await line.enter(A)
    others = [await line.enter(Caller("x", str(n))) for n in range(3)]
    served = [first]
    for n in range(20):
        served[-1].leave()
        others.append(await line.enter(Caller("y", str(n))))
        served.append(next(t for t in [second, *others] if t.has_place and t not in served))
        if served[-1] is second:
            break
    assert served[-1] is second and len(served) <= 12


async def test_the_line_is_bounded() -> None:
    """One more than may wait is refused with a time to try again; whoever leaves makes room at once."""
    line = MemoryLine(places(1), 1)
    await line.enter(A)
    waiting = await line.enter(B)
    with pytest.raises(LineFull) as caught:
        await line.enter(C)
    assert caught.value.retry_after
    waiting.leave()
    waiting.leave()
    assert (await line.enter(C)).position == 1


async def test_a_waiting_request_reports_its_position() -> None:
    """Every position that is seen while waiting is reported once, and the turn comes at once."""
    line, seen = MemoryLine(places(1), 9, position_seconds=0.01), []
    first, second, third = await line.enter(A), await line.enter(A), await line.enter(A)
    waiting = asyncio.create_task(third.turn(seen.append))
    await until(lambda: seen == [2])
    second.leave()
    await until(lambda: seen == [2, 1])
    first.leave()
    await asyncio.wait_for(waiting, 1)
    assert seen == [2, 1] and third.has_place and third.position == 0


async def test_a_cancelled_wait_frees_the_place() -> None:
    """A request that is cancelled while it waits leaves the line, and the next one keeps its turn."""
    line = MemoryLine(places(1), 9)
    first = await line.enter(A)

    async def waits() -> None:
        ticket = await line.enter(B)
        try:
            await ticket.turn(lambda _: None)
        finally:
            ticket.leave()

    task = asyncio.create_task(waits())
    await asyncio.sleep(0)
    third = await line.enter(C)
    assert line.waiting == 2
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert line.waiting == 1
    first.leave()
    assert third.has_place


@given(st.lists(st.tuples(st.sampled_from(["enter", "leave"]), st.integers(0, 7)), max_size=60), st.integers(1, 3))
def test_any_history_keeps_the_line_consistent(history: list[tuple[str, int]], number: int) -> None:
    """Whatever enters and leaves: no free place while somebody waits, dense positions, and nothing left at the end."""

    async def play() -> None:
        line, tickets = MemoryLine(places(number), 8), []
        for act, which in history:
            if act == "enter":
                try:
                    tickets.append(await line.enter(Caller("k", str(which % 3))))
                except LineFull:
                    assert line.waiting == 8
            elif tickets:
                tickets.pop(which % len(tickets)).leave()
            waiting = [ticket for ticket in tickets if not ticket.has_place]
            assert line.running == len(tickets) - len(waiting) <= number
            assert not waiting or line.running == number
            assert sorted(ticket.position for ticket in waiting) == list(range(1, len(waiting) + 1))
        for ticket in tickets:
            ticket.leave()
        assert (line.running, line.waiting) == (0, 0) and not line._rounds and not line._present

    asyncio.run(play())
