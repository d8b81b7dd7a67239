"""Half a minute of mixed traffic with faults, restarts and departures leaves nothing behind."""

import asyncio
import gc
import logging
from typing import Any

import psutil
import pytest

from tests.support.fake_ollama import FakeOllama
from tests.support.faulty import PLACES, faulty_app
from tests.support.mixed_traffic import Traffic
from tests.support.served import BEARER
from tests.support.waiting import until

TRAFFIC_SECONDS = 20.0


@pytest.mark.long
async def test_mixed_traffic_leaves_no_task_socket_or_place_behind(caplog: pytest.LogCaptureFixture) -> None:
    """Afterwards tasks, open files and the line are as before, nobody hung, and no error was logged."""
    async with FakeOllama(models=["guide"], slots=PLACES) as fake, faulty_app(fake, CHAT_RESUME_SECONDS="1") as app:
        await app.becomes("ok")

        async def do(work: Any) -> None:
            await work()

        url = str(app.web._base_url)
        await Traffic(url, BEARER, fake).run(1.0, 4, do)  # what is created once is there by now
        tasks, files = len(asyncio.all_tasks()), psutil.Process().num_fds()
        traffic = Traffic(url, BEARER, fake)
        await traffic.run(TRAFFIC_SECONDS, 12, do)
        assert traffic.hung == 0 and traffic.restarts >= 1 and traffic.ended["answered"] > 50, traffic.ended
        assert traffic.ended["left"] > 5 and traffic.ended["failed in mid-answer"] > 1, traffic.ended
        await until(lambda: app.space.line.running == app.space.line.waiting == 0, "no place is held")
        await until(lambda: gc.collect() >= 0 and len(asyncio.all_tasks()) <= tasks + 3, "no task is left", 30)
        await until(lambda: psutil.Process().num_fds() <= files + 5, "no file is left open", 30)
    assert [record for record in caplog.records if record.levelno >= logging.ERROR or record.exc_info] == []
