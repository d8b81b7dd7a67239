"""The goals, each with what was measured: met or not."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .contenders import OURS
from .stage import ENTRANCE

if TYPE_CHECKING:
    from .report import Figures

PLAIN, NGINX, LITELLM = "plain FastAPI + httpx", "nginx", "LiteLLM"
CHAT_API, NATIVE, OPENAI = f"{ENTRANCE}POST /chat_api", f"{ENTRANCE}/api/chat", f"{ENTRANCE}/v1/chat/completions"
GRADIO, PAGE = f"{ENTRANCE}Gradio endpoint", f"{ENTRANCE}page"
KINDS = {"one_cpu": "1 stream", "many_cpu": "50 streams", "burst_cpu": "as fast as it comes"}


@dataclass(frozen=True)
class Goal:
    """One goal: what is measured, the value and the most that it may be; None where it was not measured."""

    what: str
    value: float | None
    most: float

    @property
    def verdict(self) -> str:
        """Return whether it is met, in words."""
        if self.value is None:
            return "not measured"
        return "met" if self.value <= self.most else "**not met**"


def ratio(part: float | None, whole: float | None) -> float | None:
    """Return a ratio, None where one side is missing."""
    return part / whole if part is not None and whole else None


def against(figures: "Figures", ours: str, peer: str, kind: str) -> float | None:
    """Return the ratio of two surfaces' medians."""
    return ratio(figures.median(ours, kind), figures.median(peer, kind))


def goals(figures: "Figures") -> Iterator[Goal]:
    """Yield every goal."""
    added = figures.added
    for surface in (CHAT_API, NATIVE):
        yield Goal(f"{surface}: first byte added, of the plain proxy's", ratio(added(surface), added(PLAIN)), 1 / 3)
    yield Goal(f"{NATIVE}: first byte added, of nginx's", ratio(added(NATIVE), added(NGINX)), 2)
    for surface in (CHAT_API, NATIVE):
        for kind, most in (("one_cpu", 0.5), ("burst_cpu", 0.25)):
            yield Goal(f"{surface}: CPU a token, {KINDS[kind]}, of the plain proxy's",
                       against(figures, surface, PLAIN, kind), most)  # fmt: skip
    yield Goal(f"{OPENAI}: first byte added, of LiteLLM's", ratio(added(OPENAI), added(LITELLM)), 1 / 20)
    for kind, words in KINDS.items():
        yield Goal(f"{OPENAI}: CPU a token, {words}, of LiteLLM's", against(figures, OPENAI, LITELLM, kind), 1 / 20)
    for surface in (GRADIO, PAGE):
        for messages, most in ((20, 1 / 4), (200, 1 / 10)):
            peer = f"plain gr.ChatInterface, {messages} messages"
            for kind in ("one_cpu", "burst_cpu"):
                yield Goal(f"{surface}: CPU a token, {KINDS[kind]}, of {peer}'s",
                           against(figures, surface, peer, kind), most)  # fmt: skip
        hundred = figures.samples[surface].hundred_share if surface in figures.samples else None
        yield Goal(f"{surface}: 100 streams, cores", hundred, 0.4)
    yield from straight(figures)
    life = figures.life
    yield Goal("start until `/health` answers, s", middle(life.health_seconds), 0.6)
    yield Goal("start until the page is there, s", middle(life.page_seconds), 2)
    yield Goal("idle, of a core", life.idle_share.get(OURS), 0.005)


def middle(values: list[float]) -> float | None:
    """Return the median, None of nothing."""
    return sorted(values)[len(values) // 2] if values else None


def straight(figures: "Figures") -> Iterator[Goal]:
    """Yield whether costs grow in a straight line at most: what the last step adds, of what the steps before added."""
    for line in figures.by_length:
        if line.name.startswith(OURS):
            yield Goal(f"{line.name}: CPU a token of the longest answer, of a short one's",
                       ratio(line.points[max(line.points)], line.points[min(line.points)]), 1.1)  # fmt: skip
    for line in figures.by_history:
        if line.name.startswith(OURS) and len(line.points) > 2:
            least, before, most = min(line.points), sorted(line.points)[-2], max(line.points)
            costs = line.points
            last = (costs[most] - costs[before]) / (most - before)
            first = (costs[before] - costs[least]) / (before - least)
            yield Goal(f"{line.name}: cost of one more message after {before:,}, of before", ratio(last, first), 1.3)
    if figures.by_waiting:
        least, most = min(figures.by_waiting), max(figures.by_waiting)
        costs = figures.by_waiting
        yield Goal(f"a change in a line of {most:,}, of one in a line of {least}", ratio(costs[most], costs[least]), 4)


def goal_table(figures: "Figures") -> str:
    """Return the goals in Markdown."""
    lines = ["| goal | measured | at most | |", "|---|--:|--:|---|"]
    for goal in goals(figures):
        value = "-" if goal.value is None else f"{goal.value:.3g}"
        lines.append(f"| {goal.what} | {value} | {goal.most:.3g} | {goal.verdict} |")
    return "\n".join(lines)
