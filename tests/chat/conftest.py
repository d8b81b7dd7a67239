"""Fixtures of this folder."""

from tests.support.shared_state import redis, shared

__all__ = ["redis", "shared"]
