"""Where requests keep what they share: fixtures for tests that run in memory and in Redis."""

from collections.abc import Iterator

import pytest

from tests.support.redis_server import RedisServer, redis_server


@pytest.fixture(scope="package")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis for all tests of a folder."""
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


IN_REDIS = [pytest.mark.needs("redis-server"), pytest.mark.processes]


@pytest.fixture(params=["memory", pytest.param("redis", marks=IN_REDIS)])
def shared(request: pytest.FixtureRequest) -> dict[str, str]:
    """The settings for each place."""
    return {} if request.param == "memory" else {"CHAT_REDIS_URL": request.getfixturevalue("redis").url}
