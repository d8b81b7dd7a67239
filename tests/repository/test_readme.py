"""The README says what the code does."""

import re
from pathlib import Path

import dotenv

from ollama_backend import errors
from ollama_backend.formats import parse_duration
from ollama_backend.settings import load, variables

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()


def rows(header: str) -> dict[str, str]:
    """The first two columns of the table with this header."""
    table = README.split(header)[1].split("\n\n")[0]
    return {row[0].strip("` "): row[1].strip("` ") for row in re.findall(r"^\| ([^|]+) \| ([^|]+) \|", table, re.M)}


def test_the_table_of_settings_is_the_code() -> None:
    """Every variable is there, in the code's order, with the default that the code has."""
    table, settings = rows("| variable | default |"), load({})
    table.pop("---", None)
    assert list(table) == [field.metadata["name"] for field in variables()]
    for field in variables():
        documented, real = table[field.metadata["name"]], getattr(settings, field.name)
        if isinstance(real, float):
            assert parse_duration(documented) == real, field.name
        elif documented not in ("none", "generated", "automatic", "those installed"):
            known = {
                "OLLAMA_HOST": settings.host,
                "OLLAMA_MODEL": settings.model,
                "OLLAMA_NUM_PARALLEL": settings.num_parallel,
            }
            real = known.get(field.metadata["name"], settings.trusted_proxies if "PROXIES" in documented else real)
            real = settings.trusted_proxies if field.name == "given_proxies" else real
            assert documented == (real[0] if isinstance(real, tuple) else str(real)), field.name


def test_the_table_of_statuses_is_the_tree_of_errors() -> None:
    """Every status that is told exists, and every failure of a request is told."""
    documented = {int(status) for status in rows("| status | when |") if status.isdigit()}
    assert documented - {431} == {kind.status for kind in errors.kinds()} - {403, 405, 409, 500}


def test_the_example_names_real_settings() -> None:
    """Every line of `.env.example`, commented out or not, sets a variable that is read."""
    names = {field.metadata["name"] for field in variables()}
    lines = re.findall(r"^#?([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.M)
    assert len(lines) > 5 and set(lines) <= names
    assert set(dotenv.dotenv_values(ROOT / ".env.example").values()) <= {""}


def test_every_link_leads_somewhere() -> None:
    """Files that the README points at exist."""
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target
