"""A reverse proxy that serves the product under a path of its own, and tells it nothing of that path."""

import aiohttp
from aiohttp import web

SKIPPED = {"host", "content-length", "transfer-encoding", "connection"}


class PathProxy:
    """Passes `/space/…` on as `/…`; everything else is 404, and noted in `missed`."""

    def __init__(self, to: str) -> None:
        self._to = to
        self.missed: list[str] = []

    async def __aenter__(self) -> str:
        self._client = aiohttp.ClientSession(auto_decompress=False)
        app = web.Application(client_max_size=2**26)
        app.router.add_route("*", "/space{path:/.*}", self._pass)
        app.router.add_route("*", "/{path:.*}", self._miss)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)  # streams of an open page would hold it for a minute
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}/space"

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()
        await self._runner.cleanup()

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in SKIPPED}
        url = self._to + request.match_info["path"] + (f"?{request.query_string}" if request.query_string else "")
        body = await request.read()
        async with self._client.request(
            request.method, url, headers=headers, data=body, allow_redirects=False
        ) as answer:
            kept = [(name, value) for name, value in answer.headers.items() if name.lower() not in SKIPPED]
            response = web.StreamResponse(status=answer.status)
            response.headers.extend(kept)
            await response.prepare(request)
            async for part in answer.content.iter_any():
                await response.write(part)
            await response.write_eof()
            return response

    async def _miss(self, request: web.Request) -> web.StreamResponse:
        self.missed.append(request.path)
        return web.Response(status=404)
