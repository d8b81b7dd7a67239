"""A plain FastAPI proxy with httpx in front of Ollama: `python -m bench.peers.plain_proxy PORT SOURCE_PORT`."""

import sys
from collections.abc import AsyncGenerator

import httpx
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

PORT, SOURCE = map(int, sys.argv[1:])
app = FastAPI()
limits = httpx.Limits(max_connections=None, max_keepalive_connections=200)
client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{SOURCE}", timeout=None, limits=limits)  # noqa: S113


@app.post("/api/chat")
async def chat(request: Request) -> StreamingResponse:
    """Pass a chat on."""
    body = await request.body()

    async def stream() -> AsyncGenerator[bytes, None]:
        async with client.stream("POST", "/api/chat", content=body) as response:
            async for part in response.aiter_bytes():
                yield part

    return StreamingResponse(stream(), media_type="application/x-ndjson")


uvicorn.run(app, port=PORT, log_level="warning", access_log=False)
