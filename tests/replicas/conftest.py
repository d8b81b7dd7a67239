"""Fixtures of this folder."""

from tests.support.shared_state import redis

__all__ = ["redis"]
