"""Thinking that comes as text is taken out of the content, however it is cut, and text about it stays."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollama_backend.chat.answer_state import AnswerState
from ollama_backend.chat.conversation import MAX_HISTORY_MESSAGES, ChatRequest, Conversation
from ollama_backend.chat.thinking import ThinkingSplitter, opens_thinking, split_thinking
from tests.support.fake_ollama import Delta, FakeOllama, Model
from tests.support.parts import ANNE, Parts, parts
from tests.support.waiting import until

ASK = ChatRequest("guide", [{"role": "user", "content": "Hi"}])


def split(parts_of_content: list[str], **more: bool) -> tuple[str, str, bool]:
    """The thinking, the content, and whether a block was closed that was not opened."""
    splitter = ThinkingSplitter(**more)
    pieces = [piece for part in parts_of_content for piece in splitter.feed(part)] + list(splitter.finish())
    texts = {kind: "".join(text for of, text in pieces if of == kind) for kind in ("thinking", "content")}
    return texts["thinking"], texts["content"], splitter.closed_unopened


CONTENTS = [
    ("<think>plan</think>\n\nHello", "plan", "Hello"),
    ("\n <think>\nplan\n</think> Hello", "plan\n", "Hello"),
    ("<think></think>Hello", "", "Hello"),
    ("<think>\n\n</think>\n\nHello", "", "Hello"),
    ("<think>never closed", "never closed", ""),
    ("<think>a </thin b</think>c", "a </thin b", "c"),
    ("Use `<think>` and `</think>` in code", "", "Use `<think>` and `</think>` in code"),
    ("Hello <think>no block</think>", "", "Hello <think>no block</think>"),
    ("```\n<think>x</think>\n```", "", "```\n<think>x</think>\n```"),
    ("<thinker>Hello", "", "<thinker>Hello"),
    ("a < b", "", "a < b"),
    ("<think>a</think>b<think>c</think>d", "a", "b<think>c</think>d"),
    ("<thi", "", "<thi"),
    ("Hello", "", "Hello"),
]


@pytest.mark.parametrize(("content", "thinking", "rest"), CONTENTS)
@pytest.mark.parametrize("may_close", [False, True])
def test_a_leading_block_is_thinking(content: str, thinking: str, rest: str, may_close: bool) -> None:
    """Whole, in single characters and in every two parts."""
    cuts = [[content], list(content), *([content[:at], content[at:]] for at in range(1, len(content)))]
    for pieces in cuts:
        found = split(pieces, may_close=may_close)
        assert (found[0].lstrip("\n"), found[1], found[2]) == (thinking, rest, False), pieces
    assert (split_thinking(content)[0].lstrip("\n"), split_thinking(content)[1]) == (thinking, rest)


def test_a_block_that_the_template_opened() -> None:
    """All up to the closing tag is thinking, with or without an opening tag of the model's own."""
    for content in ("plan</think>Hello", "<think>plan</think>\n\nHello", "\nplan</think>Hello"):
        for pieces in ([content], list(content)):
            thinking, rest, _ = split(pieces, opened=True)
            assert (thinking.strip(), rest) == ("plan", "Hello")
    splitter = ThinkingSplitter(opened=True)
    assert [*splitter.feed("no "), *splitter.feed("block</thi"), *splitter.finish()] == [
        ("thinking", "no "), ("thinking", "block"), ("thinking", "</thi"),
    ]  # fmt: skip
    assert splitter.unclosed == "no block</thi"


def test_a_block_that_nobody_opened() -> None:
    """Its closing tag is believed where the model may think, and never in code or after an opening tag."""
    assert split(["plan</think>Hello"], may_close=True) == ("plan", "Hello", True)
    assert split(list("plan</think>\nHello"), may_close=True)[1:] == ("planHello", True)  # `plan` was passed on before
    for content in ("plan</think>Hello", "say `</think>` or '</think>'", 'split("</think>")', "a <think> b </think> c"):
        quoted = "`" in content or '"' in content or "a <" in content
        for pieces in ([content], list(content)):
            assert split(pieces) == ("", content, False)
            assert split(pieces, may_close=quoted) == ("", content, False)


@given(st.lists(st.text("<>/think ab`\n", max_size=9), max_size=9), st.booleans(), st.booleans())
def test_no_text_is_lost(pieces: list[str], opened: bool, may_close: bool) -> None:
    """Whatever comes: only tags and the whitespace around them are left out."""
    thinking, content, _ = split(pieces, opened=opened, may_close=may_close)
    text = "".join(pieces)
    for tag in ("<think>", "</think>"):
        text = text.replace(tag, "")
        thinking, content = thinking.replace(tag, ""), content.replace(tag, "")
    assert sorted(text.replace(" ", "").replace("\n", "")) == sorted(
        (thinking + content).replace(" ", "").replace("\n", "")
    )


