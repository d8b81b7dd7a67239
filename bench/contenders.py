"""Everything that is compared: how it is started in front of the source."""

import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.ports import free_port

from . import installed
from .installed import Installed
from .processes import KEY

OURS = "this app"


@dataclass(frozen=True)
class Server:
    """A program in front of the source: its command for a port, and the path that answers 200 once it is ready."""

    name: str
    command: tuple[str, ...]
    ready: str
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Missing:
    """A peer that could not be had."""

    name: str
    why: str


Make = Callable[[int, int, Path], Server | Missing]
PYTHON = sys.executable


def ours(port: int, source: int, folder: Path, **more: str) -> Server:
    """Return this app, without its bounds for callers: one address asks everything here."""
    environment = {
        "PORT": str(port), "OLLAMA_HOST": f"127.0.0.1:{source}", "OLLAMA_MODEL": "guide", "OLLAMA_API_KEY": KEY,
        "OLLAMA_NUM_PARALLEL": "1000", "CHAT_MAX_WAITING": "20000", "CHAT_RATE_LIMIT": "off",
        "CHAT_MAX_TOKENS": "1000000", "CHAT_TRUSTED_PROXIES": "1", "CHAT_OWNS_OLLAMA": "no", **more,
    }  # fmt: skip
    return Server(OURS, (PYTHON, "app.py"), "/config", environment)


def nginx(port: int, source: int, folder: Path) -> Server | Missing:
    """Return nginx as a reverse proxy that buffers nothing and keeps its connections."""
    found = installed.from_system("nginx")
    if not found.program:
        return Missing("nginx", found.why)
    paths = "".join(f"{kind}_temp_path {folder};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    configuration = folder / "nginx.conf"
    configuration.write_text(f"""
        daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr error;
        events {{ worker_connections 8192; }}
        http {{
            access_log off; keepalive_requests 1000000; client_max_body_size 100m; {paths}
            upstream source {{ server 127.0.0.1:{source}; keepalive 1024; keepalive_requests 1000000; }}
            server {{
                listen 127.0.0.1:{port};
                location / {{
                    proxy_pass http://source; proxy_http_version 1.1; proxy_set_header Connection "";
                    proxy_buffering off; proxy_read_timeout 600s;
                }}
            }}
        }}""")
    return Server("nginx", (str(found.program), "-p", str(folder), "-c", str(configuration)), "/api/version")


def caddy(port: int, source: int, folder: Path) -> Server | Missing:
    """Return Caddy as a reverse proxy: what Go's own one costs."""
    found = installed.from_go(installed.CADDY, "caddy")
    if not found.program:
        return Missing("Caddy (Go)", found.why)
    proxy = {"handler": "reverse_proxy", "upstreams": [{"dial": f"127.0.0.1:{source}"}]}
    server = {
        "listen": [f"127.0.0.1:{port}"], "automatic_https": {"disable": True}, "routes": [{"handle": [proxy]}],
    }  # fmt: skip
    configuration = folder / "caddy.json"
    apps = {"http": {"servers": {"bench": server}}}
    configuration.write_text(json.dumps({"admin": {"disabled": True}, "apps": apps}))
    environment = {"XDG_CONFIG_HOME": str(folder), "XDG_DATA_HOME": str(folder), "GOMAXPROCS": "1"}
    command = (str(found.program), "run", "--config", str(configuration))
    return Server("Caddy (Go)", command, "/api/version", environment)


def plain_proxy(port: int, source: int, folder: Path) -> Server:
    """Return a FastAPI proxy over httpx, as one writes it in ten minutes."""
    return Server("plain FastAPI + httpx", (PYTHON, "-m", "bench.peers.plain_proxy", str(port), str(source)), "/docs")


def chat_interface(messages: int) -> Make:
    """Return a maker of a plain ChatInterface under so many messages."""

    def make(port: int, source: int, folder: Path) -> Server:
        command = (PYTHON, "-m", "bench.peers.chat_interface", str(port), str(source), str(messages))
        environment = {"GRADIO_ANALYTICS_ENABLED": "False", "NO_PROXY": "*"}
        return Server(f"plain gr.ChatInterface, {messages} messages", command, "/config", environment)

    return make


def litellm(port: int, source: int, folder: Path) -> Server | Missing:
    """Return LiteLLM's proxy with its provider for Ollama."""
    found = installed.from_pypi(installed.LITELLM, "litellm")
    if not found.program:
        return Missing("LiteLLM", found.why)
    parameters = {"model": "ollama_chat/guide", "api_base": f"http://127.0.0.1:{source}"}
    configuration = folder / "litellm.yaml"
    configuration.write_text(json.dumps({"model_list": [{"model_name": "guide", "litellm_params": parameters}]}))
    command = (str(found.program), "--config", str(configuration), "--host", "127.0.0.1", "--port", str(port))
    environment = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "LITELLM_TELEMETRY": "False"}
    environment["LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY"] = "true"
    return Server("LiteLLM", command, "/health/liveliness", environment)


def portkey(port: int, source: int, folder: Path) -> Server | Missing:
    """Return Portkey's gateway, a program of Node's."""
    found: Installed = installed.from_npm(installed.PORTKEY, "build/start-server.js")
    if not found.program:
        return Missing("Portkey (Node)", found.why)
    environment = {"TRUSTED_CUSTOM_HOSTS": "127.0.0.1,localhost", "NODE_ENV": "production"}
    environment["BENCH_SOURCE"] = f"http://127.0.0.1:{source}/v1"
    return Server("Portkey (Node)", ("node", str(found.program), f"--port={port}", "--headless"), "/", environment)


def smg(port: int, source: int, folder: Path) -> Server | Missing:
    """Return the Shepherd Model Gateway, a program of Rust's."""
    found = installed.from_pypi(installed.SMG, "smg")
    if not found.program:
        return Missing("smg (Rust)", found.why)
    command = (
        str(found.program), "launch", "--worker-urls", f"http://127.0.0.1:{source}", "--host", "127.0.0.1", "--port",
        str(port), "--prometheus-port", str(free_port()), "--log-level", "error",
    )  # fmt: skip
    return Server("smg (Rust)", command, "/health")


def missing() -> list[Missing]:
    """Return the peers that no registry delivers."""
    return [Missing(name, why) for name, why in installed.NOT_TO_BE_HAD.items()]


def pinned(command: tuple[str, ...], core: int) -> tuple[str, ...]:
    """Return a command bound to a core, where there are several."""
    cores = sorted(os.sched_getaffinity(0))
    return ("taskset", "-c", str(cores[core]), *command) if len(cores) > 1 else command
