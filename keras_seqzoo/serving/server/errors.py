"""`RequestError`: what becomes of errors, with TensorFlow Serving's codes in HTTP."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from keras_seqzoo.serving.protocol import ErrorCode
from keras_seqzoo.serving.session import first_line

# tensorflow_serving/model_servers/http_server.cc
_STATUSES = {
    "CANCELLED": 499,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "UNAUTHENTICATED": 401,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "ABORTED": 409,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
}


class RequestError(Exception):
    """An error that the client is told of.

    Args:
        message: what is wrong.
        code: TensorFlow's name for this kind of error.
        status: the HTTP status; by default the one that TensorFlow Serving gives to `code`.
        headers: further headers of the reply.
    """

    def __init__(
        self,
        message: str,
        code: str = "INVALID_ARGUMENT",
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
    ):
        super().__init__(message)
        self.message = message
        self.code = code
        self.status = status or _STATUSES.get(code, 500)
        self.headers = dict(headers or {})

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


def from_graph(error: tf.errors.OpError) -> RequestError:
    """Says an error of a graph as TensorFlow Serving does."""
    # Session.run adds names of source files; the error it came from has the message alone.
    cause = error.__context__ if isinstance(error.__context__, tf.errors.OpError) else error
    return RequestError(cause.message, ErrorCode(error.error_code).name)


def from_loading(error: BaseException) -> RequestError:
    """Says why a version could not be loaded, in one line."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, tf.errors.OpError):
        cause = cause.__cause__
    if cause is not None:
        code = ErrorCode(cause.error_code).name
    else:
        code = "NOT_FOUND" if isinstance(error, FileNotFoundError) else "UNKNOWN"
    return RequestError(first_line(error), code)
