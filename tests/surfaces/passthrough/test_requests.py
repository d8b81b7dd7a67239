"""The pass-through: who may, what goes up, what comes down."""

import json
from typing import Any

import aiohttp
import pytest

from tests.support.fake_ollama import FakeOllama, Model, Reply
from tests.support.gateway import ASK, BEARER, KEY, Gateway

ROUTES: list[tuple[str, str, Any]] = [
    ("POST", "/api/chat", {"model": "guide", "messages": ASK, "stream": False}),
    ("POST", "/api/generate", {"model": "guide", "prompt": "Hello", "stream": False}),
    ("POST", "/api/embed", {"model": "embed", "input": "a"}),
    ("POST", "/api/embeddings", {"model": "embed", "prompt": "a"}),
    ("GET", "/api/tags", None),
    ("POST", "/api/show", {"model": "guide"}),
    ("GET", "/api/ps", None),
    ("GET", "/api/version", None),
    ("POST", "/v1/chat/completions", {"model": "guide", "messages": ASK}),
    ("POST", "/v1/completions", {"model": "guide", "prompt": "Hello"}),
    ("POST", "/v1/embeddings", {"model": "embed", "input": "a"}),
    ("GET", "/v1/models", None),
    ("GET", "/v1/models/guide", None),
    ("POST", "/v1/responses", {"model": "guide", "input": "Hello"}),
    ("POST", "/v1/messages", {"model": "guide", "max_tokens": 5, "messages": ASK}),
]
GENERATING = [row for row in ROUTES if row[2] and row[2]["model"] == "guide" and row[1] != "/api/show"]


async def test_every_route_answers_as_ollama_does() -> None:
    """Status, content type and keys are those of Ollama asked directly, on every route."""
    async with FakeOllama(["guide", "embed"]) as fake, Gateway(fake) as gateway:
        for method, path, body in ROUTES:
            async with gateway.session.request(method, path, json=body) as answer:
                through = answer.status, answer.headers["content-type"], sorted(await answer.json(content_type=None))
            async with aiohttp.request(method, fake.url + path, json=body) as answer:
                direct = answer.status, answer.headers["content-type"], sorted(await answer.json(content_type=None))
            assert through == direct, path
            assert through[0] == 200


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
async def test_nothing_without_the_key(fake_ollama: FakeOllama, method: str, path: str, body: Any) -> None:
    """401 that says how a key is sent, in the route's own shape; Ollama hears nothing of it."""
    async with Gateway(fake_ollama) as gateway:
        fake_ollama.requests.clear()
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"X-API-Key": ""}, {"Authorization": f"Basic {KEY}"}):
            async with aiohttp.request(method, gateway.url + path, json=body, headers=headers) as answer:
                reply = await answer.json()
                assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
            if path.startswith("/v1/"):
                assert reply["error"].keys() == {"message", "type", "param", "code"}
                assert (reply["error"]["type"], reply["error"]["code"]) == ("authentication_error", "unauthorized")
            else:
                assert reply.keys() == {"error"}
        assert (reply.get("type") == "error") == (path == "/v1/messages")
        assert not [request for request in fake_ollama.requests if request.method == "POST"]


@pytest.mark.parametrize(
    ("path", "body", "media_type", "sent"),
    [
        (
            "/api/chat",
            {"messages": ASK},
            "application/x-ndjson",
            b'{"model": "guide",  "a":1,"done":false}\n{"done":true}\n',
        ),
        ("/api/generate", {"prompt": "x", "stream": False}, "application/json; charset=utf-8", b'{"response" :\t"x"}'),
        (
            "/v1/chat/completions",
            {"messages": ASK, "stream": True},
            "text/event-stream",
            b'data: {"x":  1}\n\ndata: [DONE]\n\n',
        ),
        (
            "/v1/responses",
            {"input": "x", "stream": True},
            "text/event-stream",
            b'event: response.completed\ndata: {"type":"response.completed"}\n\n',
        ),
        (
            "/v1/messages",
            {"messages": ASK, "stream": True, "max_tokens": 1},
            "text/event-stream",
            b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
        ),
    ],
)
async def test_answers_are_passed_on_byte_for_byte(
    fake_ollama: FakeOllama, path: str, body: dict[str, Any], media_type: str, sent: bytes
) -> None:
    """The very bytes and the content type of Ollama's; of its other headers none."""
    async with Gateway(fake_ollama) as gateway:
        fake_ollama.replies[path] = Reply(200, sent, media_type, {"server": "secret", "set-cookie": "a=b"})
        async with gateway.session.post(path, json={"model": "guide", **body}) as answer:
            assert (answer.status, await answer.read()) == (200, sent)
            assert answer.headers["content-type"] == media_type
            assert not {"server", "set-cookie"} & {name.lower() for name in answer.headers}


