"""What is used of Gradio beyond its documentation, each named once: an upgrade that changes it fails here first."""

import ast
import inspect
import json
import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from ollama_backend.space import create_app
from ollama_backend.surfaces import gradio_app
from ollama_backend.surfaces.gradio_app.fast_import import import_gradio
from tests.support.fake_ollama import FakeOllama
from tests.support.served import BEARER, serve, settings_for

FOLDER = Path(gradio_app.__file__).parent


# Where it is used, and the names.
PAGE = (
    "saved_conversations", "conversation_id", "saved_input", "null_component", "state_session_capacity",
    "_queue", "fns", "process_api", "_stream_run_key", "handle_streaming_diffs",
)  # fmt: skip
QUEUE = (
    "max_thread_count", "sleep_when_free", "progress_update_sleep_when_free", "ANAYLTICS_CACHE_FREQUENCY", "push",
    "process_events", "start_processing", "close", "event_ids_to_events", "pending_event_ids_session",
    "pending_messages_per_session", "event_queue_per_concurrency_id", "ANALYTICS_MAX_EVENTS", "clean_events", "stopped",
    "server_app", "set_server_app",
)  # fmt: skip
SERVER = ("stop_event", "state_holder", "iterators_to_reset")
PARAMETER = ("_api_info", "label", "example_payload")
FUNCTION = ("inputs", "outputs", "fn", "queue")


@pytest.fixture(scope="module")
def gr() -> Any:
    """Gradio, which takes a second to import."""
    return import_gradio()


async def answered(message: str, history: list[Any]) -> str:
    """Return the message."""
    return message


async def test_the_names_that_are_used_are_there(gr: Any) -> None:
    """Each is an attribute of Gradio's object."""
    from gradio.components.api_component import Api

    page = gr.ChatInterface(answered)
    used = (
        (page, PAGE),
        (page._queue, QUEUE),
        (gr.routes.App.create_app(page), SERVER),
        (Api(None, {"type": "string"}), PARAMETER),
        (next(iter(page.fns.values())), FUNCTION),
    )
    assert [name for thing, names in used for name in names if not hasattr(thing, name)] == []


def test_every_private_name_is_in_the_contract() -> None:
    """No module uses an attribute of another object that begins with `_` and is not named above."""
    used = {
        node.attr
        for path in FOLDER.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and re.match(r"_[a-z]", node.attr)
        and ast.unparse(node.value) not in ("self", "super()")
    }
    assert used == {name for name in PAGE + QUEUE + SERVER + PARAMETER if name.startswith("_")}


def test_a_chat_interface_is_drawn_and_wired_by_methods_of_its_own(gr: Any) -> None:
    """The page replaces these four, which `__init__` calls."""
    called = inspect.getsource(gr.ChatInterface.__init__)
    for name in ("_render_header", "_render_chatbot_area", "_render_footer", "_setup_events"):
        assert f"self.{name}(" in called
    given = list(inspect.signature(gr.ChatInterface._render_chatbot_area).parameters)
    assert given == ["self", "chatbot", "textbox", "submit_btn", "stop_btn"]


async def test_a_lean_session_has_what_a_session_has(gr: Any) -> None:
    """All attributes that Gradio sets are set, and what keeps values there is replaced."""
    from ollama_backend.surfaces.gradio_app.lean_sessions import LeanSession

    page = gr.ChatInterface(answered)
    assert vars(LeanSession(page)).keys() == vars(gr.state_holder.SessionState(page)).keys()
    replaced = [name for name in vars(LeanSession) if name.startswith("_update")]
    assert replaced == [name for name in vars(gr.state_holder.SessionState) if name.startswith("_update")]


def test_the_queue_polls_with_sleep(gr: Any) -> None:
    """`queue.py` wakes it by that: `start_processing` sleeps for `sleep_when_free` where there is nothing to do."""
    assert "await asyncio.sleep(self.sleep_when_free)" in inspect.getsource(gr.queueing.Queue.start_processing)


def test_the_loading_indicator_has_a_file_of_its_own(gr: Any) -> None:
    """`loading_animation.js` knows its calls by that file's name. It calls what it finds at import."""
    (indicator,) = Path(gr.__file__).parent.glob("templates/frontend/assets/statustracker-*.js")
    assert re.search(r"=typeof window<`u`\?window\.requestAnimationFrame:", indicator.read_text())


def test_the_names_of_all_assets_have_hashes(gr: Any) -> None:
    """`hashed_files.py` lets browsers keep them."""
    names = [path.name for path in Path(gr.__file__).parent.glob("templates/frontend/assets/*")]
    assert len(names) > 100 and [name for name in names if not re.search(r"-[\w-]{8,9}\.\w+$", name)] == []


def test_what_is_left_out_of_the_import_is_only_left_out(gr: Any) -> None:
    """A component without a file has no `.pyi` written, and an update without matplotlib is sent all the same."""
    assert "except OSError" in inspect.getsource(gr.component_meta.create_or_modify_pyi) + inspect.getsource(
        gr.component_meta.ComponentMeta
    )
    assert "import matplotlib" in inspect.getsource(gr.utils)


async def test_the_messages_of_a_stream(fake_ollama: FakeOllama) -> None:
    """The first value comes whole, later ones as a replacement of the whole text, the last changes nothing."""
    fake_ollama.script(content=["a "] * 40, token_delay=0.02, thinking="")
    space = create_app(settings_for(fake_ollama))
    async with serve(space) as url, aiohttp.ClientSession(url, headers=BEARER) as client:
        async with client.get("/config") as answer:
            dependencies = (await answer.json())["dependencies"]
        number = next(each["id"] for each in dependencies if each["api_name"] == "follow")
        turn = {"id": "a" * 32, "start": True, "messages": [{"role": "user", "content": "hello"}]}
        body = {"data": [turn], "event_data": None, "fn_index": number, "session_hash": "s"}
        async with client.post("/gradio_api/queue/join", json=body) as answer:
            event = (await answer.json())["event_id"]
        messages = []
        async with client.get("/gradio_api/queue/data", params={"session_hash": "s"}) as stream:
            async for line in stream.content:
                if line.startswith(b"data:"):
                    messages.append(json.loads(line[5:]))
        await space.close()
    # The first is Gradio's own, the others are made in its place.
    assert len({frozenset(each["output"]) for each in messages if each["msg"] == "process_generating"}) == 1
    mine = [message for message in messages if message.get("event_id") == event]
    values = [message["output"]["data"][0] for message in mine if message["msg"] == "process_generating"]
    updates = [values[0], *(change for value in values[1:] for change in value)]
    assert isinstance(updates[0], str)
    assert {(kind, tuple(path)) for kind, path, _ in updates[1:]} == {("replace", ())}
    numbers = [
        json.loads(text)["n"] for text in (updates[0], *(text for *_, text in updates[1:])) if isinstance(text, str)
    ]

    assert numbers == list(range(len(numbers))) and len(numbers) > 5
    assert mine[-1]["msg"] == "process_completed"
