"""Several models by name: loaded at first use, kept as long as asked, unloaded when memory asks for it."""

import asyncio
import json
import subprocess
import time
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from ollama_backend.embedded.errors import Exit
from ollama_backend.embedded.llama import gguf, sizing
from ollama_backend.embedded.llama.sizing import Wishes
from tests.support import gguf_files
from tests.support.embedded_engine import DEADLINE_SECONDS, GREEDY, GUIDE, ROOT, Engine, command, engine, run, user
from tests.support.waiting import until, wait_until

ENDLESS = {"temperature": 2.0, "num_predict": 100_000}


def second_guide(folder: Path) -> Path:
    """The guide under another name, so that two models are tiny."""
    path = folder / "other.gguf"
    path.write_bytes(GUIDE.read_bytes())
    return path


def test_models_are_listed_in_order_and_loaded_at_first_use(smol: Path) -> None:
    """Both are listed with their details from the start; the second is loaded by the first request that names it."""
    with engine(models={"smollm2:135m": smol, "guide": GUIDE}) as running:
        first, second = running.ask("/api/tags")["models"]
        assert (first["name"], second["name"]) == ("smollm2:135m", "guide:latest")
        assert running.loaded() == ["smollm2:135m"]
        assert running.chat("guide", "hello", options={"num_predict": 1})["done"]
        assert set(running.loaded()) == {"smollm2:135m", "guide:latest"}
        assert len(running.children()) == 2
    details = first["details"]
    assert (details["family"], details["parameter_size"], details["quantization_level"]) == ("llama", "134.52M", "Q4_1")
    assert (details["context_length"], details["embedding_length"]) == (8192, 576)


def test_a_real_model_answers_in_words(smol: Path) -> None:
    """SmolLM2 knows the capital of France without an option, on three of the APIs, and ends its answers."""
    with engine(models={"smollm2:135m": smol}) as running:
        assert "Paris" in running.chat("smollm2:135m", "What is the capital of France?")["message"]["content"]
        body = {"model": "smollm2:135m", "messages": user("What is the capital of France?")}
        assert "Paris" in running.ask("/v1/chat/completions", body)["choices"][0]["message"]["content"]
        assert "Paris" in running.ask("/v1/messages", body | {"max_tokens": 50})["content"][0]["text"]
        endless = running.chat("smollm2:135m", "Write a very long story.", options=ENDLESS)
        assert endless["eval_count"] <= 512
        assert running.chat("smollm2:135m", "Count.", options={"num_predict": 3})["eval_count"] == 3


def test_notes_say_what_a_model_is_good_for(smol: Path, alternating: Path, tmp_path: Path) -> None:
    """SmolLM2 and the guide carry a note in the lists, a model that nothing is known of carries none."""
    other = gguf_files.broken_model(tmp_path / "other.gguf", 512)
    with engine(models={"guide": GUIDE, "smollm2:135m": smol, "other": other}) as running:
        notes = {entry["name"]: entry.get("note") for entry in running.ask("/api/tags")["models"]}
        assert running.ask("/api/show", {"model": "guide"})["note"] == notes["guide:latest"]
    assert notes["smollm2:135m"] == "Very small model, often wrong."
    assert notes["guide:latest"] == "Knows only this app."
    assert notes["other:latest"] is None


@pytest.mark.parametrize(("keep_alive", "stays"), [(-1, True), ("-1m", True), ("1h", True), (0, False), ("0", False)])
def test_a_model_stays_as_long_as_asked(keep_alive: Any, stays: bool) -> None:
    """`keep_alive` is a number of seconds or a duration: negative is for ever, 0 unloads after the answer."""
    with engine() as running:
        answer = running.chat("guide", "hello", keep_alive=keep_alive, options={"num_predict": 1})
        assert answer["done_reason"] == "length"
        if stays:
            (entry,) = running.ask("/api/ps")["models"]
            assert entry["expires_at"].startswith("2318" if keep_alive != "1h" else "20")
        else:
            wait_until(lambda: not running.loaded(), "the model is unloaded", DEADLINE_SECONDS)
            wait_until(lambda: not running.children(), "its process has ended", DEADLINE_SECONDS)


def test_an_unused_model_goes_after_its_time() -> None:
    """After the default time without a request a model is unloaded, and comes back with the next request."""
    with engine("--keep-alive", "1") as running:
        wait_until(lambda: not running.loaded(), "the model is unloaded", DEADLINE_SECONDS)
        assert running.chat("guide", "hello", options={"num_predict": 1})["done"]


def test_an_answer_is_never_cut_by_an_unload() -> None:
    """Told to unload at once, a model that answers stays until the answer has ended."""
    with engine("--tokens-per-second", "5") as running:
        with running.open("/api/chat", {"model": "guide", "messages": user("What is this?")}) as response:
            response.readline()
            assert running.ask("/api/generate", {"model": "guide", "keep_alive": 0})["done_reason"] == "unload"
            assert running.loaded()
            assert b'"done":true' in response.read()
        wait_until(lambda: not running.loaded(), "the model is unloaded", DEADLINE_SECONDS)


def memory_for(*paths: Path) -> str:
    """Return the bytes that these models need together."""
    return str(sum(sizing.plan(gguf.read(path), Wishes()).memory for path in paths))


