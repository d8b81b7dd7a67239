"""What an idle process costs, and what a thousand idle visitors cost beyond it.

python -m bench.idle [VISITORS]
"""

import asyncio
import sys
import time

import aiohttp
import psutil

from .processes import app_and_stand_in


def cpu_share(app: psutil.Process, seconds: float) -> float:
    """Return the per cent of a core that a process uses."""
    before = app.cpu_times()
    time.sleep(seconds)
    after = app.cpu_times()
    return 100 * (after.user + after.system - before.user - before.system) / seconds


async def visit(url: str, visitors: int, app: psutil.Process) -> None:
    """Open the page's configuration and heartbeat for each visitor, and look at the process then."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(None)) as session:
        heartbeats = []
        for number in range(visitors):
            async with session.get(f"{url}/config") as answer:
                await answer.read()
            heartbeats.append(await session.get(f"{url}/gradio_api/heartbeat/visitor{number}"))
        await asyncio.sleep(2)
        print(
            f"with {visitors} visitors: {app.memory_info().rss / 2**20:.0f} MiB, {cpu_share(app, 10):.1f} % of a core"
        )
        for heartbeat in heartbeats:
            heartbeat.close()


def main() -> None:
    """Measure the idle process, then the visitors."""
    visitors = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    with app_and_stand_in() as (url, _, app):
        time.sleep(5)
        print(f"idle: {app.memory_info().rss / 2**20:.0f} MiB, {cpu_share(app, 15):.1f} % of a core")
        asyncio.run(visit(url, visitors, app))


if __name__ == "__main__":
    main()
