"""The messages of TensorFlow Serving's API without TensorFlow, with conversions of arrays.

The messages have a descriptor pool of their own, so that they do not clash with TensorFlow's
registrations of the same names. `schema` holds their fields.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any

import numpy as np
from google.protobuf import message_factory
from google.protobuf.message import DecodeError as DecodeError

from keras_seqzoo.serving.schema import POOL


def _message(name: str) -> Any:
    return message_factory.GetMessageClass(POOL.FindMessageTypeByName(f"tensorflow.{name}"))


TensorProto = _message("TensorProto")
TensorShapeProto = _message("TensorShapeProto")
TensorInfo = _message("TensorInfo")
SignatureDef = _message("SignatureDef")
Example = _message("Example")

ModelSpec = _message("serving.ModelSpec")
PredictRequest = _message("serving.PredictRequest")
PredictResponse = _message("serving.PredictResponse")
Input = _message("serving.Input")
ClassificationRequest = _message("serving.ClassificationRequest")
ClassificationResponse = _message("serving.ClassificationResponse")
RegressionRequest = _message("serving.RegressionRequest")
RegressionResponse = _message("serving.RegressionResponse")
SignatureDefMap = _message("serving.SignatureDefMap")
GetModelMetadataRequest = _message("serving.GetModelMetadataRequest")
GetModelMetadataResponse = _message("serving.GetModelMetadataResponse")
GetModelStatusRequest = _message("serving.GetModelStatusRequest")
GetModelStatusResponse = _message("serving.GetModelStatusResponse")
PredictionLog = _message("serving.PredictionLog")

ModelServerConfig = _message("serving.ModelServerConfig")
MonitoringConfig = _message("serving.MonitoringConfig")
BatchingParameters = _message("serving.BatchingParameters")


def _enum(name: str, full_name: str) -> Any:
    values = POOL.FindEnumTypeByName(full_name).values
    return IntEnum(name, [(value.name, value.number) for value in values])


DataType = _enum("DataType", "tensorflow.DataType")
ErrorCode = _enum("ErrorCode", "tensorflow.error.Code")
VersionState = _enum("VersionState", "tensorflow.serving.ModelVersionStatus.State")

# Limit for a tensor that declares more values than its message has: a few bytes may declare
# hundreds of gigabytes.
MOST_VALUES = 2**24

# The types that an array can hold, and the field of a TensorProto for their values.
_ARRAYS = {
    DataType.DT_BOOL: (np.dtype("?"), "bool_val"),
    DataType.DT_INT8: (np.dtype("i1"), "int_val"),
    DataType.DT_INT16: (np.dtype("<i2"), "int_val"),
    DataType.DT_INT32: (np.dtype("<i4"), "int_val"),
    DataType.DT_INT64: (np.dtype("<i8"), "int64_val"),
    DataType.DT_UINT8: (np.dtype("u1"), "int_val"),
    DataType.DT_UINT16: (np.dtype("<u2"), "int_val"),
    DataType.DT_UINT32: (np.dtype("<u4"), "uint32_val"),
    DataType.DT_UINT64: (np.dtype("<u8"), "uint64_val"),
    DataType.DT_HALF: (np.dtype("<f2"), "half_val"),
    DataType.DT_FLOAT: (np.dtype("<f4"), "float_val"),
    DataType.DT_DOUBLE: (np.dtype("<f8"), "double_val"),
    DataType.DT_STRING: (np.dtype("O"), "string_val"),
}
_DATA_TYPES = {dtype: data_type for data_type, (dtype, _) in _ARRAYS.items()}


def dtype_name(data_type: int) -> str:
    """Returns NumPy's name of a `DataType`, such as `float32`, or `string`."""
    if data_type != DataType.DT_STRING and data_type in _ARRAYS:
        return str(_ARRAYS[data_type][0])
    return enum_name(DataType, data_type).removeprefix("DT_").lower()


def enum_name(enum: Any, number: int) -> str:
    """Returns the name of an enum's value, or the number of an unknown one."""
    return next((value.name for value in enum if value == number), str(number))


