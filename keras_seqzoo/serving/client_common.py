"""What the clients' transports share: calls, failures, retries, and the checks of arguments."""

from __future__ import annotations

import math
import os
import random
import re
import reprlib
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from keras_seqzoo.checks import check_not_negative
from keras_seqzoo.serving import protocol

LONGEST_PAUSE = 10.0
MOST_REPLY_BYTES = 64 * 2**20

Text = str | bytes
# A text, a pair of texts, or a window of numbers.
Row = tuple[Any, ...]

_HEADER_NAME = re.compile(r"[A-Za-z0-9_.-]+")


class ServingError(RuntimeError):
    """The server answered with an error, or with an invalid reply.

    Attributes:
        message: what the server said, or what is wrong with its reply.
        status: an HTTP status code such as 404, or the name of a gRPC code such as `"NOT_FOUND"`.
    """

    def __init__(self, message: str, status: int | str):
        super().__init__(message, status)
        self.message = message
        self.status = status

    def __str__(self) -> str:
        return f"{self.message} (status {self.status})"


class UnavailableError(ServingError, ConnectionError):
    """gRPC's `UNAVAILABLE`: the server cannot be reached, or says that it cannot answer now."""


def install_hint(package: str) -> ImportError:
    """Returns the error for a library that is not installed."""
    return ImportError(
        'The client needs a library that is not installed. pip install "keras-seqzoo[client]". '
        f"Received: no {package}"
    )


@dataclass(frozen=True)
class Target:
    """Which model to ask, and how to reach it; the values are checked at creation.

    Attributes:
        url: the server's address, without a slash at its end.
        model: the model's name.
        version: a version of the model, or None.
        label: a version's label, or None.
        signature: the signature to ask, or None.
        input_name: the input that takes the texts or windows; `text` or `values` if None.
        pair_name: the input that takes the second texts of pairs.
        headers: headers of each request.
        ca_file: certificates to trust, in PEM format; the system's if None.

    Raises:
        FileNotFoundError: no such `ca_file`.
        ValueError: an argument out of range.
    """

    url: str
    model: str
    version: int | None
    label: str | None
    signature: str | None
    input_name: str | None
    pair_name: str
    headers: Mapping[str, str]
    ca_file: str | os.PathLike[str] | None

    def __post_init__(self) -> None:
        object.__setattr__(self, "url", _check_url(self.url))
        for name in ("model", "input_name", "pair_name", "label", "signature"):
            value = getattr(self, name)
            optional = name in ("input_name", "label", "signature")
            if not (optional and value is None) and (not isinstance(value, str) or not value):
                raise ValueError(f"`{name}` must be a name, not empty. Received: {name}={value!r}")
        if self.version is not None and self.label is not None:
            raise ValueError(
                "A version is named by its number or by a label. Pass one of them. "
                f"Received: version={self.version!r}, label={self.label!r}"
            )
        if self.version is not None:
            check_not_negative(version=self.version)
        for name, value in self.headers.items():
            if not (_HEADER_NAME.fullmatch(name) and value.isascii() and value.isprintable()):
                raise ValueError(
                    "`headers` must have names of letters, digits, `-`, `_` and `.`, and values of "
                    f"printable ASCII. Received: {name!r} and its value"
                )
        if self.ca_file is not None and not Path(self.ca_file).is_file():
            raise FileNotFoundError(
                f"`ca_file` must be a file of certificates. Received: {self.ca_file}"
            )

    def columns(self, rows: Sequence[Row]) -> dict[str, list[Any]]:
        """Returns the texts or windows by the input that takes them."""
        default = "values" if isinstance(rows[0][0], np.ndarray) else "text"
        names = (self.input_name or default, self.pair_name)[: len(rows[0])]
        return {name: [row[place] for row in rows] for place, name in enumerate(names)}

    @property
    def scheme(self) -> str:
        """`http`, `https`, `grpc` or `grpcs`."""
        return urlsplit(self.url).scheme


def _check_url(url: str) -> str:
    rule = "`url` must be the server's, such as http://host:8501 or grpc://host:8500"
    received = f"Received: url={re.sub('//[^/]*@', '//…@', repr(url))}"  # no password
    try:
        parts = urlsplit(url)
        port = parts.port
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"{rule}. {received}: {error}") from error
    grpc = parts.scheme in ("grpc", "grpcs")
    if not isinstance(url, str) or not (grpc or parts.scheme in ("http", "https")):
        raise ValueError(f"{rule}; also https:// and grpcs://. {received}")
    if not parts.hostname or any(c.isspace() for c in url):
        raise ValueError(f"{rule}. {received}")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError(
            f"{rule}, without a user's name, `?` and `#`. Pass credentials in `headers`. {received}"
        )
    if grpc and (port is None or parts.path.strip("/")):
        raise ValueError(f"{rule}: gRPC takes only a host and a port. {received}")
    if "/v1/models" in parts.path:
        raise ValueError(f"{rule}, without /v1/models: the client adds that part. {received}")
    return url.rstrip("/")


