"""Fixtures of this folder."""

from uuid import uuid4

import pytest

from tests.support.shared_state import redis

__all__ = ["redis"]


@pytest.fixture
def name() -> str:
    """A name that no other test uses: a name is used once, for ever."""
    return uuid4().hex


@pytest.fixture
def other_name() -> str:
    """Another one."""
    return uuid4().hex
