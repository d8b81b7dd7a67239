"""The figures of a run: as tables in Markdown, as JSON, and where they stand in the documentation."""

import json
import re
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from . import plots
from .contenders import OURS
from .life import Life
from .measure import Growth, Samples
from .processes import ROOT

NONE = "-"
DOCS = ROOT / "docs"
BEGIN, END = "<!-- bench/run --write: begin -->", "<!-- end -->"


@dataclass
class Figures:
    """Everything of one run."""

    machine: dict[str, str]
    life: Life
    samples: dict[str, Samples] = field(default_factory=dict)
    by_length: list[Growth] = field(default_factory=list)
    by_history: list[Growth] = field(default_factory=list)
    by_waiting: dict[int, float] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def direct(self, name: str) -> Samples:
        """Return what is beneath a surface: the source, asked on the same protocol."""
        openai = "/v1" in name or name in ("LiteLLM", "smg (Rust)", "Portkey (Node)")
        return self.samples["direct, /v1" if openai else "direct"]

    def added(self, name: str, share: float = 0.5, kind: str = "first_byte") -> float | None:
        """Return the seconds that a surface adds to the median first byte (or token) of the source."""
        own: list[float] = getattr(self.samples[name], kind) if name in self.samples else []
        if not own:
            return None
        return quantile(own, share) - statistics.median(getattr(self.direct(name), kind))

    def median(self, name: str, kind: str) -> float | None:
        """Return the median of the rounds."""
        values: list[float] = getattr(self.samples[name], kind) if name in self.samples else []
        return statistics.median(values) if values else None


def quantile(values: Sequence[float], share: float) -> float:
    """Return a quantile."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def spread(values: Sequence[float], scale: float, digits: int) -> str:
    """Return a median with the least and the most."""
    if not values:
        return NONE
    shown = [f"{value * scale:.{digits}f}" for value in (statistics.median(values), min(values), max(values))]
    return shown[0] if len(values) < 2 else f"{shown[0]} ({shown[1]} to {shown[2]})"


def number(value: float | None, scale: float = 1.0, digits: int = 1) -> str:
    """Return a number, or a dash."""
    return NONE if value is None else f"{value * scale:.{digits}f}"


def table(head: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    head = list(head)
    lines = [head, ["---"] + ["--:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def three(figures: Figures, name: str, kind: str) -> str:
    """Return what is added at the median, at 95 and at 99 per cent, in milliseconds."""
    return " / ".join(number(figures.added(name, share, kind), 1e3, 2) for share in (0.5, 0.95, 0.99))


def speed_table(figures: Figures) -> str:
    """Return the table of times and of processor time."""
    rows = []
    for name, own in figures.samples.items():
        beneath = statistics.median(figures.direct(name).burst_end)
        rows.append((
            name, three(figures, name, "first_byte"), three(figures, name, "first_token"),
            number(statistics.median(own.burst_end) / beneath if own.burst_end else None, 1, 2),
            spread(own.one_cpu, 1e6, 0), spread(own.many_cpu, 1e6, 0), spread(own.burst_cpu, 1e6, 1),
            spread(own.answer_cpu, 1e3, 2),
        ))  # fmt: skip
    head = (
        "", "first byte added, ms: p50 / p95 / p99", "first token added, ms", "long fast answer, of direct",
        "CPU a token, µs: 1 stream", "50 streams", "as fast as it comes", "CPU of a short answer, ms",
    )  # fmt: skip
    return table(head, rows)


def size_table(figures: Figures) -> str:
    """Return the table of bytes, memory and capacity."""
    rows, life = [], figures.life
    for name, own in figures.samples.items():
        program = OURS if name.startswith(OURS) else "direct" if name.startswith("direct") else name
        rows.append((
            name, number(figures.median(name, "bytes_per_token"), 1, 0),
            number(life.rest_bytes.get(program), 2**-20, 0), number(own.live_bytes, 2**-10, 0),
            number(life.visitor_bytes.get(program), 2**-10, 0),
            NONE if own.capacity is None else f"{'≥ ' * own.capacity_is_bound}{own.capacity}",
            number(life.idle_share.get(program), 100, 2), number(life.idle_wakeups.get(program), 1, 0),
            str(life.requests.get(name, NONE)),
        ))  # fmt: skip
    head = (
        "", "bytes a token", "memory at rest, MiB", "a live answer, KiB", "a visitor, KiB",
        "streams at 30 tokens/s on one core", "idle, % of a core", "idle, wake-ups/s",
        "requests of a message",
    )  # fmt: skip
    return table(head, rows)


def growth_table(lines: Sequence[Growth], unit: str, scale: float, digits: int) -> str:
    """Return a table of costs by size."""
    sizes = sorted({size for line in lines for size in line.points})
    rows = [(line.name, *(number(line.points.get(size), scale, digits) for size in sizes)) for line in lines]
    return table((unit, *(f"{size:,}" for size in sizes)), rows)


def sections(figures: Figures) -> str:
    """Return the whole report."""
    from .goals import goal_table

    life = figures.life
    line = Growth("join, leave and look", figures.by_waiting)
    cold = (
        f"`/health` {spread(life.health_seconds, 1, 2)} s and the page {spread(life.page_seconds, 1, 2)} s after the "
        f"start; CPU until then {spread(life.page_cpu, 1, 2)} s."
    )
    about = "; ".join(f"{name} {value}" for name, value in figures.machine.items())
    absent = "\n".join(f"- {name}: {why}" for name, why in figures.missing.items()) or "- none"
    return f"""{about}.

### Goals

{goal_table(figures)}

### Time and processor time

{speed_table(figures)}

### Bytes, memory and capacity

{size_table(figures)}

Cold start: {cold}

### As the answer grows: CPU a token, µs, by tokens

{growth_table(figures.by_length, "as fast as it comes", 1e6, 1)}

### As the conversation grows: CPU of an answer of 100 tokens, ms, by messages

{growth_table(figures.by_history, "", 1e3, 1)}

### As the waiting line grows: CPU of a change, µs, by waiting requests

{growth_table([line], "", 1e6, 1)}

### Peers that could not be measured

{absent}
"""


def print_report(figures: Figures) -> None:
    """Print the report."""
    print(sections(figures))


def replace_between(path: Path, text: str) -> None:
    """Put a text between the marks of a file."""
    before = path.read_text()
    after = re.sub(f"{re.escape(BEGIN)}.*?{re.escape(END)}", lambda _: f"{BEGIN}\n{text}\n{END}", before, flags=re.S)
    if after == before and text not in before:
        raise SystemExit(f"{path.name} has no marks {BEGIN} … {END}.")
    path.write_text(after)


def write_report(figures: Figures) -> None:
    """Write docs/performance.md, docs/performance.json and the plots."""
    replace_between(DOCS / "performance.md", sections(figures))
    (DOCS / "performance.json").write_text(json.dumps(asdict(figures), indent=1) + "\n")
    for name, drawing in plots.drawings(figures).items():
        (DOCS / f"performance-{name}.svg").write_text(drawing)
