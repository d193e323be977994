"""What a version answers: Predict, Classify, Regress, and the description of its signatures."""

from __future__ import annotations

import time
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import json_format

from keras_seqzoo.serving.server import examples, rest
from keras_seqzoo.serving.server.errors import RequestError, from_graph
from keras_seqzoo.serving.server.store import Lease
from keras_seqzoo.serving.session import SavedSession, first_line


class Deadline:
    """The time until which a request is to be answered.

    Args:
        seconds: from now.
    """

    def __init__(self, seconds: float):
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Returns the seconds that are left, at least 0."""
        return max(0.0, self._end - time.monotonic())

    def error(self) -> RequestError:
        """Returns the error of a request that took longer."""
        return RequestError(
            f"The request was not answered within {self.seconds:g} s (--timeout).",
            "DEADLINE_EXCEEDED",
        )


def too_large(most: int) -> RequestError:
    """Returns the error of a request with too large a body.

    Args:
        most: bytes that a body may have.
    """
    return RequestError(
        f"A request's body must have at most {most} bytes. Send it in several requests, or start "
        "the server with a higher --max-body-mb.",
        "RESOURCE_EXHAUSTED",
        status=413,
    )


def inflate(body: bytes, most: int) -> bytes:
    """Unpacks a body that was sent with `Content-Encoding: gzip`.

    Raises:
        RequestError: not in gzip's format, or larger than `most` bytes.
    """
    try:
        unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        unpacked = unpacker.decompress(body, most + 1)
    except zlib.error as error:
        raise RequestError("Failed to uncompress the gzipped body") from error
    if len(unpacked) > most:
        raise too_large(most)
    return unpacked


def answer(
    verb: str, body: bytes, lease: Lease | RequestError, most_rows: int, deadline: Deadline
) -> bytes:
    """Answers a request.

    Args:
        verb: `predict`, `classify` or `regress`.
        body: JSON.
        lease: the version that answers, or why there is none. As in TensorFlow Serving, a body
            that cannot be read is the first thing to be said.
        most_rows: that a request may have.
        deadline: until when.

    Returns:
        JSON.

    Raises:
        RequestError: whatever the client is to be told.
    """
    document = rest.parse(body)
    signature = rest.read_signature(document)
    if verb == "predict":
        session = _session(lease)
        return _predict(session, signature, document, most_rows, deadline)
    rows = examples.read_examples(document, most_rows)
    session = _session(lease)
    run = _classify if verb == "classify" else _regress
    return run(session, signature, rows, deadline)


def _session(lease: Lease | RequestError) -> SavedSession:
    if isinstance(lease, RequestError):
        raise lease
    return lease.session


def _predict(
    session: SavedSession,
    signature: str,
    document: Mapping[str, Any],
    most_rows: int,
    deadline: Deadline,
) -> bytes:
    asked = session.signatures.get(signature)
    if asked is None:
        raise RequestError(f'Serving signature name: "{signature}" not found in signature def')
    if not asked.inputs:
        raise RequestError(f"Failed to get input map for signature: {signature}")
    dtypes = {name: tf.as_dtype(asked.inputs[name].dtype) for name in sorted(asked.inputs)}
    inputs, in_rows = rest.read_inputs(document, dtypes, most_rows)
    if set(inputs) != set(dtypes):
        given, wanted = ",".join(sorted(inputs)), ",".join(dtypes)
        missing = ",".join(sorted(set(dtypes) - set(inputs)))
        raise RequestError(
            f"input size does not match signature: {len(inputs)}!={len(dtypes)} "
            f"len({{{given}}}) != len({{{wanted}}}). Sent extra: {{}}. "
            f"Missing but required: {{{missing}}}."
        )
    return rest.write_outputs(_run(session, signature, inputs, deadline), in_rows)


def _classify(session: SavedSession, signature: str, rows: np.ndarray, deadline: Deadline) -> bytes:
    asked = _find(session, signature)
    _check_one_input(asked)
    if len(asked.outputs) not in (1, 2):
        raise RequestError(f"Expected one or two output Tensors, found {len(asked.outputs)}")
    if "inputs" not in asked.inputs:
        raise RequestError(f"No classification inputs found in SignatureDef: {asked}")
    wanted = [name for name in ("classes", "scores") if name in asked.outputs]
    if not wanted:
        raise RequestError(
            'Expected classification signature outputs to contain at least one of "classes" or '
            f'"scores". Signature was: {asked}'
        )
    outputs = _run(session, signature, {"inputs": rows}, deadline, wanted)
    return examples.write_classes(outputs, len(rows))


def _regress(session: SavedSession, signature: str, rows: np.ndarray, deadline: Deadline) -> bytes:
    asked = _find(session, signature)
    _check_one_input(asked)
    if len(asked.outputs) != 1:
        raise RequestError("Expected one output Tensor.")
    if "inputs" not in asked.inputs:
        raise RequestError(f"No regression inputs found in SignatureDef: {asked}")
    if "outputs" not in asked.outputs:
        raise RequestError(f"No regression outputs found in SignatureDef: {asked}")
    outputs = _run(session, signature, {"inputs": rows}, deadline)
    return examples.write_regressions(outputs["outputs"], len(rows))


def _find(session: SavedSession, signature: str) -> Any:
    asked = session.signatures.get(signature)
    if asked is None:
        raise RequestError(f"No signature was found with the name: {signature}")
    return asked


def _check_one_input(asked: Any) -> None:
    if len(asked.inputs) != 1:
        raise RequestError("Expected one input Tensor.")


def _run(
    session: SavedSession,
    signature: str,
    inputs: Mapping[str, np.ndarray],
    deadline: Deadline,
    outputs: list[str] | None = None,
) -> dict[str, np.ndarray]:
    left = deadline.left()
    if not left:
        raise deadline.error()
    try:
        answers = session.run(signature, inputs, outputs, timeout=left)
    except tf.errors.DeadlineExceededError as error:
        raise deadline.error() from error
    except tf.errors.OpError as error:
        raise from_graph(error) from error
    except ValueError as error:
        raise RequestError(first_line(error)) from error
    except RuntimeError as error:  # the session was closed
        raise RequestError("The server is shutting down.", "UNAVAILABLE") from error
    # TensorFlow gives a single string as bytes, whose zeros at the end NumPy would drop.
    return {
        name: np.array(value, object) if isinstance(value, bytes) else np.asarray(value)
        for name, value in answers.items()
    }


def describe(lease: Lease) -> bytes:
    """Writes the signatures of a version, as TensorFlow Serving's metadata."""
    signatures = {
        name: json_format.MessageToDict(
            signature,
            always_print_fields_with_no_presence=True,
            preserving_proto_field_name=True,
        )
        for name, signature in lease.session.definitions.items()
    }
    return rest.write(
        {
            "model_spec": {
                "name": lease.model,
                "signature_name": "",
                "version": str(lease.version),
            },
            "metadata": {"signature_def": {"signature_def": signatures}},
        }
    )