def to_tensor(array: np.ndarray) -> Any:
    """Makes a `TensorProto` of an array.

    Args:
        array: booleans, integers, floats of 16, 32 or 64 bits, or strings: an array of NumPy's
            strings, or an object array of `bytes` and `str`, which is sent as UTF-8.

    Raises:
        TypeError: an array of something else.
        ValueError: a string that UTF-8 cannot express.
    """
    array = np.asarray(array)
    if array.dtype.kind in "OSU":
        values = [_as_bytes(value) for value in array.ravel().tolist()]
        tensor = TensorProto(dtype=DataType.DT_STRING, string_val=values)
    elif (dtype := array.dtype.newbyteorder("<")) in _DATA_TYPES:
        content = array.astype(dtype).tobytes()
        tensor = TensorProto(dtype=_DATA_TYPES[dtype], tensor_content=content)
    else:
        raise TypeError(
            "An array must hold strings, booleans, integers, or floats of 16, 32 or 64 bits. "
            f"Convert it with `astype`. Received: dtype={array.dtype}"
        )
    # An empty shape has to be written too: it says that this is a scalar.
    tensor.tensor_shape.SetInParent()
    for size in array.shape:
        tensor.tensor_shape.dim.add(size=size)
    return tensor


def _as_bytes(value: Any) -> bytes:
    if not isinstance(value, (bytes, str)):
        raise TypeError(
            "An object array must hold only `bytes` or `str`. "
            f"Received: {value!r}, a {type(value).__name__}"
        )
    return value.encode() if isinstance(value, str) else value


def to_array(tensor: Any) -> np.ndarray:
    """Makes an array of a `TensorProto`; strings become an object array of `bytes`.

    Raises:
        TypeError: its type has no array here, such as bfloat16.
        ValueError: its shape is not known, or does not fit the number of its values; or it leaves
            out so many values that it would have more than `MOST_VALUES`.
    """
    if tensor.dtype not in _ARRAYS:
        raise TypeError(
            "A tensor must hold strings, booleans, integers, or floats of 16, 32 or 64 bits. Cast "
            f"it in the model. Received: {dtype_name(tensor.dtype)}"
        )
    dtype, field = _ARRAYS[tensor.dtype]
    places = count_places(tensor)
    shape = tuple(dim.size for dim in tensor.tensor_shape.dim)
    size = math.prod(shape)
    if tensor.tensor_content:
        return _read_content(tensor.tensor_content, dtype, size).reshape(shape)
    values = _values(getattr(tensor, field), dtype)
    if places > max(MOST_VALUES, len(values)):
        raise ValueError(
            f"A tensor that leaves out values must not have more than {MOST_VALUES}. "
            f"Received: {len(values)} values for {shape}"
        )
    return _repeat_last(values, size, shape)


def count_places(tensor: Any) -> int:
    """Returns how many values the shape of a `TensorProto` has; a dimension of 0 counts as 1.

    Nested lists of the shape (1000000, 0) fill memory, too.

    Raises:
        ValueError: the shape is not known.
    """
    shape = tuple(dim.size for dim in tensor.tensor_shape.dim)
    if tensor.tensor_shape.unknown_rank or min(shape, default=0) < 0:
        raise ValueError(f"The shape of a tensor must be known. Received: {shape or 'no rank'}")
    return math.prod(max(size, 1) for size in shape)


def _read_content(content: bytes, dtype: np.dtype, size: int) -> np.ndarray:
    if dtype.kind == "O":
        return _values(_split_strings(content, size), dtype)
    if len(content) != size * dtype.itemsize:
        raise ValueError(
            "The content of a tensor must have the size that its shape says. "
            f"Received: {len(content)} bytes for {size} values of {dtype}"
        )
    return np.frombuffer(content, dtype).copy()


