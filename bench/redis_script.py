"""What the operations of the replicas' script cost Redis when many replicas have many waiting requests."""

import json
from typing import Any

from ollama_backend.chat.line import POSITION_SECONDS, position_pause
from ollama_backend.replicas.script import PREFIX, source
from tests.support.redis_server import RedisServer

REPLICAS, WAITING, HOSTS, PLACES = 100, 10_000, 250, 4
LEASE = 10**7


class Script:
    """The script in a Redis, its operations called for any replica and timed by Redis itself."""

    def __init__(self, server: RedisServer) -> None:
        self._client = server.client
        self._sha = self._client.script_load(source())

    def call(self, operation: str, replica: str, *arguments: Any) -> Any:
        """Carry out one operation."""
        return self._client.evalsha(self._sha, 1, PREFIX, operation, replica, *arguments)

    def cost(self, command: str = "evalsha") -> float:
        """Return the microseconds of a call since the last `reset`, without reading and writing its socket."""
        return float(self._client.info("commandstats")[f"cmdstat_{command}"]["usec_per_call"])

    def reset(self) -> None:
        """Count from here."""
        self._client.config_resetstat()

    def add(self, answer: int, entry: str) -> None:
        """Add to the stream of an answer."""
        self._client.xadd(f"{PREFIX}answer:{answer}:entries", {"entry": entry})


def script_costs(server: RedisServer) -> None:
    """Print what each operation costs with a long line, and how much of one Redis that takes."""
    timed = Script(server)
    names = [f"replica-{number}" for number in range(REPLICAS)]
    view = [{"id": f"http://h{n}", "places": PLACES, "models": {"guide:latest": True}} for n in range(HOSTS)]
    held = json.dumps({"view": json.dumps(view)})
    for name in names:
        timed.call("sync", name, LEASE, LEASE, 3600, "epoch", 0, held)
    running = enter(timed, names, 0, HOSTS * PLACES)
    timed.reset()
    waiting = enter(timed, names, HOSTS * PLACES, WAITING)
    costs = {"enter": timed.cost()}
    timed.reset()
    for name in names:
        timed.call("tick", name, LEASE, LEASE, 3600, " ".join(waiting[name]), "")
    costs["tick of 100 tickets"] = timed.cost()
    timed.reset()
    for name in names:
        for member in running[name][:5]:
            timed.call("leave", name, "generations", member[17:], 1)
    costs["leave, and the next is called"] = timed.cost()
    timed.reset()
    for number in range(20_000):
        timed.add(number % 1000, '{"n":12,"d":[[1,"word ",24,"5Z"],[1,"more ",24,"6Z"]]}')
    costs["add to an answer"] = timed.cost("xadd")
    report(costs)


def enter(timed: Script, names: list[str], first: int, count: int) -> dict[str, list[str]]:
    """Enter so many requests, spread over the replicas; return how Redis names them."""
    members: dict[str, list[str]] = {name: [] for name in names}
    for number in range(first, first + count):
        name, caller = names[number % REPLICAS], f"caller-{number % 3000}"
        reply = timed.call("enter", name, "generations", number, caller, "guide:latest", "", WAITING)
        members[name].append(f"{reply[2]:016d}:{number}")
    return members


def report(costs: dict[str, float]) -> None:
    """Print the costs, and the load that they make: answers of 30 seconds, each mirrored 20 times a second."""
    entering, tick, leaving, adding = costs.values()
    for operation, cost in costs.items():
        print(f"{operation}: {cost:.0f} µs of Redis")
    answers = HOSTS * PLACES
    loads = {
        "ticks": (REPLICAS / position_pause(POSITION_SECONDS, WAITING), tick),
        "arrivals and departures": (answers / 30, entering + leaving),
        "answers": (answers * 20, adding),
    }
    for name, (rate, cost) in loads.items():
        print(f"{name}: {rate:.0f} a second, {rate * cost / 1e4:.1f} % of one Redis, without its sockets")
