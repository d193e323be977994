"""Counts and times of requests, for Prometheus and for the log."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from keras_seqzoo.serving.server.store import ModelStore

_LONGEST = 200
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """What is counted.

    Args:
        store: whose versions are counted.
    """

    def __init__(self, store: ModelStore):
        self._registry = CollectorRegistry()
        self._registry.register(_Loaded(store))
        self.requests = Counter(
            "keras_seqzoo_requests",
            "Requests answered. `model` is empty where there is no such model.",
            ["model", "method", "code"],
            registry=self._registry,
        )
        self.seconds = Histogram(
            "keras_seqzoo_request_seconds",
            "Seconds from the head of a request to the end of its reply.",
            ["model", "method"],
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self.in_flight = Gauge(
            "keras_seqzoo_requests_in_flight",
            "Requests that are being answered.",
            registry=self._registry,
        )

    def page(self) -> Response:
        """Answers with all of it in Prometheus's text format."""
        return Response(generate_latest(self._registry), media_type=CONTENT_TYPE_LATEST)


class _Loaded(Collector):
    def __init__(self, store: ModelStore):
        self._store = store

    def collect(self) -> Iterator[GaugeMetricFamily]:
        loaded = GaugeMetricFamily(
            "keras_seqzoo_versions_loaded", "Versions that can be asked.", labels=["model"]
        )
        for model, versions in self._store.available().items():
            loaded.add_metric([model], len(versions))
        yield loaded


class Observed:
    """Wraps an ASGI application: counts its requests, and writes a line on each.

    The application says in `scope["state"]` which `model` and `method` a request is counted under.

    Args:
        app: the application.
        metrics: where it is counted.
        log: takes the lines; none are written if None.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, log: Callable[[str], None] | None = None):
        self._app, self._metrics, self._log = app, metrics, log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, code, size = time.perf_counter(), 500, 0

        async def count(message: Message) -> None:
            nonlocal code, size
            if message["type"] == "http.response.start":
                code = message["status"]
            elif message["type"] == "http.response.body":
                size += len(message.get("body", b""))
            await send(message)

        state = scope.setdefault("state", {})
        with self._metrics.in_flight.track_inprogress():
            try:
                await self._app(scope, receive, count)
            finally:
                seconds = time.perf_counter() - start
                model, method = state.get("model", ""), state.get("method", "")
                self._metrics.requests.labels(model, method, code).inc()
                self._metrics.seconds.labels(model, method).observe(seconds)
                if self._log is not None:
                    path = printable(scope)[:_LONGEST]
                    self._log(f"{scope['method']} {path} {code} {seconds * 1000:.1f} ms {size} B")


def target(scope: Scope) -> str:
    """Returns path and query of a request as they were sent, percent-encoded."""
    path = scope.get("raw_path") or scope["path"].encode()
    root = scope.get("root_path", "").encode()
    query = b"?" + scope["query_string"] if scope.get("query_string") else b""
    return (path.removeprefix(root) + query).decode("latin-1")


def printable(scope: Scope) -> str:
    """Returns `target` with every character escaped that is not ASCII or moves the cursor."""
    return target(scope).encode("unicode_escape").decode("ascii")
