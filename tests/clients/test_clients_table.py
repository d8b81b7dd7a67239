"""The page of clients shows what the tests run."""

from tests.clients.table import CURRENT, PAGE, table


def test_the_table_is_current() -> None:
    """`python -m tests.clients.table` writes it."""
    assert CURRENT.search(PAGE.read_text()), "the page has no place for the table"
    assert table() in PAGE.read_text()
