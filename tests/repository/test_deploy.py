"""What is needed to deploy agrees: the Dockerfile, the compose file, the front matter, the page about it, the code."""

import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from ollama_backend.settings import LOCAL_MODEL, variables

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
PAGE = (ROOT / "docs/deploy.md").read_text()
REQUIREMENTS = (ROOT / "requirements.txt").read_text()

# huggingface.co/docs/hub/spaces-config-reference
COLOURS = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
KEYS = {
    "title", "emoji", "colorFrom", "colorTo", "sdk", "python_version", "sdk_version", "suggested_hardware", "app_file",
    "app_port", "base_path", "fullWidth", "header", "short_description", "models", "datasets", "tags", "thumbnail",
    "pinned", "hf_oauth", "disable_embedding", "startup_duration_timeout", "custom_headers", "preload_from_hub",
    "license",
}  # fmt: skip


def front_matters() -> list[dict[str, Any]]:
    """The README's own, and those that the page shows."""
    own = (ROOT / "README.md").read_text().split("---\n")[1]
    return [yaml.safe_load(text) for text in [own, *re.findall(r"```yaml\n---\n(.*?)---\n```", PAGE, re.S)]]


@pytest.mark.parametrize("front", front_matters(), ids=lambda front: str(front["sdk"]))
def test_front_matter_is_valid(front: dict[str, Any]) -> None:
    """Known keys, valid values, and for each SDK what it needs, with the versions that are pinned."""
    assert set(front) <= KEYS
    assert {front["colorFrom"], front["colorTo"]} <= COLOURS and len(front["short_description"]) <= 60
    assert re.fullmatch(r"\d+(s|m|h)", front["startup_duration_timeout"])
    if front["sdk"] == "docker":
        assert front["app_port"] == 7860 and f"EXPOSE {front['app_port']}" in DOCKERFILE
    else:
        assert f"gradio=={front['sdk_version']}\n" in REQUIREMENTS
        assert (ROOT / front["app_file"]).is_file() and front["python_version"] == "3.12"


def test_both_ways_are_described() -> None:
    """The README is a Docker Space, and the page shows that one and the Gradio one."""
    assert [front["sdk"] for front in front_matters()] == ["docker", "docker", "gradio"]


@pytest.mark.processes
def test_the_dockerfile_is_clean() -> None:
    """hadolint finds nothing."""
    linted = subprocess.run(
        [Path(sys.executable).with_name("hadolint"), "Dockerfile"], cwd=ROOT, capture_output=True, text=True
    )
    assert (linted.returncode, linted.stdout) == (0, "")


def test_the_bases_are_pinned_alike() -> None:
    """Both base images name an exact version, and the compose file takes the same Ollama."""
    images = re.findall(r"^ARG \w+_IMAGE=(\S+)$", DOCKERFILE, re.M)
    assert len(images) == 2 and all(re.search(r":\d+\.\d+\.\d+", image) for image in images)
    assert yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["ollama"]["image"] in images


def test_the_model_of_the_image_is_the_apps_default() -> None:
    """The Dockerfile's default model is the one that the app asks without being told."""
    assert set(re.findall(r"^ARG OLLAMA_MODEL=(.*)$", DOCKERFILE, re.M)) == {LOCAL_MODEL}
    assert f'""|{LOCAL_MODEL})' in DOCKERFILE


def test_the_build_arguments_are_told() -> None:
    """The page's table of build arguments is the Dockerfile's list, but for what a Space hands in by itself."""
    table = PAGE.split("| build argument |")[1].split("\n\n")[0]
    documented = set(re.findall(r"`([A-Z_]+)`", "".join(re.findall(r"^\| (`[^|]+) \|", table, re.M))))
    assert documented == set(re.findall(r"^ARG (\w+)=", DOCKERFILE, re.M)) - {"OLLAMA_HOST"}


def test_compose_keeps_ollama_inside() -> None:
    """The app waits for a healthy Ollama, owns it, and is the only one with a port; its settings exist."""
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    app, ollama = services["app"], services["ollama"]
    assert app["depends_on"] == {"ollama": {"condition": "service_healthy"}} and "healthcheck" in ollama
    assert (
        app["environment"]["OLLAMA_HOST"] == "http://ollama:11434" and app["environment"]["CHAT_OWNS_OLLAMA"] == "yes"
    )
    assert set(app["environment"]) <= {field.metadata["name"] for field in variables()}
    assert app["ports"] == ["7860:7860"] and "ports" not in ollama
    assert ollama["volumes"] == ["models:/root/.ollama"]


def test_system_packages_are_those_of_the_image() -> None:
    """What a Gradio Space installs from Debian is what the image installs for the embedded engine."""
    installed = re.findall(r"apt-get install --yes --no-install-recommends ([^;]+);", DOCKERFILE)
    assert (ROOT / "packages.txt").read_text().split() == installed[0].split()


@cache
def hf_help(*command: str) -> str:
    """What the `hf` program says of one of its commands."""
    argv = [Path(sys.executable).with_name("hf"), *command, "--help"]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def hf_lines() -> list[str]:
    """Every command line of `hf` that the page tells, with the lines that go on."""
    joined = PAGE.replace("\\\n", " ")
    return re.findall(r"^(hf .+)$", joined, re.M) + re.findall(r"`(hf [^`]+)`", joined)


@pytest.mark.processes
@pytest.mark.parametrize("line", hf_lines())
def test_the_commands_of_hf_are_known(line: str) -> None:
    """The pinned `hf` program knows each command on the page, and each of its options."""
    words = shlex.split(line)[1:]
    if words:
        command = [word for word in words[:3] if word.isalpha() and word.islower()]
        known = set(re.findall(r"(?<![\w-])--?[\w-]+", hf_help(*command)))
        assert {word for word in words if word.startswith("-")} <= known, command
