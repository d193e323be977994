"""Both serving clients behind plain functions, so that each test runs on both, and servers."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
from collections.abc import Iterator
from typing import Any

import pytest
from loopback import RestServer

from keras_seqzoo.serving.client import AsyncServingClient, ServingClient


class Driven:
    """An `AsyncServingClient` whose coroutines run to their end when called."""

    def __init__(self, *args: Any, **options: Any):
        self._runner = asyncio.Runner()
        self.client = AsyncServingClient(*args, **options)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.client, name)
        return lambda *args: self._runner.run(method(*args))

    def end(self) -> None:
        self._runner.run(self.client.close())
        self._runner.close()


@contextlib.contextmanager
def open_client(
    kind: str, url: str, waits: list[float] | None = None, model: str = "reviews", **options: Any
) -> Iterator[Any]:
    """A client of either kind, which notes in `waits` how long it would have waited."""
    noted = waits if waits is not None else []
    if kind == "sync":
        with ServingClient(url, model, sleep=noted.append, **options) as client:
            yield client
    else:

        async def note(seconds: float) -> None:
            noted.append(seconds)

        driven = Driven(url, model, sleep=note, **options)
        try:
            yield driven
        finally:
            driven.end()


def make_server(kind: str, **options: Any) -> Any:
    """A server of either API; gRPC's needs `tensorflow-serving-api`."""
    if kind == "http":
        return RestServer(**options)
    pytest.importorskip("tensorflow_serving.apis.prediction_service_pb2_grpc")
    return importlib.import_module("loopback_grpc").GrpcServer(**options)
