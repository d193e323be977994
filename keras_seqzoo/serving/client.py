"""`ServingClient` and `AsyncServingClient`: texts to a running TensorFlow Serving.

Neither TensorFlow nor Keras is imported. `client_http` and `client_grpc` speak the two APIs,
`client_common` decides what is tried again.
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
            raise RuntimeError("The client is closed. Make another. Received: a call after close()")
        return Attempts(self._policy)

    def _batches(self, rows: list[Row]) -> Iterator[list[Row]]:
        return (
            rows[start : start + self._batch_size]
            for start in range(0, len(rows), self._batch_size)
        )


class ServingClient(_Client):
    """Asks a model of a running TensorFlow Serving. Any number of threads may share one client.

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
            `text` by default, and `values` for windows of numbers. `predict` over REST does not
            send it where there are no pairs.
        pair_name: the same for the second texts of pairs.
        timeout: seconds for a request, which is a batch, all its attempts and the pauses between
            them.
        retries: how often a request is sent again that met no server, HTTP's 429, 502, 503 or 504,
            or gRPC's UNAVAILABLE or RESOURCE_EXHAUSTED. No other error is tried again.
        backoff: seconds before the second attempt, twice as many before each one more, of which a
            random part is waited. `Retry-After` is honoured; where it asks for more time than is
            left, the error is raised at once.
        batch_size: texts in each request. A reply may have 64 MB, and 16,777,216 values over gRPC.
        headers: HTTP headers or gRPC metadata to send, such as `{"Authorization": "Bearer …"}`.
        ca_file: certificates to trust in the place of the system's, in PEM format.
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
            texts: strings; `bytes` are sent as they are. For a model of pairs a tuple
                `(firsts, seconds)`, or rows of two texts: `[(first, second), …]`. For a model of
                series windows of numbers, `(rows, window, columns)`, or a `SeriesTable`.

        Returns:
            An answer for each row, in order: a dict of the signature's outputs, or the value alone
            where there is but one output. A value is a `str`, `float`, `int` or `bool`, or nested
            lists of them; of a tagger an answer is a list of pieces, a dict each. Strings of
            outputs named `…_bytes` are `bytes`. Both APIs give the same: floats are those that the
            REST API writes.

        Raises:
            ConnectionError: the server cannot be reached, or broke off.
            ServingError: it answered with an error, or with no answer. gRPC's UNAVAILABLE is both
                this and a `ConnectionError`, because gRPC does not say which it was.
            TimeoutError: it did not answer in time.
            TypeError: no list of strings, nor of pairs of them.
            ValueError: a string that UTF-8 cannot express, columns of pairs that differ in
                length, or windows of another shape.
        """
        return self._ask_batches(self._calls.predict, as_rows(texts, windows=True))

    def classify(self, texts: Any) -> list[list[tuple[str, float]]]:
        """Asks the Classify API, which models of classes and of several labels answer.

        Args:
            texts: strings or pairs, as in `predict`.

        Returns:
            For each row, in order, classes and their scores as the server orders them.

        Raises:
            Exception: as `predict`.
        """
        return self._ask_batches(self._calls.classify, as_rows(texts))

    def regress(self, texts: Any) -> list[float]:
        """Asks the Regress API, which models of one number answer.

        Args:
            texts: strings or pairs, as in `predict`.

        Returns:
            A number for each row, in order.

        Raises:
            Exception: as `predict`.
        """
        return self._ask_batches(self._calls.regress, as_rows(texts))

    def metadata(self) -> dict[str, dict[str, Any]]:
        """Describes the signatures.

        Returns:
            By signature, `{"method": …, "inputs": …, "outputs": …}`; inputs and outputs are by name
            `{"dtype": "float32", "shape": [None, 2]}`. A size that may vary is None, as is the
            shape where the rank may.

        Raises:
            Exception: as `predict`.
        """
        answer: dict[str, dict[str, Any]] = self._ask(self._calls.metadata())
        return answer

    def status(self) -> list[dict[str, Any]]:
        """Lists the versions that the server knows, or of the one that the client asks.

        Returns:
            `{"version": 1, "state": "AVAILABLE", "error": ""}` for each, the lowest first.

        Raises:
            Exception: as `predict`.
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
        url: as in `ServingClient`, like all arguments that are not listed here.
        model: the model's name.
        concurrency: requests that a call sends at a time.
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
        """As `ServingClient.predict`, several batches at a time."""
        return await self._ask_batches(self._calls.predict, as_rows(texts, windows=True))

    async def classify(self, texts: Any) -> list[list[tuple[str, float]]]:
        """As `ServingClient.classify`, several batches at a time."""
        return await self._ask_batches(self._calls.classify, as_rows(texts))

    async def regress(self, texts: Any) -> list[float]:
        """As `ServingClient.regress`, several batches at a time."""
        return await self._ask_batches(self._calls.regress, as_rows(texts))

    async def metadata(self) -> dict[str, dict[str, Any]]:
        """As `ServingClient.metadata`."""
        answer: dict[str, dict[str, Any]] = await self._ask(self._calls.metadata())
        return answer

    async def status(self) -> list[dict[str, Any]]:
        """As `ServingClient.status`."""
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
