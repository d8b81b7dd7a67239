"""A page whose server changes: an answer that runs on one replica is shown by another."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import BrowserContext

from tests.support.browser.proxy import Proxy
from tests.support.browser.source import tell
from tests.support.browser.space import Chat, Space, new_chat, until, words
from tests.support.fake_ollama import FakeOllama
from tests.support.redis_server import redis_server

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.needs("redis-server")]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def replicas(shared_ollama: FakeOllama, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[list[Space]]:
    """Two replicas of the whole product; the tests kill the first."""
    with redis_server(tmp_path_factory.mktemp("redis")) as redis:
        spaces = [Space(shared_ollama.url, CHAT_REDIS_URL=redis.url) for _ in range(2)]
        for space in spaces:
            await space.start()
        yield spaces
        for space in spaces:
            space.kill()


async def test_a_reload_onto_another_replica(
    context: BrowserContext, replicas: list[Space], ollama: FakeOllama
) -> None:
    """The page finds its running answer there, goes on where it was, and Stop reaches the model from there."""
    source = tell(ollama, "moves", 300, seconds=15)
    one, two = replicas
    async with Proxy(one.port) as proxy:
        chat = await new_chat(context, one, url=proxy.url)
        await chat.say("moves")
        await until(lambda: chat.shows("c20"))
        proxy.lead_to(two.port)
        proxy.cut("reset")
        await chat.page.reload(wait_until="commit")
        await until(lambda: chat.shows("c120"), 20)
        await chat.settled()
        assert words(await chat.stored_text("thinking")) == source.thinking
        assert words(await chat.stored_text()) == source.content
        assert source.generation_count(ollama) == 1

        stopped = tell(ollama, "stopped", 300, seconds=30)
        proxy.lead_to(one.port)
        proxy.cut("reset")
        await chat.say("stopped")
        await until(lambda: chat.shows("t20"))
        proxy.lead_to(two.port)
        proxy.cut("reset")
        await until(lambda: chat.shows("c5"), 20)
        await chat.page.click("#stop")
        await until(lambda: ollama.generations[-1].outcome == "disconnected", 5)
        await chat.settled()
        assert stopped.generation_count(ollama) == 1


async def test_the_replica_of_an_answer_is_killed(
    context: BrowserContext, replicas: list[Space], ollama: FakeOllama
) -> None:
    """Another one shows what was written and says that it was interrupted; Retry gives the whole answer."""
    source = tell(ollama, "killed", 200, seconds=8)
    one, two = replicas
    if one.health() is None:
        await one.start()
    async with Proxy(one.port) as proxy:
        chat = await new_chat(context, one, url=proxy.url)
        await chat.say("killed")
        await until(lambda: chat.shows("c40"))
        one.kill()
        proxy.lead_to(two.port)
        await until(lambda: says_why(chat), 15)
        await chat.settled()
        kept = words(await chat.stored_text())
        assert len(kept) >= 38 and kept == source.content[: len(kept)]
        await chat.press("Retry")
        await until(lambda: source.generation_count(ollama) == 2)
        await chat.settled()
        assert words(await chat.stored_text()) == source.content


async def says_why(chat: Chat) -> bool:
    """Whether the page says what has happened."""
    return "has stopped" in await chat.page.inner_text("#messages .outcome")
