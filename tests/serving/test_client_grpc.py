"""The clients against a gRPC server that misbehaves."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from clients import open_client

from keras_seqzoo.serving import protocol
from keras_seqzoo.serving.client import ServingClient, ServingError

pytest.importorskip("tensorflow_serving.apis.prediction_service_pb2_grpc")

from loopback_grpc import GrpcServer, to_tensor
from tensorflow_serving.apis import classification_pb2, predict_pb2


@pytest.fixture
def server() -> Iterator[GrpcServer]:
    running = GrpcServer()
    yield running
    running.close()


@pytest.fixture(params=["sync", "async"])
def client(request: pytest.FixtureRequest, server: GrpcServer) -> Iterator[Any]:
    with open_client(request.param, server.url) as opened:
        yield opened


def outputs(**arrays: Any) -> Any:
    response = predict_pb2.PredictResponse()
    for name, array in arrays.items():
        tensor = to_tensor(array) if isinstance(array, np.ndarray) else array
        response.outputs[name].CopyFrom(tensor)
    return response


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "no outputs"),
        ({"a": np.float32([1, 2])}, "2 answers to 1 texts"),
        ({"a": np.float32([1]), "b": np.float32([1, 2])}, "2 answers to 1 texts"),
        ({"a": np.array(1, np.float32)}, "'a' is a scalar"),
    ],
)
def test_outputs_that_are_no_answers_are_errors(
    client: Any, server: GrpcServer, arrays: Any, message: str
) -> None:
    server.reply = lambda _: outputs(**arrays)
    with pytest.raises(ServingError, match=message) as caught:
        client.predict(["a"])
    assert caught.value.status == "OK"


def test_types_that_have_no_array_are_errors(client: Any, server: GrpcServer) -> None:
    tensor = to_tensor(np.float32([1]))
    tensor.dtype = protocol.DataType.DT_BFLOAT16
    server.reply = lambda _: outputs(a=tensor)
    with pytest.raises(ServingError, match="Received: bfloat16"):
        client.predict(["a"])


def test_replies_larger_than_grpc_s_limit_are_read(client: Any, server: GrpcServer) -> None:
    server.reply = lambda _: outputs(a=np.zeros((1, 1_000_000), np.float64))
    assert len(client.predict(["a"])[0]) == 1_000_000


@pytest.mark.parametrize("shape", [(1, 2**40), (1, 2**23), (1, 2**23, 0)])
def test_a_reply_takes_no_more_memory_than_its_bytes_tell(
    client: Any, server: GrpcServer, shape: tuple[int, ...]
) -> None:
    tensor = to_tensor(np.float32([]))
    del tensor.tensor_shape.dim[:]
    for size in shape:
        tensor.tensor_shape.dim.add(size=size)
    server.reply = lambda _: outputs(a=tensor, b=tensor, c=tensor)
    with pytest.raises(ServingError, match="more than 16777216 values"):
        client.predict(["a"])


def test_a_reply_that_is_too_long_is_not_asked_for_again(client: Any, server: GrpcServer) -> None:
    server.reply = lambda _: outputs(a=np.zeros((1, 9_000_000), np.float64))
    asked = len(server.seen)
    with pytest.raises(ServingError, match="Lower `batch_size`"):
        client.predict(["a"])
    assert len(server.seen) <= asked + 1


def test_another_message_is_no_answer(client: Any, server: GrpcServer) -> None:
    server.reply = lambda _: classification_pb2.ClassificationResponse(
        result={"classifications": [{"classes": [{"label": "a"}]}]}
    )
    with pytest.raises(ServingError, match="not a valid PredictResponse"):
        client.predict(["a"])


def test_unavailable_is_both_errors(server: GrpcServer) -> None:
    """GRPC does not tell a server that is down from one that says that it is not available."""
    server.refuse_next("UNAVAILABLE")
    with ServingClient(server.url, "reviews", retries=0) as client:
        with pytest.raises(ServingError) as caught:
            client.predict(["a"])
        assert isinstance(caught.value, ConnectionError)
        assert caught.value.status == "UNAVAILABLE"
        server.refuse_next("INTERNAL")
        with pytest.raises(ServingError) as caught:
            client.predict(["a"])
        assert not isinstance(caught.value, ConnectionError)


def test_errors_travel_between_processes(server: GrpcServer) -> None:
    for code in ("UNAVAILABLE", "INTERNAL"):
        server.refuse_next(code)
        with (
            ServingClient(server.url, "reviews", retries=0) as client,
            pytest.raises(ServingError) as caught,
        ):
            client.predict(["a"])
        again = pickle.loads(pickle.dumps(caught.value))
        assert (type(again), str(again), again.status) == (
            type(caught.value),
            str(caught.value),
            code,
        )


def test_a_rest_server_is_no_grpc_server() -> None:
    from loopback import RestServer

    rest = RestServer()
    url = rest.url.replace("http", "grpc")
    with ServingClient(url, "reviews", retries=0) as client, pytest.raises(ConnectionError):
        client.predict(["a"])
    rest.close()
