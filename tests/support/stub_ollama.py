"""Programs called `ollama` for the tests' PATH: each serves, or fails in one way, as a real child process."""

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BODY = """\
import http.server, json, os, pathlib, signal, subprocess, sys, threading, time

notes = pathlib.Path({notes!r})
behaviour = {behaviour!r}
start = {{"pid": os.getpid(), "group": os.getpgid(0), "session": os.getsid(0), "arguments": sys.argv[1:],
         "environment": dict(os.environ)}}
runner = None
if "runner" in behaviour:
    runner = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    start["runner"] = runner.pid
if "deaf" in behaviour:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
with notes.open("a") as file:
    file.write(json.dumps(start) + chr(10))
print("time=now level=INFO msg=starting", flush=True)
if "die" in behaviour:
    sys.exit("Error: could not create directory mkdir /nowhere/.ollama: permission denied")
if "illegal" in behaviour:
    os.kill(os.getpid(), signal.SIGILL)
if "hang" in behaviour:
    signal.pause()

MODELS = [{{"name": "guide:latest", "model": "guide:latest", "size": 1, "capabilities": ["completion"]}}]
ANSWERS = {{"/api/version": {{"version": "0.33.0"}}, "/api/tags": {{"models": MODELS}}, "/api/ps": {{"models": []}},
           "/api/chat": {{"model": "guide", "done": True, "done_reason": "load"}}}}

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if "freeze" in behaviour and self.path == "/api/tags":
            os.kill(os.getpid(), signal.SIGSTOP)
            time.sleep(60)  # this thread may be stopped later than another one
        body = json.dumps(ANSWERS.get(self.path, {{}})).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        if "crash" in behaviour and self.path == "/api/tags":
            print("panic: out of luck", flush=True)
            os._exit(3)

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.do_GET()

    def log_message(self, *_):
        pass

host, _, port = os.environ["OLLAMA_HOST"].rpartition(":")
try:
    server = http.server.ThreadingHTTPServer((host, int(port)), Handler)
except OSError as exc:
    sys.exit(f"Error: listen tcp {{host}}:{{port}}: bind: address already in use")
server.serve_forever()
"""


@dataclass
class Stub:
    """An `ollama` in a folder for PATH, and what its starts noted."""

    folder: Path

    def behave(self, *behaviour: str) -> None:
        """Behave so from the next start on: `die`, `illegal`, `hang`, `deaf`, `crash`, `freeze`, `runner`."""
        body = BODY.format(notes=str(self.notes), behaviour=list(behaviour))
        write_ollama(self.folder, f"#!{sys.executable} -IS\n{body}")

    @property
    def notes(self) -> Path:
        return self.folder / "starts.jsonl"

    @property
    def starts(self) -> list[dict[str, Any]]:
        lines = self.notes.read_text().splitlines() if self.notes.exists() else []
        return [json.loads(line) for line in lines]

    @property
    def environment(self) -> dict[str, str]:
        """What the app's environment must hold to find it, and it alone."""
        return {"PATH": str(self.folder), "HOME": str(self.folder)}


def write_ollama(folder: Path, script: str) -> None:
    """Put an `ollama` with this text into a folder, also in the place of one that runs."""
    fresh = folder / "ollama.new"
    fresh.write_text(script)
    fresh.chmod(0o755)
    fresh.replace(folder / "ollama")


def stub_ollama(folder: Path, *behaviour: str) -> Stub:
    """Put an `ollama` that notes its starts into a folder."""
    stub = Stub(folder)
    stub.behave(*behaviour)
    return stub


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; a zombie does not."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
