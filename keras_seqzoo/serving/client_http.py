"""TensorFlow Serving's REST API: requests, replies, and the transports that carry them.

They use httpx2, the continuation of httpx: one library for threads and for asyncio, with pooled
connections that are kept alive.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import functools
import json
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

import numpy as np
from google.protobuf import json_format

from keras_seqzoo.serving import protocol
from keras_seqzoo.serving.client_common import (
    MOST_REPLY_BYTES,
    Call,
    Failure,
    Row,
    ServingError,
    Target,
    Text,
    beginning,
    check_count,
    describe_signatures,
    describe_statuses,
    install_hint,
    timed_out,
    too_long,
    with_pieces,
)

RETRIED = frozenset({429, 502, 503, 504})


class Calls:
    """The calls of the REST API for one model."""

    def __init__(self, target: Target):
        self._target = target
        self._model = f"/v1/models/{quote(target.model, safe='')}"
        if target.version is not None:
            self._model += f"/versions/{target.version}"
        if target.label is not None:
            self._model += f"/labels/{quote(target.label, safe='')}"

    def predict(self, rows: Sequence[Row]) -> Call:
        columns = self._target.columns(rows)
        alone = [_as_json(text) for (text, *_) in rows]
        document: dict[str, Any] = {"instances": alone if len(columns) == 1 else _objects(columns)}
        if self._target.signature:
            document["signature_name"] = self._target.signature
        return self._post("predict", document, functools.partial(_read_predictions, len(rows)))

    def classify(self, rows: Sequence[Row]) -> Call:
        return self._of_examples("classify", rows, _read_classes)

    def regress(self, rows: Sequence[Row]) -> Call:
        return self._of_examples("regress", rows, _read_numbers)

    def _of_examples(self, method: str, rows: Sequence[Row], read: Any) -> Call:
        document = {
            "examples": _objects(self._target.columns(rows)),
            "signature_name": self._target.signature or method,
        }
        return self._post(method, document, functools.partial(read, len(rows)))

    def metadata(self) -> Call:
        return Call(f"{self._model}/metadata", None, _read_metadata)

    def status(self) -> Call:
        return Call(self._model, None, _read_status)

    def _post(self, method: str, document: Any, read: Any) -> Call:
        body = json.dumps(document, ensure_ascii=False).encode()
        return Call(f"{self._model}:{method}", body, read)


def _objects(columns: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    rows = zip(*columns.values(), strict=True)
    return [dict(zip(columns, map(_as_json, row), strict=True)) for row in rows]


def _as_json(value: Text | np.ndarray) -> Any:
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode()}
    return value.tolist() if isinstance(value, np.ndarray) else value


def _read_predictions(count: int, body: bytes) -> list[Any]:
    return with_pieces(check_count(_read(body, "predictions", list), count, 200))


def _read_classes(count: int, body: bytes) -> list[list[tuple[str, float]]]:
    results = check_count(_read(body, "results", list), count, 200)
    try:
        return [[(str(name), float(score)) for name, score in pairs] for pairs in results]
    except (TypeError, ValueError) as error:
        raise ServingError(
            "A classification must be a list of pairs of a class and its score. "
            f"Received: {beginning(results)}",
            200,
        ) from error


def _read_numbers(count: int, body: bytes) -> list[float]:
    results = check_count(_read(body, "results", list), count, 200)
    try:
        return [float(number) for number in results]
    except (TypeError, ValueError) as error:
        raise ServingError(
            f"A regression must be a number. Received: {beginning(results)}", 200
        ) from error


def _read_metadata(body: bytes) -> dict[str, dict[str, Any]]:
    metadata = _read(body, "metadata", dict)
    signatures = _to_message(metadata.get("signature_def"), protocol.SignatureDefMap())
    return describe_signatures(signatures)


def _read_status(body: bytes) -> list[dict[str, Any]]:
    versions = _read(body, "model_version_status", list)
    response = protocol.GetModelStatusResponse()
    return describe_statuses(_to_message({"model_version_status": versions}, response))


def _to_message(document: Any, message: Any) -> Any:
    try:
        return json_format.ParseDict(document, message, ignore_unknown_fields=True)
    except (json_format.ParseError, AttributeError, TypeError) as error:
        raise ServingError(
            f"The reply is not what TensorFlow Serving says of a model: {error}. "
            f"Received: {beginning(document)}",
            200,
        ) from error


def _read(body: bytes, key: str, kind: type) -> Any:
    """Reads a reply of JSON, which may hold NaN and Infinity, and returns the value of a key."""
    text = body.decode("utf-8", "replace")
    try:
        document = json.loads(text, object_hook=_read_base64)
    except (ValueError, RecursionError) as error:
        raise ServingError(_no_json(text, error), 200) from error
    if not isinstance(document, dict) or not isinstance(document.get(key), kind):
        raise ServingError(
            f"The reply must be a JSON object with a {kind.__name__} {key!r}. Check that the URL "
            f"is TensorFlow Serving's. Received: {beginning(text)}",
            200,
        )
    return document[key]


def _read_base64(document: dict[str, Any]) -> Any:
    """Decodes `{"b64": "…"}`, the form of strings of outputs named `…_bytes`."""
    if document.keys() == {"b64"} and isinstance(document["b64"], str):
        try:
            return base64.b64decode(document["b64"], validate=True)
        except binascii.Error:
            return document
    return document


def _no_json(text: str, reason: Exception | str) -> str:
    return (
        "The reply is not JSON. The URL may not belong to TensorFlow Serving's REST port. "
        f"Received: {beginning(text)!r}: {reason}"
    )


class _Http:
    """What the two transports share."""

    def __init__(self, target: Target):
        try:
            import httpx2
        except ImportError as error:
            raise install_hint("httpx2") from error
        self._httpx = httpx2
        self._url = target.url
        try:
            httpx2.URL(target.url)
        except httpx2.InvalidURL as error:
            raise ValueError(
                f"`url` must be the server's. Received: url={target.url!r}: {error}"
            ) from error
        self._options: dict[str, Any] = {"headers": dict(target.headers), "timeout": None}
        if target.ca_file is not None:
            self._options["verify"] = ssl.create_default_context(cafile=target.ca_file)

    def _arguments(self, call: Call) -> dict[str, Any]:
        arguments: dict[str, Any] = {"method": "GET", "url": self._url + call.path}
        if call.body is not None:
            headers = {"Content-Type": "application/json"}
            arguments |= {"method": "POST", "content": call.body, "headers": headers}
        return arguments

    def _judge(self, status: int, headers: Mapping[str, str], body: bytes) -> bytes | Failure:
        if 200 <= status < 300:
            return body
        after = _read_retry_after(headers.get("Retry-After"))
        error = ServingError(_error_message(status, headers, body), status)
        return Failure(error, status in RETRIED, after)

    def _explain(self, error: Exception) -> Failure:
        """Turns one of httpx2's errors into a failure."""
        reason = f"{self._url}: {error or type(error).__name__}"
        if isinstance(error, self._httpx.TimeoutException):
            return timed_out(self._url)
        if isinstance(error, self._httpx.DecodingError):
            message = "The reply's body is not compressed as its header says. Received: "
            return Failure(ServingError(message + reason, 200))
        connection = ConnectionError(
            "The server cannot be reached, or the connection broke. Check that it runs, and that "
            f"the URL has its REST port. Received: {reason}"
        )
        connection.__cause__ = error
        return Failure(connection, retry=True)


