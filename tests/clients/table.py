"""`python -m tests.clients.table`: write the tables of clients and cases into docs/clients.md."""

from pathlib import Path

from tests.clients.programs import CASES, EMBEDDED_CASES, PROGRAMS, Program

PAGE = Path(__file__).resolve().parents[2] / "docs" / "clients.md"
TABLES = {"clients": CASES, "embedded": EMBEDDED_CASES}


def language(program: Program) -> str:
    """The language of a program."""
    return {"node": "Node", "go": "Go"}.get(program.name.partition("_")[0], "Python")


def table(cases: dict[str, str]) -> str:
    """Return one table: every mark in it is a test."""
    head = ["client", "version", *cases.values()]
    rows = [
        [
            f"{program.title} ({language(program)})",
            program.version,
            *("✓" if c in program.cases else "–" for c in cases),  # noqa: RUF001
        ]
        for program in PROGRAMS
    ]
    lines = [head, ["---"] * 2 + [":-:"] * len(cases), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def page_with(page: str) -> str:
    """Return the page with each table in its place."""
    for name, cases in TABLES.items():
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        assert begin in page and end in page, f"the page has no place for {name}"
        before, after = page.partition(begin)[0], page.partition(end)[2]
        page = f"{before}{begin}\n{table(cases)}\n{end}{after}"
    return page


def main() -> None:
    """Replace the tables in the page."""
    PAGE.write_text(page_with(PAGE.read_text()))


if __name__ == "__main__":
    main()