def test_the_least_recently_used_gives_way(tmp_path: Path) -> None:
    """With memory for two of three models, loading the third unloads the one that was used longest ago."""
    other = second_guide(tmp_path)
    models = {"a": GUIDE, "b": other, "c": GUIDE}
    with engine("--memory", memory_for(GUIDE, other), models=models) as running:
        for name in ("a", "b", "a", "c"):
            assert running.chat(name, "hello", options={"num_predict": 1})["done"]
        assert set(running.loaded()) == {"a:latest", "c:latest"}


def test_a_model_that_answers_is_waited_for(tmp_path: Path) -> None:
    """With memory for one model, another waits until the running answer has ended, and then takes its place."""
    models = {"a": GUIDE, "b": second_guide(tmp_path)}
    with engine("--memory", memory_for(GUIDE), "--tokens-per-second", "10", models=models) as running:
        with running.open("/api/chat", {"model": "a", "messages": user("What is this?")}) as response:
            response.readline()
            waiting = running.send(
                "/api/chat", {"model": "b", "messages": user("hello"), "options": {"num_predict": 1}}
            )
            assert running.loaded() == ["a:latest"]
            assert b'"done":true' in response.read()
        with waiting.getresponse() as second:
            assert b'"done":true' in second.read()
        assert running.loaded() == ["b:latest"]


def test_a_model_beyond_the_memory_is_refused(smol: Path) -> None:
    """A request for a model that cannot fit gets words; as the first model it ends the program with status 74."""
    with engine("--memory", "60000000", models={"guide": GUIDE, "smollm2:135m": smol}) as running:
        status, words = running.refused("/api/chat", {"model": "smollm2:135m", "messages": user("x")})
        assert status == 500
        assert "needs 0.1 GB of memory" in words and "choose a smaller model" in words
    assert run("--model", str(smol), "--memory", "60000000").returncode == Exit.NO_MEMORY


def test_a_broken_model_leaves_the_others_alone(tmp_path: Path) -> None:
    """A second model that llama.cpp cannot load is an error of each request for it, and of no other."""
    broken = gguf_files.broken_model(tmp_path / "odd.gguf", 512)
    with engine(models={"guide": GUIDE, "odd": broken}) as running:
        for _ in range(2):
            status, words = running.refused("/api/chat", {"model": "odd", "messages": user("x")})
            assert (status, words.partition(" (")[0]) == (500, "llama.cpp cannot load odd.gguf")
        assert running.chat("guide", "hello", options={"num_predict": 1})["done"]


def test_two_models_of_one_name_are_refused(tmp_path: Path) -> None:
    """Names that Ollama takes for the same end the program with both files' names and the way out."""
    ended = run("--model", f"Guide={GUIDE}", "--model", f"guide:latest={second_guide(tmp_path)}")
    assert ended.returncode == Exit.USAGE
    words = ended.stderr.splitlines()[-1]
    assert "guide.gguf and other.gguf" in words and "NAME=FILE" in words


def test_a_file_without_a_name_is_served_by_its_stem(tmp_path: Path) -> None:
    """A bare path, also one with an equals sign in it, is served under the file's name."""
    folder = tmp_path / "a=b"
    folder.mkdir()
    path = second_guide(folder)
    arguments = command("--model", str(path), "--port", "0")
    with subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            connections = psutil.Process(process.pid).net_connections
            (listener,) = wait_until(lambda: connections("inet"), "it listens", DEADLINE_SECONDS)
            running = Engine(process, listener.laddr.port)
            wait_until(running.answers, "the port answers", DEADLINE_SECONDS)
            assert [entry["name"] for entry in running.ask("/api/tags")["models"]] == ["other:latest"]
        finally:
            process.terminate()
            process.communicate(timeout=DEADLINE_SECONDS)


async def test_models_and_slots_answer_side_by_side(tmp_path: Path) -> None:
    """Eight answers at once, of two models with two slots each, are what each question gets alone."""
    questions = ["What is this?", "hello", "Who are you?", "Thanks!"]
    models = {"a": GUIDE, "b": second_guide(tmp_path)}
    with engine("--parallel", "2", models=models) as running:
        alone = [running.chat("a", question, options=GREEDY)["message"]["content"] for question in questions]
        async with aiohttp.ClientSession(running.url) as session:

            async def ask(name: str, question: str) -> str:
                body = {"model": name, "messages": user(question), "stream": False, "options": GREEDY}
                async with session.post("/api/chat", json=body) as response:
                    return str((await response.json())["message"]["content"])

            answers = await asyncio.gather(*(ask(name, question) for name in models for question in questions))
    assert answers == alone * 2


async def test_a_load_goes_on_without_its_caller(smol: Path) -> None:
    """Who leaves while a model loads does not stop the load, and the next caller finds it in memory."""
    with engine(models={"guide": GUIDE, "smollm2:135m": smol}) as running:
        connection = running.send("/api/generate", {"model": "smollm2:135m"})
        await until(lambda: len(running.children()) == 2, "the second process has started")
        connection.close()
        await until(lambda: "smollm2:135m" in running.loaded(), "the model is loaded")
        begin = time.monotonic()
        answer = running.ask("/api/generate", {"model": "smollm2:135m"})
        assert answer["done_reason"] == "load" and time.monotonic() - begin < 5
        assert json.dumps(answer)
