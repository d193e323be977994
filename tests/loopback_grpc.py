"""The model of `loopback` behind the gRPC API, made of the official `tensorflow-serving-api`."""

from __future__ import annotations

from collections.abc import Callable
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from loopback import DEFAULT, Loopback, Refused, compute
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

_FIELDS = {
    "float32": (types_pb2.DT_FLOAT, "float_val"),
    "float64": (types_pb2.DT_DOUBLE, "double_val"),
    "int64": (types_pb2.DT_INT64, "int64_val"),
    "bool": (types_pb2.DT_BOOL, "bool_val"),
    "object": (types_pb2.DT_STRING, "string_val"),
}


def to_tensor(array: np.ndarray) -> Any:
    """The official message, its values in fields as TensorFlow Serving sends them."""
    dtype, field = _FIELDS[array.dtype.name]
    tensor = tensor_pb2.TensorProto(dtype=dtype)
    for size in array.shape:
        tensor.tensor_shape.dim.add(size=size)
    getattr(tensor, field).extend(array.ravel().tolist())
    return tensor


def in_rows(columns: list[list[bytes]]) -> list[Any]:
    """Texts of one column, pairs of two."""
    return columns[0] if len(columns) == 1 else list(zip(*columns, strict=True))


def of_examples(request: Any) -> list[Any]:
    """The texts or pairs of examples."""
    features = [e.features.feature for e in request.input.example_list.examples]
    names = [name for name in ("text", "text_pair") if name in features[0]]
    return in_rows([[f[name].bytes_list.value[0] for f in features] for name in names])


class GrpcServer(Loopback):
    """The gRPC API; `reply` replaces answers of Predict where a test sets it."""

    kind = "grpc"

    def __init__(self, port: int = 0, tls: tuple[str, str] | None = None):
        super().__init__()
        self.reply: Callable[[Any], Any] | None = None
        self._server = grpc.server(futures.ThreadPoolExecutor(16))
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
            _Prediction(self), self._server
        )
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(_Model(self), self._server)
        address = f"127.0.0.1:{port}"
        if tls:
            certificate, key = (Path(file).read_bytes() for file in tls)
            credentials = grpc.ssl_server_credentials([(key, certificate)])
            port = self._server.add_secure_port(address, credentials)
        else:
            port = self._server.add_insecure_port(address)
        self.url = f"{'grpcs' if tls else 'grpc'}://127.0.0.1:{port}"
        self._server.start()

    def close(self) -> None:
        self.released.set()
        self._server.stop(0).wait()

    def refuse_next(self, code: str, times: int = 1) -> None:
        def refuse(context: Any) -> None:
            context.abort(grpc.StatusCode[code], "come again")

        self.script += [refuse] * times

    def hang_next(self) -> None:
        def hang(context: Any) -> None:
            # The call ends when the client gives it up.
            context.add_callback(self.released.set)
            self.hang()

        self.script.append(hang)


class _Service:
    def __init__(self, loopback: GrpcServer):
        self.loopback = loopback

    def answer(
        self, method: str, spec: Any, texts: list[Any], context: Any, make: Callable[[str], Any]
    ) -> Any:
        self.loopback.headers.append({m.key: m.value for m in context.invocation_metadata()})
        with self.loopback.in_work() as act:
            if act:
                act(context)
            version = spec.version.value if spec.HasField("version") else None
            label = spec.version_label or None
            try:
                self.loopback.look_up(method, spec.name, texts, spec.signature_name, version, label)
                return make(spec.signature_name or DEFAULT)
            except Refused as error:
                context.abort(grpc.StatusCode[error.code], error.message)