@dataclass(frozen=True)
class Call:
    """A request of one of the APIs, and how to read its reply.

    Attributes:
        path: the path under the server's URL, or the full name of a gRPC method.
        body: the body; None for a GET.
        read: turns the reply's body into the answer.
    """

    path: str
    body: bytes | None
    read: Callable[[bytes], Any]


@dataclass(frozen=True)
class Failure:
    """Why an attempt got no reply.

    Attributes:
        error: the error to raise if there is no other attempt.
        retry: whether another attempt may help.
        after: seconds to wait, if the server asked for a pause.
    """

    error: Exception
    retry: bool = False
    after: float | None = None


def timed_out(url: str) -> Failure:
    """Returns the failure of a request that took too long."""
    return Failure(
        TimeoutError(
            "The server did not answer in time. Raise `timeout`, or lower `batch_size`. "
            f"Received: no whole answer from {url}"
        )
    )


def too_long(status: int | str) -> Failure:
    """Returns the failure of a request that is too long, or whose reply is."""
    return Failure(
        ServingError(
            "A message must not be longer than its receiver accepts; the client accepts "
            f"{MOST_REPLY_BYTES // 2**20} MB. Lower `batch_size`. Received: more",
            status,
        )
    )


@dataclass(frozen=True)
class Retries:
    """When to send a request again.

    Attributes:
        timeout: seconds for a request, all its attempts and the pauses between them.
        retries: how many attempts may follow the first.
        backoff: longest pause before the second attempt; each later pause is twice as long, 10 s at
            most. The client waits a random part of it, at least half.

    Raises:
        ValueError: a number out of range.
    """

    timeout: float
    retries: int
    backoff: float

    def __post_init__(self) -> None:
        check_not_negative(retries=self.retries)
        for name, value in (("timeout", self.timeout), ("backoff", self.backoff)):
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not number or not math.isfinite(value) or value <= 0:
                raise ValueError(
                    f"`{name}` must be a number of seconds above 0. Received: {name}={value!r}"
                )


class Attempts:
    """The attempts of one request, which starts now."""

    def __init__(self, policy: Retries):
        self._policy = policy
        self._deadline = time.monotonic() + policy.timeout
        self._made = 0

    def seconds_left(self) -> float:
        """Returns how long the next attempt may take, above 0."""
        return max(self._deadline - time.monotonic(), 0.001)

    def pause(self, failure: Failure) -> float:
        """Returns how many seconds to wait before the next attempt.

        Raises:
            Exception: the failure's error, if another attempt would not help, no attempts are left,
                or the pause would exceed the time left.
        """
        if not failure.retry or self._made >= self._policy.retries:
            raise failure.error
        longest = min(self._policy.backoff * 2.0**self._made, LONGEST_PAUSE)
        seconds = (failure.after or 0.0) + random.uniform(longest / 2, longest)
        if time.monotonic() + seconds >= self._deadline:
            raise failure.error
        self._made += 1
        return seconds


def as_rows(texts: Any, windows: bool = False) -> list[Row]:
    """Makes a list of texts, of pairs or of windows, each a tuple.

    Args:
        texts: texts; or pairs as `preprocessing.base.as_pairs` takes them: a tuple of two columns
            of texts, or rows of two texts; or windows of numbers `(rows, window, columns)`, or a
            `SeriesTable`.
        windows: whether windows are allowed.

    Raises:
        TypeError: a single string, or something that is not a string or a pair of them.
        ValueError: a string that UTF-8 cannot express, columns that differ in length, or windows
            of another shape.
    """
    if windows and callable(getattr(texts, "windows", None)):
        texts = texts.windows()  # of a SeriesTable, which is not imported
    if not windows and _has_numbers(texts):
        raise TypeError(
            "The Classify and Regress APIs take texts. Ask about windows with predict. "
            f"Received: texts={beginning(texts)}"
        )
    if windows and _has_numbers(texts):
        try:
            numbers = np.asarray(texts, np.float32)
        except ValueError as error:
            raise ValueError(f"All windows must have one shape. Received: {error}") from error
        if numbers.ndim != 3:
            raise ValueError(
                "Windows must have the shape (rows, window, columns), like table.windows(). "
                f"Received: shape {numbers.shape}"
            )
        return [(window,) for window in numbers]
    if isinstance(texts, tuple) and len(texts) == 2 and not any(map(_is_string, texts)):
        first, second = map(as_texts, texts)
        if len(first) != len(second):
            raise ValueError(
                "Every first text needs a second one. Check how the two were made. "
                f"Received: {len(first)} first texts, {len(second)} second texts"
            )
        return list(zip(first, second, strict=True))
    if isinstance(texts, Iterable) and not isinstance(texts, (str, bytes, Mapping)):
        listed = np.asarray(texts).tolist() if hasattr(texts, "shape") else list(texts)
        if listed and isinstance(listed[0], Collection) and not _is_string(listed[0]):
            return _as_pairs(listed)
        texts = listed
    return [(text,) for text in as_texts(texts)]


