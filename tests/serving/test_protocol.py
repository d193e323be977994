"""The messages against the official ones of `tensorflow-serving-api`, and arrays to tensors."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import tracemalloc
from typing import Any

import numpy as np
import pytest
from google.protobuf import descriptor_pool, text_format

from keras_seqzoo.serving import protocol
from keras_seqzoo.serving.schema import POOL

OFFICIAL = [
    "tensorflow.core.example.example_pb2",
    "tensorflow.core.protobuf.error_codes_pb2",
    "tensorflow.core.protobuf.meta_graph_pb2",
    "tensorflow_serving.apis.get_model_metadata_pb2",
    "tensorflow_serving.apis.get_model_status_pb2",
    "tensorflow_serving.apis.prediction_log_pb2",
    "tensorflow_serving.config.model_server_config_pb2",
]
# The wheel of tensorflow-serving-api lacks monitoring_config.proto and session_bundle_config.proto.
NOT_IN_THE_WHEEL = {
    "tensorflow.serving.BatchingParameters": {
        "max_batch_size": 1, "batch_timeout_micros": 2, "max_enqueued_batches": 3,
        "num_batch_threads": 4, "thread_pool_name": 5, "allowed_batch_sizes": 6,
        "pad_variable_length_inputs": 7, "enable_large_batch_splitting": 8,
        "max_execution_batch_size": 9,
    },
    "tensorflow.serving.MonitoringConfig": {"prometheus_config": 1},
    "tensorflow.serving.PrometheusConfig": {"enable": 1, "path": 2},
}  # fmt: skip


def ours() -> tuple[list[Any], list[Any]]:
    """All messages and enums of ours."""
    files = [
        POOL.FindFileByName(f"{name}.proto")
        for name in ("tensorflow", "tensorflow/error", "tensorflow/serving")
    ]
    messages = [m for file in files for m in file.message_types_by_name.values()]
    for message in messages:
        messages += message.nested_types
    enums = [e for file in files for e in file.enum_types_by_name.values()]
    return messages, enums + [e for message in messages for e in message.enum_types]


@pytest.fixture(scope="module")
def official() -> Any:
    """Official messages and modules by name."""
    pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2")
    for module in OFFICIAL:
        importlib.import_module(module)
    return descriptor_pool.Default()


def official_class(module: str, name: str) -> Any:
    return getattr(pytest.importorskip(f"tensorflow_serving.apis.{module}_pb2"), name)


def describe(field: Any) -> dict[str, Any]:
    kind = field.message_type or field.enum_type
    oneof = field.containing_oneof
    return {
        "number": field.number,
        "type": field.type,
        "of": kind and kind.full_name,
        "repeated": field.is_repeated,
        "packed": field.is_packed,
        "oneof": oneof and oneof.name,
        "presence": field.has_presence,
    }


def test_every_field_is_the_official_one(official: Any) -> None:
    messages, _ = ours()
    compared = 0
    for message in messages:
        if message.full_name in NOT_IN_THE_WHEEL:
            numbers = {field.name: field.number for field in message.fields}
            assert numbers == NOT_IN_THE_WHEEL[message.full_name]
            continue
        expected = official.FindMessageTypeByName(message.full_name)
        assert message.GetOptions().map_entry == expected.GetOptions().map_entry
        for field in message.fields:
            known = expected.fields_by_name[field.name]
            assert (message.full_name, field.name, describe(field)) == (
                message.full_name, field.name, describe(known),
            )  # fmt: skip
            compared += 1
    assert compared > 100


def test_every_enum_value_is_the_official_one(official: Any) -> None:
    _, enums = ours()
    assert len(enums) == 3
    for enum in enums:
        expected = official.FindEnumTypeByName(enum.full_name).values_by_name
        for value in enum.values:
            assert (value.name, value.number) == (value.name, expected[value.name].number)
    types = official.FindEnumTypeByName("tensorflow.DataType").values
    assert {t.name: t.number for t in types if t.number < 100} == {
        t.name: t.value for t in protocol.DataType
    }


def test_they_stand_beside_the_official_ones() -> None:
    theirs = official_class("predict", "PredictRequest")
    assert theirs.DESCRIPTOR.full_name == protocol.PredictRequest.DESCRIPTOR.full_name
    assert theirs.DESCRIPTOR.file.pool is not protocol.PredictRequest.DESCRIPTOR.file.pool


def test_requests_keep_all_when_read_by_the_other_side() -> None:
    request = protocol.PredictRequest(output_filter=["label"])
    request.model_spec.name = "reviews"
    request.model_spec.version.value = 3
    request.inputs["text"].CopyFrom(protocol.to_tensor(np.array([b"a", b""], object)))
    theirs = official_class("predict", "PredictRequest").FromString(request.SerializeToString())
    assert theirs.model_spec.version.value == 3
    assert list(theirs.inputs["text"].string_val) == [b"a", b""]
    theirs.client_id = b"unknown to us"
    again = protocol.PredictRequest.FromString(theirs.SerializeToString())
    assert type(theirs).FromString(again.SerializeToString()) == theirs


ARRAYS = [
    np.array([[True, False]]),
    *(np.array([[-3, 4]], f"i{size}") for size in (1, 2, 4, 8)),
    *(np.array([3, 4], f"u{size}") for size in (1, 2, 4, 8)),
    *(np.array([[0.1], [-2.5]], f"f{size}") for size in (2, 4, 8)),
    np.array([[b"a", b"\xff\x00"]], object),
    np.array(7, np.int32),
    np.array(b"alone", object),
    np.zeros((0, 3), np.float32),
    np.empty((2, 0), object),
]


@pytest.mark.parametrize("array", ARRAYS, ids=lambda a: f"{a.dtype}{a.shape}")
def test_arrays_go_and_come_back(array: np.ndarray) -> None:
    message = protocol.to_tensor(array).SerializeToString()
    again = protocol.to_array(protocol.TensorProto.FromString(message))
    assert again.dtype == array.dtype
    assert again.shape == array.shape
    np.testing.assert_array_equal(again, array)
    again[...] = again  # it can be written to


@pytest.mark.parametrize("array", ARRAYS, ids=lambda a: f"{a.dtype}{a.shape}")
def test_tensors_are_those_of_tensorflow(array: np.ndarray) -> None:
    tf = pytest.importorskip("tensorflow")
    theirs = tf.make_tensor_proto(array)
    ours = protocol.to_array(protocol.TensorProto.FromString(theirs.SerializeToString()))
    np.testing.assert_array_equal(ours, array)
    read = type(theirs).FromString(protocol.to_tensor(array).SerializeToString())
    np.testing.assert_array_equal(tf.make_ndarray(read), array)


def test_strings_are_taken_in_any_array() -> None:
    for array in (np.array(["a", "é"]), np.array(["a", "é"], object)):
        assert protocol.to_array(protocol.to_tensor(array)).tolist() == [b"a", "é".encode()]
    assert protocol.to_array(protocol.to_tensor(np.array([b"ab"]))).tolist() == [b"ab"]


def test_byte_order_is_that_of_the_protocol() -> None:
    tensor = protocol.to_tensor(np.array([1], ">i4"))
    assert tensor.tensor_content == b"\x01\x00\x00\x00"
    assert protocol.to_array(tensor).tolist() == [1]


def tensor(text: str) -> Any:
    return text_format.Parse(text, protocol.TensorProto())


def test_values_that_are_left_out_equal_the_last() -> None:
    """TensorFlow writes tensors like this."""
    shape = " tensor_shape { dim { size: 2 } dim { size: 2 } }"
    for fields, expected in (
        ("dtype: DT_FLOAT float_val: 2", [2, 2, 2, 2]),
        ("dtype: DT_INT64 int64_val: [1, 2]", [1, 2, 2, 2]),
        ("dtype: DT_HALF half_val: 15360", [1, 1, 1, 1]),
        ("dtype: DT_STRING string_val: 'a' string_val: ''", [b"a", b"", b"", b""]),
        ("dtype: DT_STRING", [b""] * 4),
        ("dtype: DT_BOOL", [False] * 4),
    ):
        assert protocol.to_array(tensor(fields + shape)).ravel().tolist() == expected


def test_values_beyond_their_type_wrap_as_in_tensorflow() -> None:
    """NumPy 2 refuses them with an error that is no `ValueError`."""
    for text, bits in (("DT_UINT8 int_val: 300", 44), ("DT_INT8 int_val: 200", -56)):
        assert protocol.to_array(tensor(f"dtype: {text}")) == bits
    assert protocol.to_array(tensor("dtype: DT_HALF half_val: 70000")).view(np.uint16) == 4464


def test_strings_as_tensor_content_are_read() -> None:
    """As `--enable_serialization_as_tensor_content` writes them: lengths, then bytes."""
    long = b"x" * 300
    message = tensor("dtype: DT_STRING tensor_shape { dim { size: 3 } }")
    message.tensor_content = b"\x01\x00\xac\x02" + b"a" + long
    assert protocol.to_array(message).tolist() == [b"a", b"", long]
    for content in (b"\x01\x00", b"\x01\x01\x01a", b"\x00\x00\x00more", b"\xff\xff", b"\xff" * 99):
        message.tensor_content = content
        with pytest.raises(ValueError, match="their lengths, then the strings"):
            protocol.to_array(message)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("dtype: DT_BFLOAT16", TypeError, r"Cast it in the model. Received: bfloat16"),
        ("", TypeError, "Received: invalid"),
        ("dtype: DT_INT32 tensor_shape { unknown_rank: true }", ValueError, "must be known"),
        ("dtype: DT_INT32 tensor_shape { dim { size: -1 } }", ValueError, "must be known"),
        ("dtype: DT_INT32 int_val: [1, 2]", ValueError, "2 values for"),
        ("dtype: DT_INT32 tensor_content: '123'", ValueError, "3 bytes for 1 values of int32"),
    ],
)
def test_tensors_that_make_no_array_are_explained(
    text: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        protocol.to_array(tensor(text))


@pytest.mark.parametrize("values", ["", "float_val: 1", "tensor_content: '1234'"])
@pytest.mark.parametrize("sizes", [[2**40], [2**62] * 60, [2**32, 2**32], [1, 2**40, 0], [-1, -1]])
@pytest.mark.parametrize("dtype", ["DT_FLOAT", "DT_STRING"])
def test_a_few_bytes_take_no_more_memory(dtype: str, sizes: list[int], values: str) -> None:
    dims = " ".join(f"dim {{ size: {size} }}" for size in sizes)
    declared = tensor(f"dtype: {dtype} tensor_shape {{ {dims} }} {values}")
    tracemalloc.start()
    with pytest.raises(ValueError, match="Received: "):
        protocol.to_array(declared)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 10_000_000


def test_types_of_later_versions_are_named_by_number() -> None:
    with pytest.raises(TypeError, match="Received: 1001"):
        protocol.to_array(protocol.TensorProto(dtype=1001))


def test_arrays_that_make_no_tensor_are_explained() -> None:
    for array in (np.array([1j]), np.array(["2026-01-01"], "M8[D]")):
        with pytest.raises(TypeError, match=r"`astype`. Received: dtype="):
            protocol.to_tensor(array)
    with pytest.raises(TypeError, match=r"only `bytes` or `str`. Received: None, a NoneType"):
        protocol.to_tensor(np.array([b"a", None], object))
    with pytest.raises(UnicodeEncodeError):
        protocol.to_tensor(np.array(["\ud83d"], object))


def test_floats_are_written_as_tensorflow_serving_writes_them() -> None:
    values = np.float32([0.1, 1 / 3, 0.975, 1e-7, 16777216, 123456.7, -0.0])
    assert protocol.shorten(values).tolist() == [
        0.1, 0.333333343, 0.975, 1e-07, 16777216.0, 123456.703, -0.0,
    ]  # fmt: skip
    drawn = np.random.default_rng(0).standard_normal((50, 20)).astype(np.float32)
    np.testing.assert_array_equal(protocol.shorten(drawn).astype(np.float32), drawn)
    assert np.isnan(protocol.shorten(np.float32([np.nan]))[0])
    assert protocol.shorten(np.float32([np.inf, -np.inf])).tolist() == [np.inf, -np.inf]


def test_predict_log_is_a_prediction_log() -> None:
    inputs = {"text": np.array([b"a", b"b"], object), "top": np.array(3, np.int32)}
    record = protocol.predict_log("reviews", "serving_default", inputs)
    log = official_class("prediction_log", "PredictionLog").FromString(record)
    assert log.WhichOneof("log_type") == "predict_log"
    request = log.predict_log.request
    assert (request.model_spec.name, request.model_spec.signature_name) == (
        "reviews", "serving_default",
    )  # fmt: skip
    assert list(request.inputs["text"].string_val) == [b"a", b"b"]
    assert request.inputs["top"].HasField("tensor_shape")


@pytest.mark.parametrize("kind", ["classify", "regress"])
def test_logs_of_examples_are_prediction_logs(kind: str) -> None:
    columns = {"text": ["é", b"\xff"], "text_pair": ["", "b"]}
    record = protocol.examples_log(kind, "reviews", "asked", columns)
    log = official_class("prediction_log", "PredictionLog").FromString(record)
    assert log.WhichOneof("log_type") == f"{kind}_log"
    request = getattr(log, f"{kind}_log").request
    assert (request.model_spec.name, request.model_spec.signature_name) == ("reviews", "asked")
    features = [e.features.feature for e in request.input.example_list.examples]
    assert [f["text"].bytes_list.value[0] for f in features] == ["é".encode(), b"\xff"]
    assert [f["text_pair"].bytes_list.value[0] for f in features] == [b"", b"b"]


def test_configs_are_read_as_the_server_reads_them() -> None:
    text = """
        model_config_list { config {
          name: "reviews" base_path: "/models/reviews" model_platform: "tensorflow"
          model_version_policy { specific { versions: 1 versions: 2 } }
          version_labels { key: "stable" value: 1 }
        } }"""
    ours = text_format.Parse(text, protocol.ModelServerConfig())
    module = pytest.importorskip("tensorflow_serving.config.model_server_config_pb2")
    theirs = text_format.Parse(text, module.ModelServerConfig())
    assert ours.SerializeToString() == theirs.SerializeToString()
    batching = text_format.Parse(
        "max_batch_size { value: 128 } thread_pool_name { value: 'a' } allowed_batch_sizes: 8",
        protocol.BatchingParameters(),
    )
    assert batching.SerializeToString() == b"\x0a\x03\x08\x80\x01\x2a\x03\x0a\x01a\x32\x01\x08"


@pytest.mark.parametrize("implementation", ["upb", "python"])
def test_the_pool_is_built_by_each_protobuf_without_tensorflow(implementation: str) -> None:
    code = (
        "import sys\nfrom keras_seqzoo.serving import protocol\n"
        "print(protocol.predict_log('m', 's', {}))\n"
        "print({'tensorflow', 'keras', 'pandas'} & set(sys.modules))"
    )
    environment = {**os.environ, "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": implementation}
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, timeout=120
    )
    expected = f"{protocol.predict_log('m', 's', {})!r}\nset()\n"
    assert (done.stdout, done.returncode) == (expected, 0), done.stderr
