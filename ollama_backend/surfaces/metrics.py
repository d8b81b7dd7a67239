"""`GET /health` and `GET /metrics`: the state of Ollama as JSON, and figures for Prometheus."""

from collections.abc import Iterator, Mapping
from functools import cache

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from ollama_backend.auth import Gate
from ollama_backend.chat.line import Line
from ollama_backend.chat.record import Record
from ollama_backend.ollama.hosts import Hosts
from ollama_backend.surfaces.asgi.exchange import Exchange

# Seconds: from a small model that is loaded to a large one that has to be read from disk.
FIRST_TOKEN_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
RETRY_SECONDS = b"5"


class RequestCounters:
    """Counts finished requests by their records."""

    def __init__(self, registry: CollectorRegistry) -> None:
        requests = Counter(
            "ollamaspace_requests",
            "Finished requests. outcome is done, stopped or an error code.",
            ("surface", "outcome"),
            registry=registry,
        )
        tokens = Counter(
            "ollamaspace_tokens", "Generated tokens, as reported by Ollama.", ("surface",), registry=registry
        )
        first_token = Histogram(
            "ollamaspace_time_to_first_token_seconds",
            "Time from the request to Ollama until the first token of a stream.",
            ("surface",),
            buckets=FIRST_TOKEN_BUCKETS,
            registry=registry,
        )
        # The client library checks and locks at every look-up. Surfaces and outcomes are few, so all are kept.
        self._requests, self._tokens = cache(requests.labels), cache(tokens.labels)
        self._first_token = cache(first_token.labels)

    def record(self, record: Record) -> None:
        """Count one request."""
        self._requests(record.surface, record.outcome).inc()
        if record.tokens:
            self._tokens(record.surface).inc(record.tokens)
        if record.first_token is not None:
            self._first_token(record.surface).observe(record.first_token)


class Metrics(Collector):
    """The handlers of `/health` and `/metrics`. Gauges are read when they are requested."""

    def __init__(self, gate: Gate, registry: CollectorRegistry, lines: Mapping[str, Line], hosts: Hosts) -> None:
        self._gate = gate
        self._registry = registry
        self._lines = lines
        self._hosts = hosts
        registry.register(self)
        ProcessCollector(registry=registry)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the current values."""
        running = GaugeMetricFamily("ollamaspace_requests_running", "Requests that hold a place.", labels=("line",))
        waiting = GaugeMetricFamily("ollamaspace_requests_waiting", "Requests in the line.", labels=("line",))
        for name, line in self._lines.items():
            running.add_metric((name,), line.running)
            waiting.add_metric((name,), line.waiting)
        ready = GaugeMetricFamily(
            "ollamaspace_ready", "1 when the default model can be used on a host.", labels=("host", "status")
        )
        for host in self._hosts:
            ready.add_metric((host.label, host.readiness.status), host.readiness.status == "ok")
        yield from (running, waiting, ready)

    async def health(self, exchange: Exchange) -> None:
        """Answer `GET /health` from memory, without a request to Ollama."""
        exchange.allow("GET", "HEAD")
        health = self._hosts.health()
        if health.status == "ok":
            await exchange.whole(200, health)
        else:
            # With an error status, load balancers and rolling updates wait without reading the body.
            await exchange.whole(503, health, [(b"retry-after", RETRY_SECONDS)])

    async def metrics(self, exchange: Exchange) -> None:
        """Answer `GET /metrics`."""
        exchange.allow("GET", "HEAD")
        self._gate.caller(exchange.headers, exchange.peer)
        text = generate_latest(self._registry)
        headers = [(b"content-length", str(len(text)).encode()), (b"cache-control", b"no-store")]
        await exchange.begin(200, CONTENT_TYPE_LATEST.encode(), headers)
        await exchange.send(b"" if exchange.method == "HEAD" else text, more=False)
