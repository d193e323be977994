"""`CppSession`: a SavedModel through TensorFlow's own C++ loader, as TensorFlow Serving has it.

The package loads with `tf.compat.v1.saved_model.load`, which is Python. A server calls
`LoadSavedModel` of C++, which TensorFlow's public C API offers as `TF_LoadSessionFromSavedModel`;
the tests hold both to the same answers.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping, Sequence
from ctypes import POINTER, c_char_p, c_int, c_int64, c_size_t, c_void_p
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

_OK = 0
_STRING_BYTES = 24  # sizeof(TF_TString), fixed by TensorFlow's ABI


class _Output(ctypes.Structure):
    _fields_ = (("operation", c_void_p), ("index", c_int))


# What of tensorflow/c/c_api.h and tf_tensor.h is called: results and arguments.
_FUNCTIONS: Mapping[str, tuple[Any, Sequence[Any]]] = {
    "TF_NewStatus": (c_void_p, ()),
    "TF_DeleteStatus": (None, (c_void_p,)),
    "TF_GetCode": (c_int, (c_void_p,)),
    "TF_Message": (c_char_p, (c_void_p,)),
    "TF_NewGraph": (c_void_p, ()),
    "TF_DeleteGraph": (None, (c_void_p,)),
    "TF_NewSessionOptions": (c_void_p, ()),
    "TF_DeleteSessionOptions": (None, (c_void_p,)),
    "TF_LoadSessionFromSavedModel": (
        c_void_p,
        (c_void_p, c_void_p, c_char_p, POINTER(c_char_p), c_int, c_void_p, c_void_p, c_void_p),
    ),
    "TF_CloseSession": (None, (c_void_p, c_void_p)),
    "TF_DeleteSession": (None, (c_void_p, c_void_p)),
    "TF_GraphOperationByName": (c_void_p, (c_void_p, c_char_p)),
    "TF_SessionRun": (
        None,
        (
            c_void_p, c_void_p, POINTER(_Output), POINTER(c_void_p), c_int, POINTER(_Output),
            POINTER(c_void_p), c_int, c_void_p, c_int, c_void_p, c_void_p,
        ),
    ),
    "TF_AllocateTensor": (c_void_p, (c_int, POINTER(c_int64), c_int, c_size_t)),
    "TF_DeleteTensor": (None, (c_void_p,)),
    "TF_TensorData": (c_void_p, (c_void_p,)),
    "TF_TensorType": (c_int, (c_void_p,)),
    "TF_NumDims": (c_int, (c_void_p,)),
    "TF_Dim": (c_int64, (c_void_p, c_int)),
    "TF_StringInit": (None, (c_void_p,)),
    "TF_StringCopy": (None, (c_void_p, c_char_p, c_size_t)),
    "TF_StringDealloc": (None, (c_void_p,)),
    "TF_StringGetDataPointer": (c_void_p, (c_void_p,)),
    "TF_StringGetSize": (c_size_t, (c_void_p,)),
}  # fmt: skip


def _library() -> ctypes.CDLL:
    path = next(Path(tf.sysconfig.get_lib()).glob("libtensorflow_cc.*"))
    library = ctypes.CDLL(str(path))  # the one that is loaded already
    for name, (result, arguments) in _FUNCTIONS.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


class CppSession:
    """A SavedModel in a session that C++ has loaded: variables restored, tables filled.

    Ops of TensorFlow Text are known, as in TensorFlow Serving.

    Args:
        path: the folder of a version.

    Raises:
        ValueError: C++ cannot load it; the message is TensorFlow's.
    """

    def __init__(self, path: str | os.PathLike[str]):
        import tensorflow_text  # noqa: F401 - the graph may hold its ops

        self._session: int | None = None
        self._tf = _library()
        self._graph = self._tf.TF_NewGraph()
        options = self._tf.TF_NewSessionOptions()
        tags = (c_char_p * 1)(tf.saved_model.SERVING.encode())
        try:
            self._session = self._checked(
                self._tf.TF_LoadSessionFromSavedModel,
                options, None, os.fsencode(path), tags, 1, self._graph, None,
            )  # fmt: skip
        except ValueError:
            self.close()
            raise
        finally:
            self._tf.TF_DeleteSessionOptions(options)

    def run(self, feeds: Mapping[str, np.ndarray], fetches: Sequence[str]) -> list[np.ndarray]:
        """Runs the graph.

        Args:
            feeds: arrays by the name of a tensor, such as `serving_default_text:0`; strings as
                object arrays of bytes.
            fetches: names of tensors.

        Returns:
            An array for each name in `fetches`; strings as object arrays of bytes.

        Raises:
            ValueError: no such tensor, or what went wrong in the graph, in TensorFlow's words.
        """
        inputs = (_Output * len(feeds))(*map(self._output, feeds))
        outputs = (_Output * len(fetches))(*map(self._output, fetches))
        results = (c_void_p * len(fetches))()
        values = (c_void_p * len(feeds))(*map(self._tensor, feeds.values()))
        try:
            self._checked(
                self._tf.TF_SessionRun, self._session, None, inputs, values, len(feeds),
                outputs, results, len(fetches), None, 0, None,
            )  # fmt: skip
            return [self._array(tensor) for tensor in results if tensor is not None]
        finally:
            # The strings of an input are ours; those of a result may be a constant of the graph.
            for tensor, array in zip(values, feeds.values(), strict=True):
                if array.dtype == object:
                    for place in self._strings(tensor, array.size):
                        self._tf.TF_StringDealloc(place)
            for tensor in (*values, *results):
                if tensor:
                    self._tf.TF_DeleteTensor(tensor)

    def close(self) -> None:
        """Frees the session and its graph."""
        if self._session is not None:
            self._checked(self._tf.TF_CloseSession, self._session)
            self._checked(self._tf.TF_DeleteSession, self._session)
            self._session = None
        if self._graph is not None:
            self._tf.TF_DeleteGraph(self._graph)
            self._graph = None

    def _checked(self, function: Any, *arguments: Any) -> Any:
        status = self._tf.TF_NewStatus()
        try:
            result = function(*arguments, status)
            if self._tf.TF_GetCode(status) != _OK:
                raise ValueError(self._tf.TF_Message(status).decode("utf-8", "replace"))
            return result
        finally:
            self._tf.TF_DeleteStatus(status)

    def _output(self, name: str) -> _Output:
        operation, _, index = name.partition(":")
        found = self._tf.TF_GraphOperationByName(self._graph, operation.encode())
        if not found:
            raise ValueError(f"The graph has no such tensor. Received: {name}")
        return _Output(found, int(index or 0))

    def _tensor(self, array: np.ndarray) -> int:
        shape = (c_int64 * array.ndim)(*array.shape)
        if array.dtype != object:
            array = np.asarray(array, order="C")
            kind = tf.as_dtype(array.dtype).as_datatype_enum
            tensor = self._tf.TF_AllocateTensor(kind, shape, array.ndim, array.nbytes)
            ctypes.memmove(self._tf.TF_TensorData(tensor), array.ctypes.data, array.nbytes)
            return tensor
        kind, size = tf.string.as_datatype_enum, array.size * _STRING_BYTES
        tensor = self._tf.TF_AllocateTensor(kind, shape, array.ndim, size)
        for string, place in zip(array.ravel(), self._strings(tensor, array.size), strict=True):
            self._tf.TF_StringInit(place)
            self._tf.TF_StringCopy(place, string, len(string))
        return tensor

    def _array(self, tensor: int) -> np.ndarray:
        shape = [self._tf.TF_Dim(tensor, axis) for axis in range(self._tf.TF_NumDims(tensor))]
        size = int(np.prod(shape))
        if self._tf.TF_TensorType(tensor) == tf.string.as_datatype_enum:
            texts = [
                ctypes.string_at(
                    self._tf.TF_StringGetDataPointer(place), self._tf.TF_StringGetSize(place)
                )
                for place in self._strings(tensor, size)
            ]
            return np.array([*texts, None], object)[:-1].reshape(shape)
        dtype = tf.as_dtype(self._tf.TF_TensorType(tensor)).as_numpy_dtype
        content = ctypes.string_at(self._tf.TF_TensorData(tensor), size * np.dtype(dtype).itemsize)
        return np.frombuffer(content, dtype).reshape(shape)

    def _strings(self, tensor: int, size: int) -> list[int]:
        start = self._tf.TF_TensorData(tensor) or 0
        return [start + _STRING_BYTES * number for number in range(size)]


def ask_cpp(path: Path, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What `serving_default` of a version answers once C++ has loaded it."""
    saved = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    signature = saved.meta_graphs[0].signature_def["serving_default"]
    feeds = {signature.inputs[name].name: array for name, array in inputs.items()}
    session = CppSession(path)
    answers = session.run(feeds, [info.name for info in signature.outputs.values()])
    session.close()
    return dict(zip(signature.outputs, answers, strict=True))