def _has_numbers(values: Any, depth: int = 0) -> bool:
    """Whether the values are an array of numbers, or nested lists of them."""
    if hasattr(values, "dtype"):
        return np.asarray(values).dtype.kind in "iuf" and depth + np.ndim(values) > 1
    if isinstance(values, (list, tuple)) and values:
        return _has_numbers(values[0], depth + 1)
    return isinstance(values, (int, float)) and depth > 1


def _is_string(value: Any) -> bool:
    return isinstance(value, (str, bytes))


def _as_pairs(rows: list[Any]) -> list[Row]:
    for place, row in enumerate(rows):
        if not isinstance(row, (Sequence, np.ndarray)) or _is_string(row) or len(row) != 2:
            raise TypeError(
                "A row of pairs must be two texts. Pass (firsts, seconds), or rows of pairs: "
                f"[(first, second), …]. Received: texts[{place}]={beginning(repr(row))}"
            )
    return list(zip(*(as_texts([row[side] for row in rows]) for side in (0, 1)), strict=True))


def as_texts(texts: Iterable[Text]) -> list[Text]:
    """Makes a list of texts.

    Raises:
        TypeError: a single string, or something that is not a string.
        ValueError: a string that UTF-8 cannot express.
    """
    if isinstance(texts, (str, bytes)):
        raise TypeError(
            "`texts` must be a list of texts, else each letter would be one. For a single text: "
            f"[text]. Received: {beginning(repr(texts))}"
        )
    if not isinstance(texts, Iterable) or isinstance(texts, Mapping):
        raise TypeError(f"`texts` must be a list of texts. Received: {beginning(repr(texts))}")
    listed = list(texts)
    for place, text in enumerate(listed):
        if not isinstance(text, (str, bytes)):
            raise TypeError(
                "Each text must be `str` or `bytes`. "
                f"Received: texts[{place}]={beginning(repr(text))}, a {type(text).__name__}"
            )
        if isinstance(text, str):
            try:
                text.encode()
            except UnicodeEncodeError as error:
                raise ValueError(
                    "A text must be expressible in UTF-8, which half a surrogate pair is not. "
                    'Replace it: text.encode("utf-8", "replace"). '
                    f"Received: texts[{place}] with {text[error.start]!a} at {error.start}"
                ) from error
    return listed


def beginning(value: Any) -> str:
    """Returns the beginning of a text, or of the `repr` of another value, for a message."""
    # Python's own way to write lists recurses as deep as they are nested.
    text = value if isinstance(value, str) else reprlib.repr(value)
    return text if len(text) <= 200 else f"{text[:200]}…"


def check_count(answers: list[Any], count: int, status: int | str) -> list[Any]:
    """Returns the answers if there is one for each text.

    Raises:
        ServingError: there are more, or fewer.
    """
    if len(answers) != count:
        raise ServingError(
            f"The server must answer each text once. Received: {len(answers)} answers to {count} "
            "texts",
            status,
        )
    return answers


def with_pieces(answers: list[Any]) -> list[Any]:
    """Turns every answer that lists pieces in columns into a list of dicts, one for each piece.

    A served tagger pads the columns after the last piece of a text; padding has the start -1.
    """
    first = answers[0] if answers else None
    if not isinstance(first, dict) or not {"label", "start", "end"} <= first.keys():
        return answers
    return [
        [
            piece
            for values in zip(*row.values(), strict=True)
            if (piece := dict(zip(row, values, strict=True)))["start"] >= 0
        ]
        for row in answers
    ]


def describe_signatures(signatures: Any) -> dict[str, dict[str, Any]]:
    """Turns a `SignatureDefMap` into plain dicts."""
    return {
        name: {
            "method": signature.method_name,
            "inputs": _describe_tensors(signature.inputs),
            "outputs": _describe_tensors(signature.outputs),
        }
        for name, signature in sorted(signatures.signature_def.items())
        if signature.method_name  # else it is `__saved_model_init_op`
    }


def _describe_tensors(tensors: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    described = {}
    for name, info in sorted(tensors.items()):
        shape = [None if dim.size < 0 else dim.size for dim in info.tensor_shape.dim]
        described[name] = {
            "dtype": protocol.dtype_name(info.dtype),
            "shape": None if info.tensor_shape.unknown_rank else shape,
        }
    return described


def describe_statuses(response: Any) -> list[dict[str, Any]]:
    """Turns a `GetModelStatusResponse` into plain dicts, the lowest version first."""
    described = []
    for entry in sorted(response.model_version_status, key=lambda entry: entry.version):
        status = entry.status
        error = status.error_message
        if status.error_code and not error:
            error = protocol.enum_name(protocol.ErrorCode, status.error_code)
        state = protocol.enum_name(protocol.VersionState, entry.state)
        described.append({"version": entry.version, "state": state, "error": error})
    return described