async def test_only_what_is_needed_goes_up(fake_ollama: FakeOllama) -> None:
    """Content type and accept; the caller's key, cookies, origin and address stay here."""
    mine = {"Accept": "application/x-ndjson", "Cookie": "a=b", "Origin": "https://example.com", "X-API-Key": KEY}
    mine |= {"X-Forwarded-For": "1.2.3.4", "Content-Type": "text/plain", "anthropic-version": "2023-06-01"}
    async with Gateway(fake_ollama) as gateway:
        body = json.dumps({"model": "guide", "messages": ASK, "stream": False}).encode()
        assert (await gateway.post("/api/chat", body, headers=mine))[0] == 200
        seen = gateway.sent("/api/chat").headers
    assert seen.keys() == {"host", "accept", "accept-encoding", "content-type", "content-length", "user-agent"}
    assert (seen["accept"], seen["content-type"]) == ("application/x-ndjson", "application/json")
    assert KEY not in str(fake_ollama.requests)


async def test_models_that_are_not_allowed_do_not_exist() -> None:
    """They are 404 on every route and in no list; another spelling of an allowed one is that one."""
    async with FakeOllama(["guide", "secret", "embed"]) as fake, Gateway(fake, CHAT_MODELS="guide,embed") as gateway:
        for method, path, body in ROUTES:
            if body:
                async with gateway.session.request(method, path, json={**body, "model": "secret"}) as answer:
                    assert answer.status == 404, path
                    assert "guide" in await answer.text()
        for path, rows in (("/api/tags", "models"), ("/api/ps", "models"), ("/v1/models", "data")):
            async with gateway.session.get(path) as answer:
                listed = [row.get("name") or row["id"] for row in (await answer.json())[rows]]
                assert "guide:latest" in listed and "secret:latest" not in listed
        async with gateway.session.get("/v1/models/secret") as answer:
            assert answer.status == 404
        status, text = await gateway.post("/api/chat", {"model": "Guide:latest", "messages": ASK, "stream": False})
        assert (status, json.loads(text)["model"]) == (200, "Guide:latest")
        assert not [g for g in fake.generations if g.model.startswith("secret")]


@pytest.mark.parametrize(("method", "path", "body"), [row for row in ROUTES if row[2]])
async def test_white_space_around_a_name_is_ignored(method: str, path: str, body: Any) -> None:
    """As Ollama ignores it: names are typed into fields of programs."""
    async with FakeOllama(["guide", "embed"]) as fake, Gateway(fake) as gateway:
        for name in (f" {body['model']}", f"{body['model']}\n"):
            async with gateway.session.request(method, path, json={**body, "model": name}) as answer:
                assert answer.status == 200
            assert gateway.sent(path).body["model"] == body["model"]


async def test_models_of_other_owners_keep_their_names(fake_ollama: FakeOllama) -> None:
    """A name with slashes is found on `/v1/models/NAME`, as the openai client spells it."""
    fake_ollama.install(Model("hf.co/someone/tiny:q4"))
    async with Gateway(fake_ollama) as gateway:
        for name in ("hf.co/someone/tiny:q4", "hf.co%2Fsomeone%2Ftiny%3Aq4"):
            async with gateway.session.get(
                aiohttp.client.URL(f"{gateway.url}/v1/models/{name}", encoded=True)
            ) as answer:
                assert (await answer.json())["id"] == "hf.co/someone/tiny:q4"


