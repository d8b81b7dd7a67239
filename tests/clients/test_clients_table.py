"""The page of clients shows what the tests run."""

from tests.clients.table import PAGE, page_with


def test_the_tables_are_current() -> None:
    """`python -m tests.clients.table` writes them."""
    text = PAGE.read_text()
    assert page_with(text) == text