@pytest.mark.parametrize(
    ("template", "modelfile", "opens"),
    [
        ("{{ .Prompt }}<|im_start|>assistant\n<think>\n", "", True),
        ("{%- if add_generation_prompt -%}<|im_start|>assistant\n<think>\n{% endif -%}", "", True),
        ("{% if no %}<think>\n\n</think>\n\n{% endif %}", "", False),
        ("{{ .Prompt }}", "FROM x\nRENDERER qwen3-thinking\nPARSER qwen3-thinking\n", True),
        ("{{ .Prompt }}", "FROM x\nRENDERER qwen3-coder\nSYSTEM for -thinking", False),
        ("", "", False),
    ],
)
def test_templates_that_open_the_block(template: str, modelfile: str, opens: bool) -> None:
    """As `/api/show` has them: Go's, llama.cpp's, and the names of Ollama's own renderers."""
    assert opens_thinking(template, modelfile) is opens


async def written(p: Parts, chat: ChatRequest = ASK, grace: float = 0.0) -> list[tuple[str, str]]:
    """The pieces of an answer as its reader gets them."""
    answer = await p.start(chat, ANNE, grace=grace, keeps_deltas=True)
    pieces = []
    with answer.reader() as reader:
        while not answer.ended:
            await reader.changed()
            pieces += [(delta.kind, delta.text) for delta in reader.take()]
    pieces += [(delta.kind, delta.text) for delta in reader.take()]
    assert answer.state is AnswerState.DONE
    return pieces


async def test_a_model_whose_template_opens_the_block_is_known_at_once() -> None:
    """Its thinking is thinking from the first piece on, as Ollama shows its template."""
    opens = Model("guide", ("completion",), template="{{ .Prompt }}<think>\n")
    async with FakeOllama(models=[opens]) as fake, parts(fake) as p:
        fake.script(content=["\n", "the ", "plan", "</th", "ink>", "\n\n", "Hello"])
        assert await written(p) == [("thinking", "the "), ("thinking", "plan"), ("content", "Hello")]
        fake.script(content=["no ", "plan"])  # it ends by itself without closing the block: that was the answer
        assert await written(p) == [("thinking", "no "), ("thinking", "plan"), ("content", "no plan")]
        fake.script(content=["a ", "long ", "plan"])
        chat = ChatRequest("guide", ASK.messages, {"num_predict": 2})
        assert await written(p, chat) == [("thinking", "a "), ("thinking", "long ")]


async def test_a_model_is_known_after_its_first_surprise() -> None:
    """A thinking model that was told not to think and does: its text is put right, and the next answer is right from
    the first piece on."""
    async with FakeOllama(models=["guide"]) as fake, parts(fake) as p:
        fake.script(content=["the ", "plan", "</think>", "Hello"])
        chat = ChatRequest("guide", ASK.messages, think=False)
        answer = await p.start(chat, ANNE, keeps_deltas=True)
        await until(lambda: answer.ended)
        assert answer.rewritten and (answer.text("thinking"), answer.text("content")) == ("the plan", "Hello")
        assert await written(p, chat) == [("thinking", "the "), ("thinking", "plan"), ("content", "Hello")]
        fake.script(content=["Hello"])
        assert await written(p, chat) == [("thinking", "Hello"), ("content", "Hello")]
        assert await written(p, chat) == [("content", "Hello")]
        fake.script(deltas=[Delta(thinking="Hm."), Delta("<think> is a tag")])
        assert await written(p) == [("thinking", "Hm."), ("content", "<think> is a tag")]


async def test_what_is_held_back_is_kept_when_an_answer_is_stopped(fake_ollama: FakeOllama) -> None:
    """Half a tag at the end is text."""
    fake_ollama.script(deltas=[Delta("a <thi"), Delta("never", delay=9)])
    async with parts(fake_ollama) as p:
        answer = await p.start(ChatRequest("guide", ASK.messages, think=False), ANNE)
        await until(lambda: bool(answer.deltas))
        answer.stop()
        assert answer.text("content") == "a <thi"


def test_long_histories_lose_whole_turns() -> None:
    """The oldest question goes with its answer, so that what is left begins with a question."""
    conversation = Conversation()
    for number in range(MAX_HISTORY_MESSAGES + 1):
        conversation.add(f"question {number}", "" if number % 7 == 3 else f"answer {number}")
        roles = [message["role"] for message in conversation.messages]
        assert roles == ["user", "assistant"] * (len(roles) // 2) + ["user"] * (len(roles) % 2)
    assert len(conversation.messages) <= MAX_HISTORY_MESSAGES
    assert conversation.messages[-1] == {"role": "assistant", "content": f"answer {MAX_HISTORY_MESSAGES}"}
