"""`gradio_client` with the Gradio endpoint, and the snippet that Gradio prints for it."""

import re
from typing import Any

import httpx
from cases import BEARER, MODEL, PROMPTS, URL, main
from gradio_client import Client

API = "/chat_api"
client = Client(URL, headers=BEARER, verbose=False)


def chat() -> Any:
    return client.predict(PROMPTS["chat"], MODEL, api_name=API)


def silence() -> Any:
    return client.submit(PROMPTS["silence"], MODEL, api_name=API).result()


def wrong_key() -> Any:
    return Client(URL, headers={"Authorization": "Bearer wrong"}, verbose=False).predict(PROMPTS["chat"], api_name=API)


def absent_model() -> Any:
    return client.predict(PROMPTS["chat"], "absent", api_name=API)


def fails_before() -> Any:
    return client.predict(PROMPTS["fails_before"], MODEL, api_name=API)


def fails_midway(received: dict[str, Any]) -> Any:
    job = client.submit(PROMPTS["fails_midway"], MODEL, api_name=API)
    try:
        job.result()
    finally:
        received["text"] = job.outputs()[-1] if job.outputs() else ""


def cancel() -> Any:
    job = client.submit(PROMPTS["cancel"], MODEL, api_name=API)
    first = next(iter(job))
    job.cancel()
    return first


def printed_snippet() -> Any:
    info = httpx.get(f"{URL}/gradio_api/info").json()["named_endpoints"][API]
    printed: str = info["code_snippets"]["python"]
    # What a reader changes: the prompt, and the key, as the endpoint's description says.
    changed = printed.replace("Why is the sky blue?", PROMPTS["chat"])
    changed = re.sub(r'Client\("([^"]+)"\)', r'Client("\1", headers=BEARER, verbose=False)', changed)
    names: dict[str, Any] = {"BEARER": BEARER, "print": lambda value: None}
    exec(changed, names)  # noqa: S102 - it is what the server printed
    return names["result"]


main({f.__name__: f for f in (chat, cancel, wrong_key, absent_model, fails_before, fails_midway, silence,
                              printed_snippet)})  # fmt: skip
