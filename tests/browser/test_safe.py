"""Nothing that a model, a title or a file says runs, or loads anything from another host."""

import json

import pytest

from tests.support.browser.space import Chat, until
from tests.support.fake_ollama import FakeOllama

pytestmark = pytest.mark.asyncio(loop_scope="session")

HOSTILE = {
    "image": "![secret](https://evil.example/x.png) and ![](https://evil.example/y.png) end",
    "reference": "![secret][r] end\n\n[r]: https://evil.example/x.png",
    "html": '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script><b>end</b>',
    "remote html": "<img src=https://evil.example/z.png> <iframe src=https://evil.example></iframe> end",
    "style": "<style>@import url(https://evil.example/a.css)</style><div style='background:url(//evil.example/b)'> end",
    "svg": "<svg onload=window.hacked=1><image href=https://evil.example/c.png /></svg> end",
    "unclosed": "<div><table><tr><td><a href='https://evil.example/ end",
    "link": "[go](javascript:window.hacked=1) <javascript:window.hacked=1> [data](data:text/html,x) end",
    "math": "$$<img src=https://evil.example/m onerror=window.hacked=1>$$ \\(<img src=https://evil.example/n>\\) end",
    "macro": "$$\\href{javascript:window.hacked=1}{x} \\includegraphics{https://evil.example/k.png}$$ end",
    "mermaid": '```mermaid\ngraph TD\n A@{ img: "https://evil.example/i.png", label: "x" }\n```\nend',
    "fence trick": "```\ncode\n~~~ ![x](https://evil.example/q.png)\n```\n![x](https://evil.example/r.png) end",
    "inline trick": "`a ![x](https://evil.example/1.png) `` ![x](https://evil.example/2.png) end",
    "bidi": "\u202eexe.gpj\u202c [\u2066https://good.example\u2069](https://evil.example) end",
    "latin1": "<IMG SRC=//evil.example/u.png><a/onclick=window.hacked=1>end</a>",
    "entities": "&lt;img src=https://evil.example/e onerror=window.hacked=1&gt; &#60;script&#62;window.hacked=1 end",
    "comment": "<!--><img src=https://evil.example/v.png onerror=window.hacked=1>--> end",
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_text_stays_text(name: str, chat: Chat, ollama: FakeOllama) -> None:
    """In an answer, in its thinking and in a message: nothing runs, nothing is asked of another host."""
    ollama.script(thinking=HOSTILE[name], content=HOSTILE[name])
    await chat.say(HOSTILE[name])
    await chat.settled()
    await until(lambda: chat.shows("end"))
    await chat.page.locator(".thinking summary").first.click()
    await chat.page.locator(".thinking .text > *").first.wait_for()
    await chat.page.reload()
    await chat.ready()
    await until(lambda: chat.shows("end"))
    assert await chat.script("window.hacked") is None
    assert [url for url in chat.requests if "evil.example" in url] == []
    assert [error for error in chat.errors if "evil" in error or "Content Security" in error] == []
    kinds = "#messages .text :is(script, iframe, img, object, embed, style, svg image, form, input, [style*=position])"
    assert await chat.page.locator(kinds).count() == 0


async def test_a_picture_of_another_host_is_a_link_that_leads_out(chat: Chat, ollama: FakeOllama) -> None:
    """A Markdown picture is shown as a link; links open in a new tab that cannot reach this one."""
    ollama.script(
        thinking="", content="![a cat](https://pictures.example/cat.png) [in](#key=evil) [run](javascript:alert(1))"
    )
    await chat.say("picture")
    await chat.settled()
    link = chat.page.locator("#messages a", has_text="a cat")
    assert await link.get_attribute("href") == "https://pictures.example/cat.png"
    async with chat.page.context.expect_page() as opened:
        await link.click()
    other = await opened.value
    assert await other.evaluate("window.opener") is None
    await other.close()
    for text in ("in", "run"):
        assert await chat.page.locator("#messages a", has_text=text).count() == 0


async def test_copying_gives_the_text_as_written(chat: Chat, ollama: FakeOllama) -> None:
    """What is changed for showing is undone in the clipboard, and in a message that is edited."""
    await chat.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    text = "Use <b>bold</b> and ![x](https://pictures.example/x.png)."
    ollama.script(thinking="", content=text)
    await chat.say("<i>show</i> it")
    await chat.settled()
    await chat.press("Copy")
    await until(lambda: _copied(chat, text))
    await chat.page.locator("[data-act=edit]").first.click()
    await chat.page.press("#edit", "End")
    await chat.page.locator("#edit").press_sequentially(" now")
    await chat.page.click("#send-edit")
    await until(lambda: len(ollama.generations) == 2)
    await chat.settled()
    assert (await chat.stored())["messages"][0]["text"] == "<i>show</i> it now"


async def _copied(chat: Chat, text: str) -> bool:
    return text == str(await chat.script("navigator.clipboard.readText()"))


async def test_a_hostile_file_brings_in_text_only(chat: Chat) -> None:
    """Titles and texts of an imported file are text; anything else in it is dropped."""
    title = "<img src=https://evil.example/t.png onerror=window.hacked=1>\u202e"
    bad = {"role": "assistant", "text": {"html": "x"}, "content": [{"type": "file", "file": {"url": "//evil.example"}}]}
    good = {"role": "user", "text": HOSTILE["html"], "images": ["x"], "end": "failed", "stats": {"tokens": "<b>"}}
    file = json.dumps(
        {"conversations": [{"title": title, "messages": [bad, good, {"role": "system", "text": "x"}, 7]}]}
    )
    async with chat.page.expect_file_chooser() as choosing:
        await chat.page.click("#import")
    await (await choosing.value).set_files({"name": "c.json", "mimeType": "application/json", "buffer": file.encode()})
    await chat.page.locator("#chats button.title").first.click()
    await until(lambda: chat.shows("end"))
    assert await chat.titles() == [title.rstrip("\u202e")[:60]]
    assert [(m["role"], m["text"]) for m in (await chat.stored())["messages"]] == [("user", HOSTILE["html"])]
    assert await chat.script("window.hacked") is None
    assert [url for url in chat.requests if "evil.example" in url] == []


async def test_a_huge_answer_is_shown(chat: Chat, ollama: FakeOllama) -> None:
    """A hundred thousand characters and a table of a thousand rows come through whole."""
    row = "| " + " | ".join(["cell"] * 8) + " |\n"
    table = row + "|" + "---|" * 8 + "\n" + row * 1000
    ollama.script(thinking="", content=["x" * 100_000 + "\n\n", table, "\nthe end"])
    await chat.say("huge")
    await chat.settled()
    await until(lambda: chat.shows("the end"), 20)
    assert len(await chat.stored_text()) > 150_000
    assert await chat.script(
        "document.getElementById('talk').scrollWidth <= document.getElementById('talk').clientWidth"
    )