@pytest.mark.parametrize(("path", "body"), [(path, body) for _, path, body in GENERATING])
async def test_the_tokens_are_limited(fake_ollama: FakeOllama, path: str, body: dict[str, Any]) -> None:
    """A missing, higher, negative or endless limit becomes the ceiling; a lower one stays."""
    name = {"/v1/responses": "max_output_tokens"}.get(path, "max_tokens")

    def limited(to: Any) -> dict[str, Any]:
        return {**body, "options": {"num_predict": to}} if path.startswith("/api/") else {**body, name: to}

    cases = [(5, 5), (99999, 20), (1e99, 20)]
    if path != "/v1/messages":  # where Ollama itself refuses these
        cases += [(None, 20), (-1, 20), (-2, 20), (0, 20)]
    async with Gateway(fake_ollama, CHAT_MAX_TOKENS="20") as gateway:
        for to, sent in cases:
            assert (await gateway.post(path, limited(to)))[0] == 200
            assert fake_ollama.generations[-1].ask.options["num_predict"] == sent, to
        if path != "/v1/messages":
            assert (await gateway.post(path, body))[0] == 200
            assert fake_ollama.generations[-1].ask.options["num_predict"] == 20


async def test_nothing_loads_the_model_anew(fake_ollama: FakeOllama) -> None:
    """Options and fields that would are dropped, however they are spelled, and the rest goes up as it came."""
    options = {"num_ctx": 512, "num_gpu": 0, "NUM_THREAD": 1, "use_mmap": True, "temperature": 0.5, "stop": ["x"]}
    body = {"Model": "guide", "messages": ASK, "options": options, "keep_alive": 0, "Keep_Alive ": 1, "shift": False}
    async with Gateway(fake_ollama) as gateway:
        status, _ = await gateway.post("/api/chat", {**body, "\u017ftream": False, "think": False})
        sent = gateway.sent("/api/chat").body
        assert (await gateway.post("/api/embed", {"model": "guide", "input": [], "options": options}))[0] == 200
        embedded = gateway.sent("/api/embed").body
    assert status == 200
    assert sent == {
        "model": "guide", "messages": ASK, "stream": False, "think": False, "keep_alive ": 1,
        "options": {"temperature": 0.5, "stop": ["x"], "num_predict": 4096},
    }  # fmt: skip
    assert embedded["options"] == {"temperature": 0.5, "stop": ["x"]}
    assert len(fake_ollama.loads) == 1 and not fake_ollama.unloads


LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")


@pytest.mark.parametrize(("path", "body"), [(path, body) for _, path, body in GENERATING if path.startswith("/v1/")])
async def test_the_smallest_limit_counts(fake_ollama: FakeOllama, path: str, body: dict[str, Any]) -> None:
    """Of all the names it goes by, and of the ceiling; it goes up under the one name that Ollama reads there."""
    own = {"/v1/responses": "max_output_tokens"}.get(path, "max_tokens")
    cases = [({own: 9, other: 5}, 5) for other in LIMITS if other != own]
    cases += [({own: 5, "max_completion_tokens": 9, "max_output_tokens": 7, "max_tokens": 8} | {own: 5}, 5)]
    cases += [({own: 9, "max_completion_tokens": 10**9}, 9), ({own: 10**9, "max_completion_tokens": -1}, 20)]
    if path != "/v1/messages":  # where Ollama itself wants its own name
        cases += [({"max_completion_tokens": 5}, 5), ({"max_completion_tokens": 10**9}, 20)]
        cases += [({own: 0, "max_completion_tokens": 5}, 5)]
    async with Gateway(fake_ollama, CHAT_MAX_TOKENS="20") as gateway:
        for limits, sent in cases:
            assert (await gateway.post(path, {**body, **limits}))[0] == 200
            assert {name: gateway.sent(path).body.get(name) for name in LIMITS} == dict.fromkeys(LIMITS) | {own: sent}
            assert fake_ollama.generations[-1].ask.options["num_predict"] == sent


