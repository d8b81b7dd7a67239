"""Where requests keep what they share: each test that asks runs in memory and in Redis."""

from collections.abc import Iterator

import pytest

from tests.support.redis_server import RedisServer, redis_server


@pytest.fixture(scope="session")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis for all tests of this folder."""
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.needs("redis-server"))])
def shared(request: pytest.FixtureRequest) -> dict[str, str]:
    """The settings for each place."""
    return {} if request.param == "memory" else {"CHAT_REDIS_URL": request.getfixturevalue("redis").url}