def _error_message(status: int, headers: Mapping[str, str], body: bytes) -> str:
    text = body.decode("utf-8", "replace")
    if 300 <= status < 400:
        return f"The server is elsewhere. Pass its URL. Received: {headers.get('Location')}"
    try:
        return str(json.loads(text)["error"])
    except (ValueError, RecursionError) as error:
        return _no_json(text, error)
    except (KeyError, TypeError):
        return beginning(text)


def _read_retry_after(value: str | None) -> float | None:
    """Seconds to wait, from a number or a date; None for anything else."""
    if not value:
        return None
    if value.isascii() and value.isdecimal():
        return float(value)
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max((date - datetime.now(UTC)).total_seconds(), 0.0)


class _SecondsLeft(Mapping[str, float]):
    """The timeouts of a request's steps: for each, the seconds left for the whole request."""

    def __init__(self, seconds: float):
        self._deadline = time.monotonic() + seconds

    def __getitem__(self, step: str) -> float:
        return max(self._deadline - time.monotonic(), 0.001)

    def __iter__(self) -> Iterator[str]:
        return iter(("connect", "read", "write", "pool"))

    def __len__(self) -> int:
        return 4

    @property
    def over(self) -> bool:
        return time.monotonic() >= self._deadline


class Transport(_Http):
    """Carries calls over HTTP; for any number of threads."""

    def __init__(self, target: Target):
        super().__init__(target)
        self._client = self._httpx.Client(**self._options)

    def send(self, call: Call, seconds: float) -> bytes | Failure:
        left = _SecondsLeft(seconds)
        request = self._client.build_request(**self._arguments(call), extensions={"timeout": left})
        body = bytearray()
        try:
            response = self._client.send(request, stream=True)
            try:
                # httpx2's own timeouts start again with every byte.
                for chunk in response.iter_bytes():
                    body += chunk
                    if left.over:
                        return timed_out(self._url)
                    if len(body) > MOST_REPLY_BYTES:
                        return too_long(response.status_code)
            finally:
                response.close()
        except self._httpx.RequestError as error:
            return self._explain(error)
        return self._judge(response.status_code, response.headers, bytes(body))

    def close(self) -> None:
        self._client.close()


class AsyncTransport(_Http):
    """Carries calls over HTTP; for one event loop."""

    def __init__(self, target: Target):
        super().__init__(target)
        self._client = self._httpx.AsyncClient(**self._options)

    async def send(self, call: Call, seconds: float) -> bytes | Failure:
        body = bytearray()
        try:
            async with (
                asyncio.timeout(seconds),
                self._client.stream(**self._arguments(call)) as response,
            ):
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > MOST_REPLY_BYTES:
                        return too_long(response.status_code)
        except TimeoutError:
            return timed_out(self._url)
        except self._httpx.RequestError as error:
            return self._explain(error)
        return self._judge(response.status_code, response.headers, bytes(body))

    async def close(self) -> None:
        await self._client.aclose()