async def test_a_longer_context_is_answered_where_the_prompt_fits(fake_ollama: FakeOllama) -> None:
    """`num_ctx` never goes up; one above what runs becomes `truncate: false`, whether or not the model was loaded."""
    async with Gateway(fake_ollama, CHAT_OWNS_OLLAMA="no") as gateway:
        for path, body in (("/api/chat", {"messages": ASK}), ("/api/generate", {"prompt": "Hello"})):
            for num_ctx, truncate in ((8192, False), (4096, None), (32768, False), (512, None), ("many", None)):
                request = {"model": "guide", "stream": False, **body, "options": {"num_ctx": num_ctx, "seed": 1}}
                status, text = await gateway.post(path, request)
                assert status == 200, text
                sent = gateway.sent(path).body
                assert sent["options"] == {"seed": 1, "num_predict": 4096}
                assert sent.get("truncate") is truncate
            chosen = {**request, "options": {"num_ctx": 8192}, "truncate": True}
            assert (await gateway.post(path, chosen))[0] == 200 and gateway.sent(path).body["truncate"] is True
    assert len(fake_ollama.loads) == 1


@pytest.mark.parametrize("stream", [True, False])
async def test_a_prompt_that_fits_only_the_longer_context_is_refused(fake_ollama: FakeOllama, stream: bool) -> None:
    """400 in a sentence, where Ollama would have cut it for a caller who wanted room for it."""
    text = "word " * 5000
    async with Gateway(fake_ollama) as gateway:
        for path, body in (
            ("/api/chat", {"messages": [{"role": "user", "content": text}]}),
            ("/api/generate", {"prompt": text}),
        ):
            request = {"model": "guide", "stream": stream, **body}
            assert (await gateway.post(path, request))[0] == 200
            status, answer = await gateway.post(path, {**request, "options": {"num_ctx": 32768}})
            assert status == 400
            assert "the model's context holds 4096. Shorten it" in json.loads(answer)["error"]


async def test_one_stop_text_is_a_list_of_one(fake_ollama: FakeOllama) -> None:
    """Ollama takes lists only, and fails at anything else; an empty text, which would end any answer, is left out."""
    async with Gateway(fake_ollama) as gateway:
        for path, body in (("/api/chat", {"messages": ASK}), ("/api/generate", {"prompt": "Hello"})):
            for stop, sent in (("x", ["x"]), (["x", "y"], ["x", "y"]), (None, None), ("", []), (["", "x"], ["x"])):
                request = {"model": "guide", "stream": False, **body, "options": {"stop": stop}}
                assert (await gateway.post(path, request))[0] == 200
                assert gateway.sent(path).body["options"].get("stop") == sent


@pytest.mark.parametrize("path", ["/api/embed", "/api/embeddings", "/v1/embeddings"])
async def test_embeddings_of_a_chat_model_are_the_callers_mistake(fake_ollama: FakeOllama, path: str) -> None:
    """400 with the remedy: on a 5xx every client tries again."""
    async with Gateway(fake_ollama) as gateway:
        status, text = await gateway.post(path, {"model": "guide", "input": "a", "prompt": "a"})
    assert status == 400 and "Choose an embedding model" in text and "--embeddings" not in text


async def test_nobody_unloads(fake_ollama: FakeOllama) -> None:
    """`keep_alive: 0` without a prompt is an ordinary load."""
    async with Gateway(fake_ollama) as gateway:
        for path in ("/api/chat", "/api/generate"):
            status, text = await gateway.post(path, {"model": "guide", "keep_alive": 0})
            assert (status, json.loads(text)["done_reason"]) == (200, "load")
    assert len(fake_ollama.loads) == 1 and not fake_ollama.unloads


