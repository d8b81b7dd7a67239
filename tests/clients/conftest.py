"""The product before what each module of this room puts behind it."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.clients.behind import Behind
from tests.clients.running import Served, served_to_programs, wanted_programs


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(
    behind: Behind, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> AsyncIterator[Served]:
    """The whole product before `behind`; every program that will be looked at is started at once."""
    folder, programs = tmp_path_factory.mktemp("clients"), wanted_programs(request)
    async with served_to_programs(behind, folder, programs) as served:
        yield served
