"""What the programs cost beside their answers: starting, idling, visitors, and the requests of one message."""

import asyncio
import time
from dataclasses import dataclass, field

from . import contenders
from .caller import Caller, get
from .cpu import cpu_seconds, memory_bytes, wakeups
from .processes import KEY, is_ready
from .stage import Running, Stage, started, why_not_ready

Status = dict[str, float]


@dataclass
class Life:
    """Seconds, shares of a core, wake-ups a second and bytes, by program; requests of one message by page."""

    health_seconds: list[float] = field(default_factory=list)
    page_seconds: list[float] = field(default_factory=list)
    page_cpu: list[float] = field(default_factory=list)
    start_seconds: Status = field(default_factory=dict)
    start_cpu: Status = field(default_factory=dict)
    idle_share: Status = field(default_factory=dict)
    idle_wakeups: Status = field(default_factory=dict)
    rest_bytes: Status = field(default_factory=dict)
    visitor_bytes: Status = field(default_factory=dict)
    requests: dict[str, int] = field(default_factory=dict)
    not_counted: str = ""


def cold_start(life: Life, source: int) -> None:
    """Start this app alone, and note when `/health` answers and when the page does."""
    with started(contenders.ours, source) as running:
        assert isinstance(running, Running)
        begin = running.started
        while not is_ready(f"http://127.0.0.1:{running.port}/health") and time.monotonic() < begin + 60:
            time.sleep(0.01)
        life.health_seconds.append(time.monotonic() - begin)
        if not why_not_ready(running):
            life.page_seconds.append(running.started)
            life.page_cpu.append(running.start_cpu)


async def idle(life: Life, stage: Stage, seconds: float) -> None:
    """Watch every program do nothing."""
    pids = {running.server.name: running.pid for running in stage.programs.values()}
    before = {name: (cpu_seconds(pid), wakeups(pid)) for name, pid in pids.items()}
    await asyncio.sleep(seconds)
    for name, pid in pids.items():
        life.idle_share[name] = (cpu_seconds(pid) - before[name][0]) / seconds
        life.idle_wakeups[name] = (wakeups(pid) - before[name][1]) / seconds


def note_programs(life: Life, stage: Stage) -> None:
    """Note what every program took to start and takes at rest."""
    for running in stage.programs.values():
        name = running.server.name
        life.start_seconds[name], life.start_cpu[name] = running.started, running.start_cpu
        life.rest_bytes[name] = float(running.rest_bytes)


async def visitors(life: Life, stage: Stage, count: int) -> None:
    """Open the page for many visitors, each with its heartbeat, and see what they take."""
    seen = set()
    for surface in stage.surfaces:
        running = stage.program(surface)
        name = running.server.name
        if name in seen or not (name == contenders.OURS or "ChatInterface" in name):
            continue
        seen.add(name)
        caller, heartbeats = Caller(running.port), []
        before = memory_bytes(running.pid)
        for number in range(count):
            await caller.ask(get("/config"))
            heartbeat = await caller.connect()
            heartbeat.transport.write(get(f"/gradio_api/heartbeat/visitor{number}"))
            heartbeats.append(heartbeat)
        await asyncio.sleep(1)
        life.visitor_bytes[name] = (memory_bytes(running.pid) - before) / count
        for heartbeat in heartbeats:
            heartbeat.transport.close()
        caller.close()


async def requests_of_a_message(life: Life, stage: Stage) -> None:
    """Count in Chromium what the pages send for one message, from Enter until the answer is there."""
    try:
        from playwright.async_api import async_playwright
    except ImportError:
        life.not_counted = "playwright is not installed"
        return
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=_chromium())
        for surface in stage.surfaces:
            running = stage.program(surface)
            if surface.name.endswith(": page") or running.server.name.endswith("20 messages"):
                page = await browser.new_page()
                life.requests[surface.name] = await _count(page, running.port)
                await page.close()
        await browser.close()


def _chromium() -> str | None:
    import shutil

    return shutil.which("chromium")


async def _count(page: object, port: int) -> int:
    from playwright.async_api import Page, Request

    assert isinstance(page, Page)
    await page.goto(f"http://127.0.0.1:{port}/#key={KEY}", timeout=60_000)
    box = page.locator("textarea:visible").first
    await box.wait_for(timeout=60_000)
    await page.wait_for_timeout(3000)  # the page's own requests at its start do not count
    await box.fill("tokens=10 speed=100")
    sent: list[Request] = []
    page.on("request", lambda request: sent.append(request))  # playwright sets an attribute on what it is given
    await box.press("Enter")
    await page.get_by_text("Begin token token").last.wait_for()
    await page.wait_for_timeout(1500)
    return len([request for request in sent if "/gradio_api/" in request.url or "/chat" in request.url])
