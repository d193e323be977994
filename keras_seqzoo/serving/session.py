"""`SavedSession` loads a SavedModel as TensorFlow Serving does, into a session of its own."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from keras_seqzoo.quiet import logging_from

# Errors from reading a damaged SavedModel, in Python, in protobuf and in C++.
_DAMAGES = (OSError, ValueError, RuntimeError, KeyError, IndexError, tf.errors.OpError)


class SavedSession:
    """A SavedModel in a session: restored variables, tables, and the functions of its signatures.

    It uses neither Keras nor an object graph. Several threads may call `run` at once.

    Args:
        path: the folder of a version.

    Attributes:
        path: the folder of the version.
        signatures: by name, `tensorflow.SignatureDef` messages: names, dtypes and shapes of inputs
            and outputs, and the API of the signature.
        definitions: the same with `__saved_model_init_op`, which takes no requests.

    Raises:
        FileNotFoundError: no SavedModel there.
        ValueError: one of its files is damaged or missing, or it needs unregistered ops.
    """

    def __init__(self, path: str | os.PathLike[str]):
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
        fetches = {name: asked.outputs[name].name for name in outputs or asked.outputs}
        feeds = {asked.inputs[name].name: value for name, value in inputs.items()}
        options = None
        if timeout is not None:
            options = tf.compat.v1.RunOptions(timeout_in_ms=max(1, int(timeout * 1000)))
        return self._session.run(fetches, feeds, options=options)

    def close(self) -> None:
        """Frees the variables and tables; running calls end with an error."""
        self._session.close()


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
