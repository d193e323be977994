"""`SavedSession` loads a SavedModel as TensorFlow Serving does, into a session of its own."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from keras_seqzoo.quiet import logging_from

_FEWEST = 8  # rows of a part of a request
# Errors from reading a damaged SavedModel, in Python, in protobuf and in C++.
_DAMAGES = (OSError, ValueError, RuntimeError, KeyError, IndexError, tf.errors.OpError)


class SavedSession:
    """A SavedModel in a session: restored variables, tables, and the functions of its signatures.

    It uses neither Keras nor an object graph. Several threads may call `run` at once.

    Args:
        path: the folder of a version.
        parts: the most parts of a large request that are answered at the same time, row by row;
            see `divide_cores`. Requests that have outputs as wide as their longest row are not
            divided, and none is with a GPU.

    Attributes:
        path: the folder of the version.
        signatures: by name, `tensorflow.SignatureDef` messages: names, dtypes and shapes of inputs
            and outputs, and the API of the signature.
        definitions: the same with `__saved_model_init_op`, which takes no requests.

    Raises:
        FileNotFoundError: no SavedModel there.
        ValueError: one of its files is damaged or missing, or it needs unregistered ops.
    """

    def __init__(self, path: str | os.PathLike[str], parts: int = 1):
        self.path = Path(path)
        if not (self.path / "saved_model.pb").is_file():
            raise FileNotFoundError(
                "There is no SavedModel: saved_model.pb is missing. Check the path, or export one. "
                f"Received: {self.path}"
            )
        import tensorflow_text  # noqa: F401 - the graph may hold its ops

        self._session = tf.compat.v1.Session(graph=tf.Graph(), config=_session_config())
        try:
            # TensorFlow would suggest `tf.saved_model.load`, which makes no session.
            with logging_from(logging.ERROR), self._session.graph.as_default():
                meta = tf.compat.v1.saved_model.load(
                    self._session, [tf.saved_model.SERVING], str(self.path)
                )
        except _DAMAGES as error:
            self._session.close()
            raise ValueError(
                "The SavedModel cannot be loaded: a file in it is damaged or missing. Export it "
                f"again. Received: {self.path}: {first_line(error)}"
            ) from error
        self.definitions: Mapping[str, Any] = dict(meta.signature_def)
        self.signatures: Mapping[str, Any] = {
            name: signature
            for name, signature in self.definitions.items()
            if signature.method_name  # else it is `__saved_model_init_op`
        }
        self._pool: ThreadPoolExecutor | None = None
        if parts > 1 and not tf.config.list_physical_devices("GPU"):
            self._pool = ThreadPoolExecutor(parts, thread_name_prefix="part")
        self._parts = parts

    def run(
        self,
        signature: str,
        inputs: Mapping[str, np.ndarray],
        outputs: Sequence[str] | None = None,
        timeout: float | None = None,
    ) -> dict[str, np.ndarray]:
        """Answers a request.

        Args:
            signature: its name, such as `serving_default`.
            inputs: an array for each input of the signature; strings as an object array of bytes.
            outputs: names of the outputs to compute; all if None.
            timeout: seconds after which the call fails; unlimited if None.

        Returns:
            An array for each output; strings as object arrays of bytes.

        Raises:
            KeyError: no such signature, or no such output.
            tf.errors.OpError: an error in the graph; `DeadlineExceededError` for a timeout,
                `InvalidArgumentError` for invalid inputs.
            ValueError: an array with a shape that the signature does not take.
        """
        asked = self.signatures[signature]
        names = list(outputs or asked.outputs)
        end = None if timeout is None else time.monotonic() + timeout

        def answer(part: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            feeds = {asked.inputs[name].name: value for name, value in part.items()}
            options = None
            if end is not None:
                left = max(1, int(1000 * (end - time.monotonic())))
                options = tf.compat.v1.RunOptions(timeout_in_ms=left)
            fetches = {name: asked.outputs[name].name for name in names}
            return self._session.run(fetches, feeds, options=options)

        given = self._divided(asked, inputs, names)
        if len(given) == 1:
            return answer(inputs)
        assert self._pool is not None
        answers = list(self._pool.map(answer, given))
        for part, answered in zip(given, answers, strict=True):
            rows = len(next(iter(part.values())))
            if any(len(value) != rows for value in answered.values()):
                return answer(inputs)  # not row by row, such as the splits of ragged rows
        return {name: np.concatenate([part[name] for part in answers]) for name in names}

    def _divided(
        self, asked: Any, inputs: Mapping[str, np.ndarray], outputs: Sequence[str]
    ) -> list[Mapping[str, np.ndarray]]:
        """The parts of a request: the whole, if it is small or cannot be divided by rows."""
        counts = {np.shape(value)[:1] for value in inputs.values()}
        if self._pool is None or len(counts) != 1 or () in counts:
            return [inputs]
        number = min(self._parts, counts.pop()[0] // _FEWEST)
        shapes = [asked.outputs[name].tensor_shape for name in outputs]
        if number < 2 or not all(_is_of_rows(shape) for shape in shapes):
            return [inputs]
        pieces = {name: np.array_split(value, number) for name, value in inputs.items()}
        return [{name: piece[i] for name, piece in pieces.items()} for i in range(number)]

    def close(self) -> None:
        """Frees the variables and tables; running calls end with an error."""
        if self._pool is not None:
            self._pool.shutdown(wait=False)
        self._session.close()


def divide_cores(requests: int) -> int:
    """Divides the cores of this machine among requests that are answered at the same time.

    An operation then uses the share of its request. More cores finish a large operation sooner, but
    those on a short text wait longer for one another than they compute. To be called before
    TensorFlow computes anything in this process. Where the environment has
    `TF_NUM_INTRAOP_THREADS`, that stands.

    Returns:
        In how many parts a large request can be divided to use all cores: the `parts` of
        `SavedSession`.
    """
    if os.environ.get("TF_NUM_INTRAOP_THREADS"):
        return 1
    cores = os.cpu_count() or 1
    share = max(1, cores // requests)
    os.environ["TF_NUM_INTRAOP_THREADS"] = str(share)
    return cores // share


def _is_of_rows(shape: Any) -> bool:
    """Whether a tensor has a row for each of a request, all of one size."""
    sizes = [dimension.size for dimension in shape.dim]
    return not shape.unknown_rank and sizes[:1] == [-1] and -1 not in sizes[1:]


def _session_config() -> tf.compat.v1.ConfigProto:
    """Leaves out passes of TensorFlow's graph optimizer that take time and gain none here.

    The first answer of a signature waits for the optimizer. Its other passes are run twice, as by
    default, because the second fuses GELU with the products that the first has fused with biases.
    """
    config = tf.compat.v1.ConfigProto()
    passes = config.graph_options.rewrite_options
    passes.constant_folding = passes.OFF
    passes.memory_optimization = passes.NO_MEM_OPT
    passes.disable_tfg_optimizer = True
    return config


def first_line(error: BaseException) -> str:
    """Returns the first line of an error's message, or its type if there is no message."""
    return (str(error).splitlines() or [""])[0] or type(error).__name__
