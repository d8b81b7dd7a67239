"""`python -m tests.clients.table`: write the table of clients and cases into docs/clients.md."""

import re
from pathlib import Path

from tests.clients.programs import CASES, PROGRAMS, Program

PAGE = Path(__file__).resolve().parents[2] / "docs" / "clients.md"
BEGIN, END = "<!-- clients: begin -->", "<!-- clients: end -->"
CURRENT = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)


def language(program: Program) -> str:
    """The language of a program."""
    return {"node": "Node", "go": "Go"}.get(program.name.partition("_")[0], "Python")


def table() -> str:
    """Return the table: every mark in it is a test."""
    head = ["client", "version", *CASES.values()]
    rows = [
        [
            f"{program.title} ({language(program)})",
            program.version,
            *("✓" if c in program.cases else "–" for c in CASES),  # noqa: RUF001
        ]
        for program in PROGRAMS
    ]
    lines = [head, ["---"] * 2 + [":-:"] * len(CASES), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def main() -> None:
    """Replace the table in the page."""
    PAGE.write_text(CURRENT.sub(f"{BEGIN}\n{table()}\n{END}", PAGE.read_text()))


if __name__ == "__main__":
    main()
