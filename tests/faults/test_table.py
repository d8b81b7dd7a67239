"""docs/faults.md shows what the tests hold."""

from tests.faults.table import PAGE, page_with


def test_the_tables_are_current() -> None:
    """`python -m tests.faults.table` writes them."""
    text = PAGE.read_text()
    assert page_with(text) == text
