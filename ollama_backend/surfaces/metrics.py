"""`GET /metrics`: a few honest figures, as Prometheus reads them."""

from collections.abc import Iterator, Mapping
from typing import Protocol

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from ollama_backend.auth import Gate
from ollama_backend.chat.line import Line
from ollama_backend.chat.record import Record
from ollama_backend.surfaces.asgi.exchange import Exchange

FIRST_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


class Status(Protocol):
    """Who knows how Ollama is."""

    @property
    def status(self) -> str: ...


class Metrics(Collector):
    """Counts the generations that it is told of; the lines and the state are read when somebody asks."""

    def __init__(self, gate: Gate, lines: Mapping[str, Line], readiness: Status) -> None:
        self._gate = gate
        self._lines = lines
        self._readiness = readiness
        self._registry = registry = CollectorRegistry()
        self._generations = Counter(
            "ollamaspace_generations", "Generations that are over.", ("door", "outcome"), registry=registry
        )
        self._tokens = Counter(
            "ollamaspace_tokens", "Tokens generated, where Ollama told how many.", ("door",), registry=registry
        )
        self._first = Histogram(
            "ollamaspace_first_word_seconds",
            "From the question to Ollama until the first word of a stream.",
            ("door",),
            buckets=FIRST_SECONDS,
            registry=registry,
        )
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def record(self, record: Record) -> None:
        """Count one generation."""
        self._generations.labels(record.door, record.outcome).inc()
        self._tokens.labels(record.door).inc(record.tokens)
        if record.first_seconds is not None:
            self._first.labels(record.door).observe(record.first_seconds)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield what is so now."""
        running = GaugeMetricFamily("ollamaspace_running", "Requests that hold a place.", labels=("line",))
        waiting = GaugeMetricFamily("ollamaspace_waiting", "Requests that wait for a place.", labels=("line",))
        for name, line in self._lines.items():
            running.add_metric((name,), line.running)
            waiting.add_metric((name,), line.waiting)
        ready = GaugeMetricFamily("ollamaspace_ready", "1 when the default model can be used.", labels=("status",))
        ready.add_metric((self._readiness.status,), self._readiness.status == "ok")
        yield from (running, waiting, ready)

    async def metrics(self, exchange: Exchange) -> None:
        """Answer `GET /metrics`."""
        exchange.allow("GET", "HEAD")
        self._gate.caller(exchange.headers, exchange.peer)
        text = generate_latest(self._registry)
        headers = [(b"content-length", str(len(text)).encode()), (b"cache-control", b"no-store")]
        await exchange.begin(200, CONTENT_TYPE_LATEST.encode(), headers)
        await exchange.send(b"" if exchange.method == "HEAD" else text, more=False)
