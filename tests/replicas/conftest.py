"""Fixtures of this folder."""

from collections.abc import Iterator
from uuid import uuid4

import pytest

from tests.support.cluster import Cluster, cluster
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


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three replicas, two Ollamas, Redis and nginx, for all tests of a module."""
    with cluster(tmp_path_factory.mktemp("cluster")) as everything:
        yield everything


@pytest.fixture
def all_of_it(running: Cluster) -> Cluster:
    """Everything, well again."""
    running.begin()
    return running
