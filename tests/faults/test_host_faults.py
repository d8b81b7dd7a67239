"""When Ollama is away or lacks its model, /health and every surface say so, and all is well as soon as it is back."""

import aiohttp
import pytest

from tests.faults.host_faults import FAULTS, HostFault
from tests.support.fake_ollama import FakeOllama
from tests.support.fake_ollama.script import CONTENT
from tests.support.faulty import PLACES, FaultyApp, faulty_app
from tests.support.surfaces import CHAT_API, SURFACES, ask_every_surface
from tests.support.waiting import until

pytestmark = pytest.mark.long


async def every_surface_answers(app: FaultyApp) -> bool:
    """Whether every surface gives a whole answer."""
    outcomes = await ask_every_surface(app.web)
    return all(outcome.done and outcome.text == CONTENT for outcome in outcomes.values())


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.title)
async def test_a_fault_is_reported_and_over_when_it_is_repaired(fault: HostFault) -> None:
    """The state and its reason on /health, the status, code and words on every surface; then every surface answers."""
    async with fault.served() as app:
        await app.becomes(fault.health)
        await until(lambda: app.space.hosts.all[0].readiness.reason.startswith(fault.words), fault.words)
        status, health = await app.health()
        assert status == 503 and health["status"] == fault.health and health["reason"].startswith(fault.words)
        for surface, outcome in (await ask_every_surface(app.web)).items():
            assert outcome.error.replace("'guide'", "guide").startswith(fault.words) and not outcome.done, surface
            assert outcome.status == {"Gradio": 200, "realtime": 101}.get(surface, fault.status), surface
            assert outcome.code in (fault.code, None), surface
        await fault.repair(app)
        await app.becomes("ok")
        assert await every_surface_answers(app)


async def test_a_restart_is_not_noticed() -> None:
    """Connections from before it are not used again."""
    async with FakeOllama(models=["guide"], slots=PLACES) as fake, faulty_app(fake) as app:
        await app.becomes("ok")
        assert await every_surface_answers(app)
        await fake.stop()
        await fake.start()
        await until(lambda: app.space.hosts.all[0].readiness.is_up, "Ollama is seen")
        assert await every_surface_answers(app)


async def test_a_slow_answer_is_an_answer() -> None:
    """Also where the first token takes longer than the poll of a server that is away."""
    async with FakeOllama(models=["guide"], slots=PLACES) as fake, faulty_app(fake) as app:
        await app.becomes("ok")
        fake.script(first_delay=1.5, token_delay=0.05)
        assert await every_surface_answers(app)


async def test_a_wedged_model_is_freed() -> None:
    """A caller leaves, Ollama loses its one slot, and the next question is answered nevertheless."""
    async with FakeOllama(models=["guide"]) as fake, faulty_app(fake, OLLAMA_NUM_PARALLEL="1") as app:
        await app.becomes("ok")
        fake.wedge_after_cancel = True
        fake.script(token_delay=0.02, times=1)
        async with aiohttp.ClientSession(app.web._base_url, headers=app.web.headers) as leaving:
            async with leaving.post("/api/chat", json={"model": "guide", "messages": [{"role": "user"}]}) as answer:
                await answer.content.readline()
        await fake.until(lambda: fake.lost_slots("guide"))
        outcome = await CHAT_API(app.web)
        assert outcome.done and fake.unloads and not fake.lost_slots("guide")
        assert len(SURFACES) <= PLACES
