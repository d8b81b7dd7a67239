"""An address that has tried many wrong keys gets 429 for more of them, and a valid key passes there as anywhere."""

import aiohttp

from tests.support.fake_ollama import FakeOllama
from tests.support.faulty import PLACES, FaultyApp, faulty_app
from tests.support.surfaces import SURFACES, ask_every_surface

GUESS = {"Authorization": "Bearer guess"}


async def hello(app: FaultyApp, headers: dict[str, str]) -> str:
    """What the page is told when it shows its key: its `access`, or the error."""
    async with app.web.get("/config") as answer:
        functions = (await answer.json())["dependencies"]
    index = next(function["id"] for function in functions if function["api_name"] == "hello")
    body = {"data": [], "fn_index": index, "session_hash": "s"}
    async with app.web.post("/gradio_api/run/predict", json=body, headers=headers) as answer:
        output = (await answer.json())["data"][0]
    return str(output.get("error") or output["access"])


async def test_only_wrong_keys_are_refused_where_many_were_tried() -> None:
    """On every surface, in this order: wrong keys until they are too many, one more on each, the valid key on each."""
    async with FakeOllama(models=["guide"], slots=PLACES) as fake, faulty_app(fake) as app:
        await app.becomes("ok")
        async with aiohttp.ClientSession(app.web._base_url, headers=GUESS) as guesser:
            statuses = []
            for _ in range(20):
                async with guesser.post("/chat_api", json={"prompt": "x"}) as answer:
                    statuses.append(answer.status)
            assert statuses == [401] * 10 + [429] * 10
            for path in ("/chat_api", "/api/chat", "/v1/chat/completions", "/v1/messages", "/page/pdf-text"):
                async with guesser.post(path, json={"prompt": "x"}) as answer:
                    assert answer.status == 429 and int(answer.headers["Retry-After"]) >= 1, path
            async with guesser.get("/metrics") as answer:
                assert answer.status == 429
            async with guesser.ws_connect("/ws", headers={"X-Request-Id": "always the same"}) as socket:
                closing = await socket.receive()
                assert closing.data == 4401 and "Too many wrong keys" in str(closing.extra)
            for path in ("/gradio_api/call/chat_api", "/gradio_api/call/v2/chat_api"):
                async with guesser.post(path, json={"data": ["Hello"]}) as answer:
                    assert answer.status == 429 and "Too many wrong keys" in await answer.text(), path
        assert "Too many wrong keys" in await hello(app, GUESS)
        assert await hello(app, {}) == "key"
        outcomes = await ask_every_surface(app.web)
        assert all(outcome.done for outcome in outcomes.values()) and len(outcomes) == len(SURFACES)
        async with app.web.get("/metrics") as answer:
            assert answer.status == 200
