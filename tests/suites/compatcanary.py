"""CompatCanary, a scanner for servers with OpenAI's API, from the npm registry: seven probes of `/v1/*`.

    python -m tests.suites.compatcanary URL MODEL [KEY]

prints its verdicts on a server, as rows of a table.
"""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "compatcanary@0.2.2"
SECONDS = 600


@dataclass(frozen=True)
class Verdict:
    """One probe: its name, `pass`, `warn` or `fail`, and what it saw."""

    probe: str
    status: str
    evidence: str


def install(folder: Path) -> Path:
    """Install the scanner into a folder and return its program."""
    command = [shutil.which("npm") or "npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"]
    subprocess.run([*command, "--prefix", folder, PACKAGE], check=True, timeout=SECONDS, capture_output=True)
    return folder / "node_modules" / ".bin" / "compatcanary"


async def scan(program: Path, url: str, model: str, key: str) -> list[Verdict]:
    """Return the verdicts on a server."""
    command = [program, "scan", "--base-url", f"{url}/v1", "--model", model, "--format", "json", "--fail-on", "never"]
    process = await asyncio.create_subprocess_exec(
        *map(str, command), "--timeout", "120", "--api-key-env", "SCANNED_KEY",
        env={"PATH": os.environ["PATH"], "SCANNED_KEY": key}, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    printed, _ = await asyncio.wait_for(process.communicate(), SECONDS)
    return [Verdict(row["name"], row["status"].lower(), row["summary"]) for row in json.loads(printed)["results"]]


def main() -> None:
    """Scan and print."""
    url, model, key = sys.argv[1].rstrip("/"), sys.argv[2], (sys.argv[3:] or ["none"])[0]
    with tempfile.TemporaryDirectory() as folder:
        for verdict in asyncio.run(scan(install(Path(folder)), url, model, key)):
            print(f"| {verdict.probe} | {verdict.status} | {verdict.evidence} |")


if __name__ == "__main__":
    main()