def _split_strings(content: bytes, size: int) -> list[bytes]:
    """Reads strings as a server with --enable_serialization_as_tensor_content writes them.

    First come the lengths, as varints: 7 bits in each byte, lowest first. Then come all strings.
    """
    lengths: list[int] = []
    length = shift = start = 0
    while len(lengths) < size and start < len(content) and shift < 64:
        length |= (content[start] & 0x7F) << shift
        shift += 7
        if content[start] < 0x80:
            lengths.append(length)
            length = shift = 0
        start += 1
    ends = list(itertools.accumulate(lengths, initial=start))
    if len(lengths) < size or ends[-1] != len(content):
        raise ValueError(
            "The content of a tensor of strings must be their lengths, then the strings. "
            f"Received: {len(content)} bytes for {size} strings"
        )
    return [content[begin:end] for begin, end in itertools.pairwise(ends)]


def _values(values: Sequence[Any], dtype: np.dtype) -> np.ndarray:
    if dtype.kind in "iuf" and dtype.itemsize < 4:  # they come as int32, floats as their bits
        bits = np.array(values, np.int32)
        return bits.astype(np.uint16).view(dtype) if dtype.kind == "f" else bits.astype(dtype)
    array = np.empty(len(values), dtype)
    array[:] = values
    return array


def _repeat_last(values: np.ndarray, size: int, shape: tuple[int, ...]) -> np.ndarray:
    """Adds the values that a TensorProto may leave out at its end: copies of its last one."""
    if len(values) > size:
        raise ValueError(
            "A tensor must have no more values than its shape says. Received: "
            f"{len(values)} values for {shape}"
        )
    if len(values) < size:
        zero = b"" if values.dtype.kind == "O" else 0
        last = values[-1] if len(values) else zero
        values = np.concatenate([values, np.full(size - len(values), last, values.dtype)])
    return values.reshape(shape)


def shorten(array: np.ndarray) -> np.ndarray:
    """Rounds float32 to the decimals that TensorFlow Serving's REST API writes.

    It writes 6 digits if they name the same float32, else 9.

    Returns:
        float64, of the same shape.
    """
    exact = array.astype(np.float32).ravel()
    values = exact.tolist()
    short = np.array([float(f"{value:.6g}") for value in values])
    with np.errstate(over="ignore"):
        lossy = np.flatnonzero(short.astype(np.float32) != exact)
    short[lossy] = [float(f"{values[place]:.9g}") for place in lossy.tolist()]
    return short.reshape(array.shape)


def to_examples(columns: Mapping[str, Any]) -> list[Any]:
    """Makes `tf.Example`s of string features, such as `text`: a `str` or `bytes` for each row."""
    examples = []
    for row in zip(*columns.values(), strict=True):
        example = Example()
        for name, text in zip(columns, row, strict=True):
            example.features.feature[name].bytes_list.value.append(_as_bytes(text))
        examples.append(example)
    return examples


def predict_log(model: str, signature: str, inputs: Mapping[str, np.ndarray]) -> bytes:
    """Returns a serialised `PredictionLog` of a Predict request, for a warm-up file.

    Args:
        model: the model's name.
        signature: the signature to ask.
        inputs: an array for each of its inputs; strings as an object array of bytes.

    Raises:
        TypeError: an array of a type that tensors do not have.
    """
    log = PredictionLog()
    request = log.predict_log.request
    request.model_spec.name, request.model_spec.signature_name = model, signature
    for name, array in inputs.items():
        request.inputs[name].CopyFrom(to_tensor(array))
    return bytes(log.SerializeToString())


def examples_log(kind: str, model: str, signature: str, inputs: Mapping[str, Any]) -> bytes:
    """Returns a serialised `PredictionLog` of a request with examples, for a warm-up file.

    Args:
        kind: `"classify"` or `"regress"`.
        model: the model's name.
        signature: the signature to ask.
        inputs: string features of the examples by name, a `str` or `bytes` for each row.
    """
    log = PredictionLog()
    request = getattr(log, f"{kind}_log").request
    request.model_spec.name, request.model_spec.signature_name = model, signature
    request.input.example_list.examples.extend(to_examples(inputs))
    return bytes(log.SerializeToString())