class _Prediction(_Service, prediction_service_pb2_grpc.PredictionServiceServicer):  # type: ignore[misc]
    def Predict(self, request: Any, context: Any) -> Any:  # noqa: N802
        if "values" in request.inputs:
            return self.forecast(request, context)
        columns = [request.inputs[n] for n in ("text", "text_pair") if n in request.inputs]
        texts = in_rows([list(tensor.string_val) for tensor in columns])
        for tensor in columns:
            assert tensor.dtype == types_pb2.DT_STRING
            assert [dim.size for dim in tensor.tensor_shape.dim] == [len(texts)]

        def make(signature: str) -> Any:
            if self.loopback.reply:
                return self.loopback.reply(request)
            response = predict_pb2.PredictResponse()
            for name, array in compute(signature, texts).items():
                response.outputs[name].CopyFrom(to_tensor(array))
            return response

        return self.answer("predict", request.model_spec, texts, context, make)

    def forecast(self, request: Any, context: Any) -> Any:
        tensor = request.inputs["values"]
        assert tensor.dtype == types_pb2.DT_FLOAT
        shape = [dim.size for dim in tensor.tensor_shape.dim]
        windows = np.frombuffer(tensor.tensor_content, np.float32).reshape(shape)

        def make(signature: str) -> Any:
            response = predict_pb2.PredictResponse()
            forecast = compute(signature, windows)["forecast"]  # type: ignore[arg-type]
            response.outputs["forecast"].CopyFrom(to_tensor(forecast))
            return response

        return self.answer("predict", request.model_spec, windows.tolist(), context, make)

    def Classify(self, request: Any, context: Any) -> Any:  # noqa: N802
        texts = of_examples(request)

        def make(signature: str) -> Any:
            response = classification_pb2.ClassificationResponse()
            for row in compute(signature, texts)["scores"]:
                classes = response.result.classifications.add().classes
                for name, score in zip(("brève", "longue"), row, strict=True):
                    classes.add(label=name, score=score)
            return response

        return self.answer("classify", request.model_spec, texts, context, make)

    def Regress(self, request: Any, context: Any) -> Any:  # noqa: N802
        texts = of_examples(request)

        def make(signature: str) -> Any:
            response = regression_pb2.RegressionResponse()
            for number in compute(signature, texts)["outputs"]:
                response.result.regressions.add(value=number)
            return response

        return self.answer("regress", request.model_spec, texts, context, make)

    def GetModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        assert list(request.metadata_field) == ["signature_def"]

        def make(_: str) -> Any:
            signatures = get_model_metadata_pb2.SignatureDefMap()
            default = signatures.signature_def[DEFAULT]
            default.method_name = "tensorflow/serving/predict"
            default.inputs["text"].dtype = types_pb2.DT_STRING
            default.inputs["text"].tensor_shape.dim.add(size=-1)
            default.outputs["label"].CopyFrom(default.inputs["text"])
            default.outputs["probabilities"].dtype = types_pb2.DT_FLOAT
            default.outputs["probabilities"].tensor_shape.dim.add(size=-1)
            default.outputs["probabilities"].tensor_shape.dim.add(size=2)
            loose = signatures.signature_def["loose"]
            loose.method_name = "m"
            loose.inputs["x"].dtype = types_pb2.DT_BFLOAT16
            loose.inputs["x"].tensor_shape.unknown_rank = True
            signatures.signature_def["__saved_model_init_op"].SetInParent()
            response = get_model_metadata_pb2.GetModelMetadataResponse()
            response.metadata["signature_def"].Pack(signatures)
            return response

        return self.answer("metadata", request.model_spec, [], context, make)


class _Model(_Service, model_service_pb2_grpc.ModelServiceServicer):  # type: ignore[misc]
    def GetModelStatus(self, request: Any, context: Any) -> Any:  # noqa: N802
        def make(_: str) -> Any:
            response = get_model_status_pb2.GetModelStatusResponse()
            versions = response.model_version_status
            versions.add(version=2, state=50, status={"error_code": 13})
            versions[0].status.error_message = "no such op"
            versions.add(version=1, state=30)
            if request.model_spec.HasField("version"):
                del versions[0]
            return response

        return self.answer("status", request.model_spec, [], context, make)