async def test_no_search_on_the_owners_account(fake_ollama: FakeOllama) -> None:
    """A web search that Ollama itself would make is taken out of the tools; the caller's own tools stay."""
    own = {"name": "f", "type": "function", "parameters": {}, "input_schema": {}}
    async with Gateway(fake_ollama) as gateway:
        for path, body in [row[1:] for row in GENERATING if row[1] in ("/v1/responses", "/v1/messages")]:
            tools = [{"Type": "web_search_20250305", "name": "web_search"}, own, {"type": "web_search_preview"}]
            assert (await gateway.post(path, {**body, "tools": tools}))[0] == 200
            assert gateway.sent(path).body["tools"] == [own]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"model":"guide","model":"other","messages":[]}', "'model' occurs twice"),
        (b'{"model":"guide","MODEL":"other","messages":[]}', "'model' occurs twice"),
        ('{"keep_alive":1,"\u212aeep_alive":0}'.encode(), "'keep_alive' occurs twice"),
        (b'{"model":"guide","messages":[{"role":"user","x":1,"X":2}]}', "'x' occurs twice"),
        (b'{"model":"guide","options":{"num_predict":1,"Num_Predict":2}}', "'num_predict' occurs twice"),
        (b'{"model":"guide"}{"model":"other"}', "not valid JSON"),
        (b'{"model":"guide","messages":[],}', "not valid JSON"),
        (b'{"model":"guide","x":NaN}', "NaN is not JSON"),
        (b'{"model":"guide","x":1e999}', "too large"),
        (b'{"model":"guide","x":' + b"9" * 9000 + b"}", "too long"),
        (b'{"model":"guide"\xff}', "not valid JSON"),
        (b"\xff\xfe{\x00}\x00", "not UTF-8"),
        (b'{"model":' * 20000, "nested too deeply"),
        (b'{"model":"guide","messages":[' + b"{}," * 100_001 + b"{}]}", "objects"),
        (b"[]", "must be a JSON object"),
        (b'"guide"', "must be a JSON object"),
        (b"", "missing request body"),
        (b"  \n", "missing request body"),
        (b"null", "model is required"),
        (b"{}", "model is required"),
        (b'{"model":"../../etc/passwd"}', "invalid model name"),
        (b'{"model":"guide\\u0000"}', "invalid model name"),
        (b'{"model":["guide"]}', "'model' must be a string"),
        (b'{"model":"guide","stream":1}', "'stream' must be true or false"),
        (b'{"model":"guide","messages":{}}', "'messages' must be a list"),
        (b'{"model":"guide","options":{"temperature":"hot"}}', "'temperature' must be a number"),
        (b'{"model":"guide","format":"xml"}', "'format' must be"),
    ],
)
async def test_what_two_parsers_could_read_differently_is_refused(
    fake_ollama: FakeOllama, body: bytes, words: str
) -> None:
    """400 in words, on both kinds of routes, and Ollama hears nothing of it."""
    async with Gateway(fake_ollama) as gateway:
        for path in ("/api/chat", "/v1/chat/completions"):
            if path.startswith("/v1/") and (b'"options"' in body or b'"format"' in body):
                continue
            status, text = await gateway.post(path, body)
            error = json.loads(text)["error"]
            assert status == 400
            assert words in (error if isinstance(error, str) else error["message"])
    assert not fake_ollama.generations


async def test_the_rate_counts_generations_alone() -> None:
    """429 with Retry-After in the route's shape; embeddings, lists and refused requests are not counted."""
    async with FakeOllama(["guide", "embed"]) as fake, Gateway(fake, CHAT_RATE_LIMIT="2/minute") as gateway:
        for _ in range(3):
            assert (await gateway.post("/api/embed", {"model": "embed", "input": "a"}))[0] == 200
            assert (await gateway.post("/api/chat", {"model": "nothere"}))[0] == 404
        body = {"model": "guide", "messages": ASK, "stream": False}
        statuses = [(await gateway.post("/v1/chat/completions", body))[0] for _ in range(3)]
        assert statuses == [200, 200, 429]
        async with gateway.session.post("/v1/chat/completions", json=body) as answer:
            assert int(answer.headers["retry-after"]) > 0
            assert (await answer.json())["error"]["type"] == "rate_limit_error"


async def test_show_tells_no_folder(fake_ollama: FakeOllama) -> None:
    """Paths in a Modelfile become names; the rest of what Ollama shows stays."""
    modelfile = "# FROM guide\n\nFROM /root/.ollama/models/blobs/sha256-12\nADAPTER C:\\x y\\a.gguf\nSYSTEM hi\n"
    async with Gateway(fake_ollama) as gateway:
        shown = json.dumps({"modelfile": modelfile, "license": "MIT"}).encode()
        fake_ollama.replies["/api/show"] = Reply(200, shown, "application/json; charset=utf-8")
        reply = json.loads((await gateway.post("/api/show", {"name": "guide"}))[1])
    assert reply["license"] == "MIT"
    assert reply["modelfile"] == "# FROM guide\n\nFROM guide\nADAPTER a.gguf\nSYSTEM hi\n"
    assert BEARER["Authorization"] not in str(fake_ollama.requests)
