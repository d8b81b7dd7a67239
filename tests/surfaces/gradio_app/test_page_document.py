"""The page as a document: its own head, files, and a policy that allows no inline script but Gradio's own."""

import base64
import gzip
import hashlib
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from ollama_backend.space import create_app
from ollama_backend.surfaces.gradio_app.katex import katex_files
from ollama_backend.surfaces.gradio_app.page_assets import BROWSER, PageAssets
from tests.support.fake_ollama import FakeOllama
from tests.support.served import BEARER, serve, settings_for

IN_MODULE = pytest.mark.asyncio(loop_scope="module")
HTML = {"Accept": "text/html"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    """A client of the whole app."""
    async with FakeOllama(models=["guide"]) as fake:
        space = create_app(settings_for(fake, SPACE_HOST="you-space.hf.space"))
        async with serve(space) as url, aiohttp.ClientSession(url) as client:
            yield client
            await space.close()


async def document(client: aiohttp.ClientSession) -> tuple[str, str]:
    """The page's HTML, and its policy for scripts."""
    async with client.get("/", headers=HTML) as answer:
        policies = answer.headers.getall("content-security-policy")
        assert answer.status == 200 and answer.headers["cache-control"] == "no-cache"
        own = next(policy for policy in policies if policy.startswith("script-src"))
        return await answer.text(), own


@IN_MODULE
async def test_head_has_the_headers_of_get(client: aiohttp.ClientSession) -> None:
    """The document's length and policies too."""
    headers = {}
    for method in ("GET", "HEAD"):
        async with client.request(method, "/", headers=HTML) as answer:
            size = len(await answer.read())
            assert answer.status == 200 and size == (int(answer.headers["content-length"]) if method == "GET" else 0)
            named = ((name.lower(), value) for name, value in answer.headers.items())
            headers[method] = sorted((name, value) for name, value in named if name not in ("date", "x-request-id"))
    assert headers["HEAD"] == headers["GET"]


@IN_MODULE
async def test_scripts_are_this_servers_or_have_their_hash(client: aiohttp.ClientSession) -> None:
    """The policy allows neither inline scripts nor `eval`; each inline script of Gradio's is named by its hash."""
    html, policy = await document(client)
    sources = policy.split(";")[0].split()[1:]
    assert sources[0] == "'self'"
    inline = re.findall(r"<script(?![^>]*\ssrc=)[^>]*>(.*?)</script>", html, re.DOTALL)
    hashes = {f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in inline}
    assert len(inline) >= 4 and set(sources[1:]) == hashes
    assert not re.search(r"\son\w+=", re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL))


@IN_MODULE
async def test_previews_title_icon_and_manifest_are_ours(client: aiohttp.ClientSession) -> None:
    """Nothing of Gradio's is left for those who show a link, and every address leads to a file."""
    html, _ = await document(client)
    assert re.findall(r"<title>(.*?)</title>", html) == ["Ollama Chat"]
    previews = dict(re.findall(r'<meta property="(og:\w+)" content="([^"]*)"', html))
    assert previews["og:title"] == "Ollama Chat"
    assert previews["og:image"].startswith("https://you-space.hf.space/page-assets/")
    assert len(re.findall(r"(?:property|name)=.(?:og|twitter):", html)) == len(previews) + 1 == 6
    assert html.count('rel="manifest"') == 1
    assert "@Gradio" not in html and "header-image" not in html
    image = previews["og:image"].removeprefix("https://you-space.hf.space")
    paths = [*re.findall(r'"\.(/page-assets/[^"]+)"', html), image]
    for path in paths:
        async with client.get(path) as answer:
            assert answer.status == 200, path
    manifest = next(path for path in paths if path.endswith(".webmanifest"))
    async with client.get(manifest) as answer:
        icons = json.loads(await answer.text())["icons"]
    for icon in icons:
        async with client.get(f"{manifest.rpartition('/')[0]}/{icon['src']}") as answer:
            assert answer.status == 200 and answer.content_type.startswith("image/")


@IN_MODULE
async def test_the_address_of_the_page_is_taken_from_the_browser(client: aiohttp.ClientSession) -> None:
    """Where a proxy serves the page under a path of its own, the request does not name it."""
    html, _ = await document(client)
    assert html.index("gradio_config.root = new URL") < html.index("const root = window.gradio_config.root;")
    assert not re.search(r'const root = "', html)
    assert set(re.findall(r'(?:href|src)="(/[^"]*)"', html)) == set()


@IN_MODULE
async def test_the_pages_files_are_kept_for_a_year(client: aiohttp.ClientSession) -> None:
    """Their address changes with their content; an older one is not found; HEAD and compression work."""
    html, _ = await document(client)
    address = re.findall(r'src="\.(/page-assets/[0-9a-f]{16}/main\.js)"', html)[0]
    async with client.get(address, headers={"Accept-Encoding": "gzip"}) as answer:
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.headers["content-encoding"] == "gzip" and answer.content_type == "text/javascript"
        assert await answer.read() == (BROWSER / "main.js").read_bytes()
    async with client.get(address, headers={"Accept-Encoding": "identity"}) as answer:
        assert await answer.read() == (BROWSER / "main.js").read_bytes()
        length = answer.headers["content-length"]
    async with client.head(address, headers={"Accept-Encoding": "identity"}) as answer:
        assert answer.status == 200 and answer.headers["content-length"] == length
    for codings, coding in (
        ("gzip;q=0", None),
        ("br, *;q=0.000", None),
        ("br, *;q=0.5", "gzip"),
        ("*, GZIP; q=0", None),
    ):
        async with client.get(address, headers={"Accept-Encoding": codings}) as answer:
            assert answer.headers.get("content-encoding") == coding and answer.headers["vary"].startswith("accept-e")
    for path in (address.replace("main", "none"), "/page-assets/0000000000000000/main.js", "/page-assets/../app.py"):
        async with client.get(path) as answer:
            assert answer.status == 404 and "error" in await answer.json()
    async with client.post(address) as answer:
        assert answer.status == 405


