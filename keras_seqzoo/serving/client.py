"""`ServingClient` and `AsyncServingClient` send texts to a running TensorFlow Serving.

They import neither TensorFlow nor Keras. `client_http` and `client_grpc` speak the two APIs;
`client_common` decides which requests are sent again.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, Self

from keras_seqzoo.checks import check_whole
from keras_seqzoo.serving import client_grpc, client_http
from keras_seqzoo.serving.client_common import (
    Attempts,
    Call,
    Failure,
    Retries,
    Row,
    ServingError,
    Target,
    as_rows,
)

__all__ = ["AsyncServingClient", "ServingClient", "ServingError"]

_APIS = {"http": client_http, "https": client_http, "grpc": client_grpc, "grpcs": client_grpc}


class _Client:
    """What both clients share: settings, and the division of texts into batches."""

    def __init__(self, target: Target, policy: Retries, batch_size: int):
        check_whole(batch_size=batch_size)
        self._policy = policy
        self._batch_size = batch_size
        self._api = _APIS[target.scheme]
        self._calls = self._api.Calls(target)
        self._closed = False

    def _begin(self) -> Attempts:
        if self._closed:
            raise RuntimeError(
                "The client is closed. Make a new one. Received: a call after close()"
            )
        return Attempts(self._policy)

    def _batches(self, rows: list[Row]) -> Iterator[list[Row]]:
        return (
            rows[start : start + self._batch_size]
            for start in range(0, len(rows), self._batch_size)
        )


class ServingClient(_Client):
    """Sends requests to a model in a running TensorFlow Serving. Threads may share one client.

    ```python
    with ServingClient("http://localhost:8501", "reviews") as client:
        client.predict(["the soup was lovely"])
        # [{"label": "positive", "probability": 0.975, "probabilities": [0.025, 0.975]}]
    ```

    Args:
        url: the server: `http://` or `https://` for its REST port, `grpc://` or `grpcs://` for its
            gRPC port.
        model: the model's name.
        version: the number of a version; by default the server takes its latest.
        label: a version's label, instead of `version`.
        signature: the signature to ask; by default `serving_default`, and for `classify` and
            `regress` the one of that name.
        input_name: the input of the signature, and the feature of an example, that takes the texts;
            `text` by default, and `values` for windows of numbers. Without pairs, `predict` over
            REST does not send it.
        pair_name: the same for the second texts of pairs.
        timeout: seconds for the request of one batch, including all attempts and the pauses between
            them.
        retries: how often to send a request again if no server was reached, or it answered with
            HTTP's 429, 502, 503 or 504, or gRPC's UNAVAILABLE or RESOURCE_EXHAUSTED. Other errors
            are raised at once.
        backoff: longest pause in seconds before the second attempt; it doubles before each further
            attempt, and the client waits a random part of it. `Retry-After` is honoured; if it
            exceeds the time left, the error is raised at once.
        batch_size: texts in each request. A reply may have 64 MB, and 16,777,216 values over gRPC.
        headers: HTTP headers or gRPC metadata to send, such as `{"Authorization": "Bearer …"}`.
        ca_file: certificates to trust instead of the system's, in PEM format.
        sleep: the function that waits between two attempts.

    Raises:
        FileNotFoundError: no such `ca_file`.
        ImportError: httpx2 or grpcio is not installed.
        ValueError: an argument out of range.
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        version: int | None = None,
        label: str | None = None,
        signature: str | None = None,
        input_name: str | None = None,
        pair_name: str = "text_pair",
        timeout: float = 10.0,
        retries: int = 3,
        backoff: float = 0.1,
        batch_size: int = 64,
        headers: Mapping[str, str] | None = None,
        ca_file: str | os.PathLike[str] | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ):
        names = (input_name, pair_name)
        target = Target(url, model, version, label, signature, *names, headers or {}, ca_file)
        super().__init__(target, Retries(timeout, retries, backoff), batch_size)
        self._transport = self._api.Transport(target)
        self._sleep = sleep

    def predict(self, texts: Any) -> list[Any]:
        """Asks the Predict API.

        Args:
            texts: strings; `bytes` are sent unchanged. For a model of pairs, a tuple
                `(firsts, seconds)`, or rows of two texts: `[(first, second), …]`. For a model of
                series, windows of numbers `(rows, window, columns)`, or a `SeriesTable`.

        Returns:
            An answer for each row, in order: a dict of the signature's outputs, or only the value
            if there is one output. A value is a `str`, `float`, `int` or `bool`, or nested lists of
            them. The answer of a tagger is a list of pieces, each a dict. Strings of outputs named
            `…_bytes` are `bytes`. Both APIs return the same: floats are rounded as the REST API
            writes them.

        Raises:
            ConnectionError: the server cannot be reached, or the connection broke.
            ServingError: the server answered with an error, or with an invalid reply. gRPC's
                UNAVAILABLE is both this and a `ConnectionError`, because gRPC does not say which it
                was.
            TimeoutError: the server did not answer in time.
            TypeError: not a list of strings or of pairs of strings.
            ValueError: a string that UTF-8 cannot express, columns of pairs that differ in
                length, or windows of another shape.
        """
        return self._ask_batches(self._calls.predict, as_rows(texts, windows=True))

    def classify(self, texts: Any) -> list[list[tuple[str, float]]]:
        """Asks the Classify API, for models of classes or of several labels.

        Args:
            texts: strings or pairs, as in `predict`.

        Returns:
            For each row, in order, classes and their scores in the server's order.

        Raises:
            Exception: the same as `predict`.
        """
        return self._ask_batches(self._calls.classify, as_rows(texts))

    def regress(self, texts: Any) -> list[float]:
        """Asks the Regress API, for models of one number.

        Args:
            texts: strings or pairs, as in `predict`.

        Returns:
            A number for each row, in order.

        Raises:
            Exception: the same as `predict`.
        """
        return self._ask_batches(self._calls.regress, as_rows(texts))

    def metadata(self) -> dict[str, dict[str, Any]]:
        """Describes the signatures.

        Returns:
            By signature, `{"method": …, "inputs": …, "outputs": …}`. Inputs and outputs map names
            to `{"dtype": "float32", "shape": [None, 2]}`. A size that may vary is None; so is the
            shape if the rank may vary.

        Raises:
            Exception: the same as `predict`.
        """
        answer: dict[str, dict[str, Any]] = self._ask(self._calls.metadata())
        return answer

    def status(self) -> list[dict[str, Any]]:
        """Lists the versions that the server knows, or only the version that the client asks.

        Returns:
            `{"version": 1, "state": "AVAILABLE", "error": ""}` for each, the lowest first.

        Raises:
            Exception: the same as `predict`.
        """
        answer: list[dict[str, Any]] = self._ask(self._calls.status())
        return answer

    def close(self) -> None:
        """Closes the connections; later calls are refused."""
        self._closed = True
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask_batches(self, make_call: Callable[..., Call], rows: list[Row]) -> list[Any]:
        answers: list[Any] = []
        for batch in self._batches(rows):
            answers += self._ask(make_call(batch))
        return answers

    def _ask(self, call: Call) -> Any:
        attempts = self._begin()
        while isinstance(reply := self._transport.send(call, attempts.seconds_left()), Failure):
            self._sleep(attempts.pause(reply))
        return call.read(reply)


