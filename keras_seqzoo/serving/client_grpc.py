"""TensorFlow Serving's gRPC API: requests, replies, and the transports that carry them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_seqzoo.serving import protocol
from keras_seqzoo.serving.client_common import (
    MOST_REPLY_BYTES,
    Call,
    Failure,
    Row,
    ServingError,
    Target,
    UnavailableError,
    check_count,
    describe_signatures,
    describe_statuses,
    install_hint,
    timed_out,
    too_long,
    with_pieces,
)

_PREDICTION = "/tensorflow.serving.PredictionService"
_MODEL = "/tensorflow.serving.ModelService"
_OPTIONS = [
    # 4 MB by default, less than many embeddings
    ("grpc.max_receive_message_length", MOST_REPLY_BYTES),
    ("grpc.max_send_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 100),  # 1 s by default, longer than the first retries
    ("grpc.max_reconnect_backoff_ms", 10_000),
]


class Calls:
    """The calls of the gRPC API for one model."""

    def __init__(self, target: Target):
        self._target = target

    def predict(self, rows: Sequence[Row]) -> Call:
        request = protocol.PredictRequest(model_spec=self._spec(self._target.signature))
        for name, values in self._target.columns(rows).items():
            dtype = np.float32 if isinstance(values[0], np.ndarray) else object
            request.inputs[name].CopyFrom(protocol.to_tensor(np.array(values, dtype)))
        return _call(
            f"{_PREDICTION}/Predict",
            request,
            protocol.PredictResponse,
            functools.partial(_read_predictions, len(rows)),
        )

    def classify(self, rows: Sequence[Row]) -> Call:
        request = self._of_examples(protocol.ClassificationRequest, "classify", rows)
        read = functools.partial(_read_classes, len(rows))
        return _call(f"{_PREDICTION}/Classify", request, protocol.ClassificationResponse, read)

    def regress(self, rows: Sequence[Row]) -> Call:
        request = self._of_examples(protocol.RegressionRequest, "regress", rows)
        read = functools.partial(_read_numbers, len(rows))
        return _call(f"{_PREDICTION}/Regress", request, protocol.RegressionResponse, read)

    def _of_examples(self, kind: Any, signature: str, rows: Sequence[Row]) -> Any:
        request = kind(model_spec=self._spec(self._target.signature or signature))
        request.input.example_list.examples.extend(protocol.to_examples(self._target.columns(rows)))
        return request

    def metadata(self) -> Call:
        request = protocol.GetModelMetadataRequest(
            model_spec=self._spec(), metadata_field=["signature_def"]
        )
        return _call(
            f"{_PREDICTION}/GetModelMetadata",
            request,
            protocol.GetModelMetadataResponse,
            _read_metadata,
        )

    def status(self) -> Call:
        request = protocol.GetModelStatusRequest(model_spec=self._spec())
        return _call(
            f"{_MODEL}/GetModelStatus", request, protocol.GetModelStatusResponse, describe_statuses
        )

    def _spec(self, signature: str | None = None) -> Any:
        spec = protocol.ModelSpec(name=self._target.model, signature_name=signature or "")
        if self._target.version is not None:
            spec.version.value = self._target.version
        if self._target.label is not None:
            spec.version_label = self._target.label
        return spec


def _call(method: str, request: Any, reply: Any, read: Callable[[Any], Any]) -> Call:
    def read_bytes(body: bytes) -> Any:
        try:
            return read(reply.FromString(body))
        except (protocol.DecodeError, TypeError, ValueError) as error:
            raise ServingError(
                f"The reply is not a valid {reply.DESCRIPTOR.name}. Received: {error}", "OK"
            ) from error

    return Call(method, request.SerializeToString(), read_bytes)


def _read_predictions(count: int, response: Any) -> list[Any]:
    columns = {}
    if sum(map(protocol.count_places, response.outputs.values())) > protocol.MOST_VALUES:
        raise ValueError(f"the outputs have more than {protocol.MOST_VALUES} values")
    for name, tensor in sorted(response.outputs.items()):
        array = protocol.to_array(tensor)
        if array.ndim == 0:
            raise ValueError(f"the output {name!r} is a scalar, not one value for each text")
        columns[name] = check_count(_as_json(name, array), count, "OK")
    if not columns:
        raise ValueError("no outputs")
    if len(columns) == 1:
        return next(iter(columns.values()))
    rows = zip(*columns.values(), strict=True)
    return with_pieces([dict(zip(columns, row, strict=True)) for row in rows])


def _as_json(name: str, array: np.ndarray) -> list[Any]:
    """Returns the values that the REST API would return."""
    if array.dtype.kind == "f" and array.dtype.itemsize < 8:
        array = protocol.shorten(array)
    elif array.dtype.kind == "O" and not name.endswith("_bytes"):
        strings = np.empty(array.size, object)
        strings[:] = [value.decode("utf-8", "replace") for value in array.ravel()]
        array = strings.reshape(array.shape)
    return list(array.tolist())


def _read_classes(count: int, response: Any) -> list[list[tuple[str, float]]]:
    results = check_count(list(response.result.classifications), count, "OK")
    answers = []
    for result in results:
        scores = protocol.shorten(np.array([c.score for c in result.classes], np.float32))
        names = [c.label for c in result.classes]
        answers.append(list(zip(names, scores.tolist(), strict=True)))
    return answers


def _read_numbers(count: int, response: Any) -> list[float]:
    results = check_count(list(response.result.regressions), count, "OK")
    numbers: list[float] = protocol.shorten(np.array([r.value for r in results])).tolist()
    return numbers


def _read_metadata(response: Any) -> dict[str, dict[str, Any]]:
    signatures = protocol.SignatureDefMap()
    if not response.metadata["signature_def"].Unpack(signatures):
        raise ValueError("metadata without a SignatureDefMap")
    return describe_signatures(signatures)


class _Grpc:
    """What the two transports share."""

    def __init__(self, target: Target):
        try:
            import grpc
        except ImportError as error:
            raise install_hint("grpcio") from error
        self._grpc = grpc
        self._url, self._scheme = target.url, target.scheme
        self._metadata = [(name.lower(), value) for name, value in target.headers.items()]
        self._certificates = Path(target.ca_file).read_bytes() if target.ca_file else None
        self._channel: Any = None

    def _open(self, module: Any) -> Any:
        address = self._url.partition("://")[2]
        if self._scheme == "grpc":
            return module.insecure_channel(address, options=_OPTIONS)
        credentials = self._grpc.ssl_channel_credentials(self._certificates)
        return module.secure_channel(address, credentials, options=_OPTIONS)

    def _explain(self, error: Any) -> Failure:
        """Turns an RPC's error into a failure."""
        status, message = error.code().name, error.details() or "no message"
        if status == "DEADLINE_EXCEEDED":
            return timed_out(self._url)
        if status == "UNAVAILABLE":
            message = (
                "The server cannot be reached, or cannot answer now. Check that it runs, and "
                f"that the URL has its gRPC port. Received: {self._url}: {message}"
            )
            return Failure(UnavailableError(message, status), retry=True)
        if status == "RESOURCE_EXHAUSTED" and "larger than max" in message:
            return too_long(status)
        return Failure(ServingError(message, status), status == "RESOURCE_EXHAUSTED")


class Transport(_Grpc):
    """Carries calls over gRPC; for any number of threads."""

    def __init__(self, target: Target):
        super().__init__(target)
        self._channel = self._open(self._grpc)

    def send(self, call: Call, seconds: float) -> bytes | Failure:
        method = self._channel.unary_unary(call.path)
        try:
            return bytes(method(call.body, timeout=seconds, metadata=self._metadata))
        except self._grpc.RpcError as error:
            return self._explain(error)

    def close(self) -> None:
        self._channel.close()


class AsyncTransport(_Grpc):
    """Carries calls over gRPC; for one event loop, in which the channel is opened."""

    async def send(self, call: Call, seconds: float) -> bytes | Failure:
        if self._channel is None:
            self._channel = self._open(self._grpc.aio)
        method = self._channel.unary_unary(call.path)
        try:
            return bytes(await method(call.body, timeout=seconds, metadata=self._metadata))
        except self._grpc.RpcError as error:
            return self._explain(error)

    async def close(self) -> None:
        if self._channel is not None:
            await self._channel.close()
