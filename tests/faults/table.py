"""`python -m tests.faults.table`: write the tables of faults into docs/faults.md."""

import re
from pathlib import Path

from tests.faults import answer_faults, host_faults, lookup_faults

PAGE = Path(__file__).resolve().parents[2] / "docs" / "faults.md"
ANSWERS_HEAD = ("what Ollama does", "status, code", "message", "text before it", "exceptions")
LOOKUPS_HEAD = ("what Ollama does", "status, code", "message", "exceptions")
HOSTS_HEAD = ("what happens", "`/health`", "requests", "message (also of `/health`)", "recovery")


def _answer(fault: answer_faults.Fault) -> list[str]:
    kept = "kept" if fault.before else "none"
    return [fault.title, f"{fault.status}, `{fault.code}`", fault.words, kept, fault.remark]


def _host(fault: host_faults.HostFault) -> list[str]:
    words = fault.words if fault.words.endswith(".") else f"{fault.words} …"
    return [fault.title, f"503 `{fault.health}`", f"{fault.status}, `{fault.code}`", words, fault.recovery]


def _lookup(fault: lookup_faults.LookupFault) -> list[str]:
    return [fault.title, f"{fault.status}, `{fault.code}`", fault.words, fault.remark]


def tables() -> dict[str, str]:
    """Return each table by its name in the page."""
    rows = {
        "answers": [ANSWERS_HEAD, *map(_answer, answer_faults.FAULTS)],
        "lookups": [LOOKUPS_HEAD, *map(_lookup, lookup_faults.FAULTS)],
        "hosts": [HOSTS_HEAD, *map(_host, host_faults.FAULTS)],
    }
    return {name: "\n".join(_lines(lines)) for name, lines in rows.items()}


def _lines(rows: list[list[str] | tuple[str, ...]]) -> list[str]:
    head, *rest = ("| " + " | ".join(cells) + " |" for cells in rows)
    return [head, "|---" * len(rows[0]) + "|", *rest]


def page_with(page: str) -> str:
    """Return the page with each table in its place."""
    for name, table in tables().items():
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        place = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        assert place.search(page), f"the page has no place for {name}"
        page = place.sub(lambda _, table=table, begin=begin, end=end: f"{begin}\n{table}\n{end}", page)  # type: ignore[misc]
    return page


if __name__ == "__main__":
    PAGE.write_text(page_with(PAGE.read_text()))