@IN_MODULE
@pytest.mark.parametrize(
    ("codings", "coding"),
    [("gzip, br", "br"), ("br;q=0, gzip;q=0.5", "gzip"), ("br;q=0", None), ("*;q=0", None), ("*;q=0, br;q=1", "br")],
)
async def test_gradios_files_have_only_codings_that_are_accepted(
    client: aiohttp.ClientSession, codings: str, coding: str | None
) -> None:
    """Gradio itself looks only for the names."""
    async with client.get("/theme.css", headers={"Accept-Encoding": codings}) as answer:
        assert answer.status == 200 and answer.headers.get("content-encoding") == coding


@IN_MODULE
async def test_gradios_hashed_files_are_kept_for_a_year(client: aiohttp.ClientSession) -> None:
    """Who has one gets no body again; a part and another version are sent, and an error is not kept."""
    html, _ = await document(client)
    address = re.findall(r"/assets/[\w-]+\.js", html)[0]
    kept = "public, max-age=31536000, immutable"
    async with client.get(address) as answer:
        tag, size = answer.headers["etag"], len(await answer.read())
        assert answer.status == 200 and answer.headers["cache-control"] == kept
    for tags in (tag, f"W/{tag}", f'"other", {tag}'):
        async with client.get(address, headers={"If-None-Match": tags}) as answer:
            assert answer.status == 304 and await answer.read() == b""
            assert answer.headers["etag"] == tag and answer.headers["cache-control"] == kept
            assert "content-encoding" not in answer.headers and "content-security-policy" in answer.headers
    async with client.get(address, headers={"If-None-Match": '"other"'}) as answer:
        assert answer.status == 200 and len(await answer.read()) == size
    async with client.get(address, headers={"Range": "bytes=0-9", "Accept-Encoding": "identity"}) as answer:
        assert answer.status == 206 and len(await answer.read()) == 10
    async with client.get("/assets/none-00000000.js", headers={"If-None-Match": tag}) as answer:
        assert answer.status in (403, 404) and answer.headers["cache-control"] == "no-store"


@IN_MODULE
async def test_every_script_that_the_page_needs_is_announced(client: aiohttp.ClientSession) -> None:
    """The browser fetches all of them at once, and none that is imported only when it is needed."""
    html, _ = await document(client)
    announced = re.findall(r'rel="modulepreload" href="\./page-assets/\w+/([^"]+)"', html)
    assert announced[0] == "main.js" and len(set(announced)) == len(announced) > 40
    assert {"state.js", "view/page.js", "languages/en.js"} < set(announced)
    assert not [path for path in announced if path.startswith(("formats/", "code/")) or path == "languages/de.js"]


@IN_MODULE
async def test_katex_is_where_gradio_has_it(client: aiohttp.ClientSession) -> None:
    """One script and one style sheet of this name, and the script is a module with a default export."""
    found = katex_files()
    assert set(found) == {"js", "css"}
    for path in found.values():
        async with client.get(path.removeprefix(".")) as answer:
            text = await answer.text()
            assert answer.status == 200 and ("KaTeX" in text)
            assert path.endswith(".css") or "as default}" in text[-100:]
    html, _ = await document(client)
    assert all(f'content="{path}"' in html for path in found.values())


def test_the_address_changes_with_every_file(tmp_path: Path) -> None:
    """Also with one that is made at the start; a file of another kind is not served."""
    (tmp_path / "main.js").write_text("import { a } from './a.js';\n")
    (tmp_path / "a.js").write_text("export const a = 1;\n")
    (tmp_path / "package.json").write_text("{}")
    first = PageAssets({"made.css": "a{}"}, tmp_path)
    assert first.modules == ["main.js", "a.js"]
    assert PageAssets({"made.css": "a{}"}, tmp_path).address == first.address
    assert PageAssets({"made.css": "b{}"}, tmp_path).address != first.address
    (tmp_path / "a.js").write_text("export const a = 2;\n")
    second = PageAssets({"made.css": "a{}"}, tmp_path)
    assert second.address != first.address
    (tmp_path / "package.json").write_text("[]")
    assert PageAssets({"made.css": "a{}"}, tmp_path).address == second.address
    assert gzip.decompress(first._packed["made.css"]) == b"a{}"


@IN_MODULE
async def test_texts_are_rendered_for_those_with_the_key(client: aiohttp.ClientSession) -> None:
    """A batch comes back in its order; a stranger, another form and too much of it are refused in words."""
    async with client.get("/config") as config:
        dependencies = (await config.json())["dependencies"]
    number = next(row["id"] for row in dependencies if row["api_name"] == "render")

    async def render(texts: object, headers: dict[str, str]) -> dict[str, object]:
        body = {"data": [texts], "fn_index": number, "session_hash": "s"}
        async with client.post("/gradio_api/run/predict", json=body, headers=headers) as answer:
            return {"status": answer.status, **await answer.json()}

    texts = [{"prefix": "c0a", "text": "**a**"}, {"prefix": "t0a", "text": "<script>"}]
    rendered = await render(texts, BEARER)
    assert rendered["data"] == [
        [['<p dir="auto"><strong>a</strong></p>'], ['<p class="raw" dir="auto">&lt;script&gt;</p>']]
    ]
    assert "key" in str((await render(texts, {}))["error"])
    assert "Reload" in str((await render([{"prefix": "<x>", "text": ""}], BEARER))["error"])
    assert "characters" in str((await render([{"prefix": "c0", "text": "x" * 400_001}], BEARER))["error"])