class AsyncServingClient(_Client):
    """`ServingClient` with coroutines, for one event loop.

    ```python
    async with AsyncServingClient("grpc://localhost:8500", "reviews") as client:
        answers = await client.predict(texts)
    ```

    Args:
        url: as in `ServingClient`, like all arguments not listed here.
        model: the model's name.
        concurrency: how many requests a call sends at the same time.
        sleep: the function that waits between two attempts.

    Raises:
        FileNotFoundError: no such `ca_file`.
        ImportError: httpx2 or grpcio is not installed.
        ValueError: an argument out of range.
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        version: int | None = None,
        label: str | None = None,
        signature: str | None = None,
        input_name: str | None = None,
        pair_name: str = "text_pair",
        timeout: float = 10.0,
        retries: int = 3,
        backoff: float = 0.1,
        batch_size: int = 64,
        concurrency: int = 8,
        headers: Mapping[str, str] | None = None,
        ca_file: str | os.PathLike[str] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ):
        check_whole(concurrency=concurrency)
        names = (input_name, pair_name)
        target = Target(url, model, version, label, signature, *names, headers or {}, ca_file)
        super().__init__(target, Retries(timeout, retries, backoff), batch_size)
        self._transport = self._api.AsyncTransport(target)
        self._concurrency = concurrency
        self._sleep = sleep

    async def predict(self, texts: Any) -> list[Any]:
        """Like `ServingClient.predict`, with several batches at a time."""
        return await self._ask_batches(self._calls.predict, as_rows(texts, windows=True))

    async def classify(self, texts: Any) -> list[list[tuple[str, float]]]:
        """Like `ServingClient.classify`, with several batches at a time."""
        return await self._ask_batches(self._calls.classify, as_rows(texts))

    async def regress(self, texts: Any) -> list[float]:
        """Like `ServingClient.regress`, with several batches at a time."""
        return await self._ask_batches(self._calls.regress, as_rows(texts))

    async def metadata(self) -> dict[str, dict[str, Any]]:
        """Like `ServingClient.metadata`."""
        answer: dict[str, dict[str, Any]] = await self._ask(self._calls.metadata())
        return answer

    async def status(self) -> list[dict[str, Any]]:
        """Like `ServingClient.status`."""
        answer: list[dict[str, Any]] = await self._ask(self._calls.status())
        return answer

    async def close(self) -> None:
        """Closes the connections; later calls are refused."""
        self._closed = True
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _ask_batches(self, make_call: Callable[..., Call], rows: list[Row]) -> list[Any]:
        gate = asyncio.Semaphore(self._concurrency)

        async def ask(batch: list[Row]) -> list[Any]:
            async with gate:
                answers: list[Any] = await self._ask(make_call(batch))
                return answers

        batches = self._batches(rows)
        try:
            # The first error cancels the other requests.
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(ask(batch)) for batch in batches]
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return [answer for task in tasks for answer in task.result()]

    async def _ask(self, call: Call) -> Any:
        attempts = self._begin()
        while isinstance(
            reply := await self._transport.send(call, attempts.seconds_left()), Failure
        ):
            await self._sleep(attempts.pause(reply))
        return call.read(reply)
