"""JSON of the Predict API to arrays and back: rules and messages of TensorFlow Serving.

They stand in its g3doc/api_rest.md and util/json_tensor.cc. Where this differs, on purpose: strings
in replies that are not UTF-8 have U+FFFD in the place of such bytes, where TensorFlow Serving's
reply would be no JSON; of equal keys in an object the last counts, not the first; `Inf` and `-NaN`
are not taken for `Infinity` and `NaN`; nesting beyond Python's limit of recursion is refused, where
TensorFlow Serving parses it to any depth with a stack of its own.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_seqzoo.serving.server.errors import RequestError
from keras_seqzoo.serving.server.values import (
    TOO_BIG,
    debug,
    is_base64,
    read_values,
    shape_of,
    to_array,
    to_lists,
)

DEFAULT_SIGNATURE = "serving_default"


def parse(body: bytes) -> dict[str, Any]:
    """Parses a request: an object, in which `NaN`, `Infinity` and `-Infinity` are numbers.

    What follows the object is ignored.

    Raises:
        RequestError: not JSON, nested too deeply, or no object.
    """
    text = body.decode("utf-8", "surrogateescape").removeprefix("\ufeff")
    start = len(text) - len(text.lstrip(" \t\n\r"))
    if start == len(text):
        raise RequestError("JSON Parse error: The document is empty")
    try:
        document, _ = json.JSONDecoder(parse_float=_read_float).raw_decode(text, start)
    except json.JSONDecodeError as error:
        raise RequestError(f"JSON Parse error: {error.msg} at offset: {error.pos}") from error
    except RecursionError as error:
        raise RequestError("JSON Parse error: The document is nested too deeply.") from error
    except ValueError as error:  # an integer of thousands of digits
        raise RequestError(TOO_BIG) from error
    if not isinstance(document, dict):
        raise RequestError(f"JSON Value: {debug(document)} Is not object")
    return document


def _read_float(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise RequestError(TOO_BIG)
    return number


def read_signature(document: Mapping[str, Any]) -> str:
    """Returns the name of the signature that a request asks.

    Raises:
        RequestError: `signature_name` is no string.
    """
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise RequestError(
            f"JSON Value: {debug(document)} not formatted correctly. 'signature_name' key must be "
            "a string value."
        )
    return name or DEFAULT_SIGNATURE


def read_inputs(
    document: Mapping[str, Any], dtypes: Mapping[str, tf.DType], most: int
) -> tuple[dict[str, np.ndarray], bool]:
    """Reads the inputs of a Predict request.

    Args:
        document: the request.
        dtypes: of the signature's inputs, at least one.
        most: rows that a request may have.

    Returns:
        The inputs, strings as object arrays of bytes; and whether they came in rows (`instances`)
        rather than columns (`inputs`).

    Raises:
        RequestError: a key is missing, or there is one too many; too many rows; a value that is not
            of the input's dtype; lists that make no array.
    """
    if "instances" in document and "inputs" in document:
        raise RequestError(
            f"JSON Value: {debug(document)} Not formatted correctly expecting only one of 'inputs' "
            "or 'instances' keys to exist "
        )
    try:
        if "instances" in document:
            return _read_rows(document, dtypes, most), True
        if "inputs" in document:
            return _read_columns(document["inputs"], dtypes, most), False
    except RecursionError as error:
        raise RequestError("JSON Parse error: The document is nested too deeply.") from error
    raise RequestError("Missing 'inputs' or 'instances' key")


def check_rows(count: int, most: int) -> None:
    """Checks the number of rows of a request.

    Raises:
        RequestError: there are more than `most`.
    """
    if count > most:
        raise RequestError(
            f"A request must have at most {most} rows. Send them in several requests, or start the "
            f"server with a higher --max-batch. Received: {count} rows"
        )


def _read_rows(
    document: Mapping[str, Any], dtypes: Mapping[str, tf.DType], most: int
) -> dict[str, np.ndarray]:
    rows = document["instances"]
    if not isinstance(rows, list):
        raise RequestError(
            f"JSON Value: {debug(document)} Expecting 'instances' to be an list/array"
        )
    if not rows:
        raise RequestError(f"JSON Value: {debug(document)} No values in 'instances' array")
    check_rows(len(rows), most)
    if not isinstance(rows[0], dict) and len(dtypes) > 1:
        raise RequestError(
            "instances is a plain list, but expecting list of objects as multiple input tensors "
            "required as per tensorinfo_map"
        )
    columns: dict[str, _Column] = {}
    if _is_object(rows[0]):
        _add_objects(rows, dtypes, columns)
    else:
        _add_values(rows, dtypes, columns)
    return {name: column.array(len(rows)) for name, column in columns.items()}


class _Column:
    """The values of an input, row by row; every row has the shape of the first."""

    def __init__(self, dtype: tf.DType):
        self.dtype = dtype
        self.values: list[Any] = []
        self.shape: list[int] | None = None
        self.size = 0

    def add(self, row: Any) -> None:
        shape = shape_of(row)
        values = read_values(row, shape, self.dtype)
        if self.shape is None:
            self.shape, self.size = shape, len(values)
        elif len(values) != self.size:
            raise RequestError(f"Expecting tensor size: {self.size} but got: {len(values)}")
        elif shape != self.shape:
            raise RequestError(
                f"Expecting shape {_show_shape(self.shape)} but got: {_show_shape(shape)}"
            )
        self.values += values

    def array(self, count: int) -> np.ndarray:
        return to_array(self.values, [count, *(self.shape or [])], self.dtype)


def _add_objects(
    rows: Sequence[Any], dtypes: Mapping[str, tf.DType], columns: dict[str, _Column]
) -> None:
    for number, row in enumerate(rows):
        if not _is_object(row):
            raise RequestError(f"Expecting object but got list at item {number} of input list")
        for name, value in row.items():
            try:
                if name not in dtypes:
                    raise RequestError(f"JSON object: does not have named input: {name}")
                columns.setdefault(name, _Column(dtypes[name])).add(value)
            except RequestError as error:
                raise RequestError(
                    f"Failed to process element: {number} key: {name} of 'instances' list. "
                    f"Error: {error}"
                ) from error
        if set(row) != set(dtypes):
            raise RequestError(
                f"Failed to process element: {number} of 'instances' list. JSON object: "
                f"{debug(row)} keys must be equal to: {','.join(sorted(dtypes))}"
            )


def _add_values(
    rows: Sequence[Any], dtypes: Mapping[str, tf.DType], columns: dict[str, _Column]
) -> None:
    name, dtype = next(iter(dtypes.items()))
    column = columns.setdefault(name, _Column(dtype))
    for number, row in enumerate(rows):
        if _is_object(row):
            raise RequestError(
                f"Expecting value/list but got object at item {number} of input list"
            )
        try:
            column.add(row)
        except RequestError as error:
            raise RequestError(
                f"Failed to process element: {number} of 'instances' list. Error: {error}"
            ) from error


def _read_columns(value: Any, dtypes: Mapping[str, tf.DType], most: int) -> dict[str, np.ndarray]:
    if not _is_object(value):
        if len(dtypes) > 1:
            raise RequestError(
                "inputs is a plain value/list, but expecting an object as multiple input tensors "
                "required as per tensorinfo_map"
            )
        value = {next(iter(dtypes)): value}
    arrays = {}
    for name, dtype in dtypes.items():
        if name not in value:
            raise RequestError(f"Missing named input: {name} in 'inputs' object.")
        shape = shape_of(value[name])
        check_rows(shape[0] if shape else 1, most)
        arrays[name] = to_array(read_values(value[name], shape, dtype), shape, dtype)
    return arrays


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) and not is_base64(value)


def _show_shape(shape: Sequence[int]) -> str:
    return f"[{','.join(map(str, shape))}]"


def write_outputs(outputs: Mapping[str, np.ndarray], in_rows: bool) -> bytes:
    """Writes the reply of a Predict request: `predictions`, or `outputs` if not `in_rows`.

    A single output stands without its name. Strings of outputs named `…_bytes` are base64.

    Raises:
        RequestError: an output of a dtype that JSON does not have, or outputs that make no rows.
    """
    if in_rows:
        _check_batch(outputs)
    lists = {name: to_lists(name, outputs[name]) for name in sorted(outputs)}
    if not in_rows:
        return write({"outputs": lists if len(lists) > 1 else next(iter(lists.values()))})
    if len(lists) == 1:
        return write_list("predictions", next(iter(lists.values())))
    rows = zip(*lists.values(), strict=True)
    return write_list("predictions", (dict(zip(lists, row, strict=True)) for row in rows))


def _check_batch(outputs: Mapping[str, np.ndarray]) -> None:
    expected = None
    for name in sorted(outputs):
        shape = outputs[name].shape
        if not shape:
            raise RequestError(f"Tensor name: {name} has no shape information ")
        if expected is not None and shape[0] != expected:
            raise RequestError(
                f"Tensor name: {name} has inconsistent batch size: {shape[0]} expecting: {expected}"
            )
        expected = shape[0]


def write(value: Any) -> bytes:
    """Writes JSON; numbers that are not finite as `NaN`, `Infinity` and `-Infinity`."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def write_list(name: str, items: Iterable[Any]) -> bytes:
    """Writes `{name: items}` with an item a line."""
    lines = ",\n".join("    " + json.dumps(item, ensure_ascii=False) for item in items)
    inner = f"[\n{lines}\n]" if lines else "[]"
    return f'{{"{name}": {inner}}}\n'.encode("utf-8", "replace")


def write_error(message: str) -> bytes:
    """Writes an error as TensorFlow Serving does."""
    return write({"error": message})
