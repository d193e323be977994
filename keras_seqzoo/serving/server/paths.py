"""`read_path`: which model a URL means, and what it wants of it, as TensorFlow Serving reads it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from keras_seqzoo.serving.server.errors import RequestError

API = re.compile("/v1/.*", re.IGNORECASE)

_WHICH = r"(?:/versions/(?P<version>[0-9]+)|/labels/(?P<label>[^/:]+))?"
_ASK = re.compile(
    rf"/v1/models/(?P<model>[^/:]+){_WHICH}:(?P<verb>classify|regress|predict)", re.IGNORECASE
)
_LOOK = re.compile(rf"/v1/models(?:/(?P<model>[^/:]+))?{_WHICH}(?:/(?P<verb>metadata))?", re.I)
_MOST = 2**63 - 1


@dataclass(frozen=True)
class Call:
    """What a URL asks for.

    Attributes:
        model: the model's name.
        verb: `predict`, `classify`, `regress`, `metadata` or `status`.
        version: the version asked for, if one is.
        label: the label asked for, if one is.
    """

    model: str
    verb: str
    version: int | None = None
    label: str | None = None


def read_path(method: str, target: str) -> Call:
    """Reads a request's method and target.

    Args:
        method: of HTTP.
        target: path and query as they were sent, percent-encoded. TensorFlow Serving takes a query
            for a part of the path.

    Raises:
        RequestError: the path is none of the API's, or the version is no number of 64 bits.
    """
    pattern = {"POST": _ASK, "GET": _LOOK}.get(method)
    match = pattern.fullmatch(target) if pattern else None
    # The names of methods are matched in any case, but carried out in lower case only.
    if match is None or (method == "POST" and not match["verb"].islower()):
        raise RequestError(f"Malformed request: {method} {target}")
    version = None if match["version"] is None else _read_version(match["version"])
    if not match["model"]:
        raise RequestError("Missing model name in request. The models are listed at /.")
    verb = match["verb"]
    if method == "GET" and verb != "metadata":
        verb = "status"
    label = None if match["label"] is None else unquote(match["label"])
    return Call(unquote(match["model"]), verb, version, label)


def _read_version(digits: str) -> int:
    # Python refuses to read thousands of digits.
    significant = digits.lstrip("0") or "0"
    if len(significant) > len(str(_MOST)) or int(significant) > _MOST:
        raise RequestError(f"Failed to convert version: {digits} to numeric.")
    return int(significant)
