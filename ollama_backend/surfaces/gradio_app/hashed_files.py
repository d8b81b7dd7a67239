"""Caching of Gradio's scripts and styles, whose names change with their content."""

from starlette.types import Message, Send

from ollama_backend.surfaces.gradio_app.page_assets import CACHED

HASHED = "/assets/"


def cached(send: Send, known_tags: bytes) -> Send:
    """Return a `send` that lets clients keep a file, and answers 304 if they have it.

    `known_tags` is the request's `If-None-Match`.
    """
    tags = {tag.strip().removeprefix(b"W/") for tag in known_tags.split(b",")}
    is_known = False

    async def sending(message: Message) -> None:
        nonlocal is_known
        if message["type"] == "http.response.start" and message["status"] in (200, 206):
            headers = [*message["headers"], CACHED]
            is_known = dict(headers).get(b"etag") in tags
            if is_known:
                headers = [(name, value) for name, value in headers if not name.lower().startswith(b"content-")]
            message = {**message, "status": 304 if is_known else message["status"], "headers": headers}
        elif is_known:
            message = {**message, "body": b""}
        await send(message)

    return sending
