"""A model that computes little, and servers of it on the loopback: REST here, gRPC beside it.

The REST one follows TensorFlow Serving's `g3doc/api_rest.md`, with the standard library.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

VERSIONS = (1, 2)
LABELS = {"stable": 1}
DEFAULT = "serving_default"
OUTPUTS = {
    DEFAULT: ("label", "probabilities", "probability"),
    "classify": ("classes", "scores"),
    "regress": ("outputs",),
    "embed": ("embedding",),
    "echo": ("same_bytes", "text"),
    "numbers": ("count", "odd", "wild"),
    "labels": ("labels", "probabilities"),
    "forecast": ("forecast",),
}


class Refused(Exception):  # noqa: N818
    """An error that a server answers with: a gRPC code's name and a message."""

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code, self.message = code, message


def compute(signature: str, texts: list[Any]) -> dict[str, np.ndarray]:
    """What the model says of texts, of pairs as if a tab stood between the two, of windows."""
    if signature == "forecast":
        return {"forecast": np.array(texts, np.float32)[:, -2:] / 3}
    texts = [b"\t".join(text) if isinstance(text, tuple) else text for text in texts]
    lengths = np.array([len(text) for text in texts])
    high = (1 / (1 + lengths)).astype(np.float32)
    both = np.stack([high, 1 - high], axis=1)
    same = np.array([*texts, None], object)[:-1]
    named = np.array([*(b"br\xc3\xa8f" if n < 4 else b"long" for n in lengths), None], object)[:-1]
    wild = np.array([[np.nan, np.inf, -np.inf, n] for n in lengths], np.float64)
    return {
        DEFAULT: {"label": named, "probability": high, "probabilities": both},
        "embed": {"embedding": np.stack([both, both / 7], axis=1)},
        "echo": {"text": same, "same_bytes": same},
        "labels": {
            "labels": np.array([[b"long" if n > 3 else b"", b""] for n in lengths], object),
            "probabilities": both,
        },
        "numbers": {"count": lengths.astype(np.int64), "odd": lengths % 2 == 1, "wild": wild},
        "classify": {"scores": both},
        "regress": {"outputs": high * 1000},
    }[signature]


class Loopback:
    """What both servers keep, for tests to look at and to change.

    Attributes:
        seen: of each request, the API's method, texts or pairs, signature, version and label.
        script: what the next requests meet in the place of an answer, one each; where it returns
            True, the answer follows.
        released: ends what hangs.
        overslept: whether something hung until it ended by itself.
        most_at_once: the highest number of requests in work at a time.
    """

    def __init__(self) -> None:
        self.seen: list[tuple[Any, ...]] = []
        self.headers: list[dict[str, str]] = []
        self.script: list[Callable[..., object]] = []
        self.released = threading.Event()
        self.overslept = False
        self.most_at_once = 0
        self._at_once = 0
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def in_work(self) -> Iterator[Callable[..., object] | None]:
        with self._lock:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            act = self.script.pop(0) if self.script else None
        try:
            yield act
        finally:
            with self._lock:
                self._at_once -= 1

    def hang(self) -> None:
        if not self.released.wait(20):
            self.overslept = True

    def look_up(
        self, method: str, model: str, texts: list[Any], signature: str, version: Any, label: Any
    ) -> None:
        with self._lock:
            self.seen.append((method, texts, signature, version, label))
        if model != "reviews" or version not in (None, *VERSIONS) or label not in (None, *LABELS):
            raise Refused("NOT_FOUND", f"Servable not found for request: Latest({model})")
        if signature not in ("", *OUTPUTS):
            raise Refused("INVALID_ARGUMENT", f'Serving signature name: "{signature}" not found')


def free_port() -> int:
    """A port of the loopback on which nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def decimal(value: float) -> float:
    """A float32 as TensorFlow Serving's JSON has it."""
    short = float(f"{value:.6g}")
    same = np.float32(short) == np.float32(value)
    return short if same or np.isnan(value) else float(f"{value:.9g}")


def to_json(name: str, array: np.ndarray) -> Any:
    """One row of an output."""
    if array.ndim:
        return [to_json(name, np.asarray(row, array.dtype)) for row in array]
    value = array.item()
    if isinstance(value, bytes):
        if name.endswith("_bytes"):
            return {"b64": base64.b64encode(value).decode()}
        return value.decode("utf-8", "surrogateescape")
    return decimal(value) if array.dtype == np.float32 else value


def to_text(row: Any) -> Any:
    """A text of a request, or a pair of them."""
    if not isinstance(row, dict):
        return row.encode() if isinstance(row, str) else row
    if "b64" in row:
        return base64.b64decode(row["b64"])
    texts = tuple(to_text(row[name]) for name in ("text", "text_pair") if name in row)
    return texts if len(texts) > 1 else texts[0]


class RestServer(Loopback):
    """The REST API.

    Attributes:
        connections: how many were opened.
        hung_up: set when a client closes the connection before `drips` has ended.
    """

    kind = "http"

    def __init__(self, port: int = 0, tls: tuple[str, str] | None = None):
        super().__init__()
        self.connections = 0
        self.hung_up = threading.Event()
        owner = self

        class Handler(_Handler):
            loopback = owner

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        scheme = "https" if tls else "http"
        self.url = f"{scheme}://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def refuse_next(self, code: str, times: int = 1) -> None:
        self.script += [busy(_STATUS[code])] * times

    def hang_next(self) -> None:
        self.script.append(lambda _: self.hang())


_STATUS = {
    "INVALID_ARGUMENT": 400,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
    "UNAVAILABLE": 503,
    "INTERNAL": 500,
}
_PATH = re.compile(
    r"/v1/models/([^/:]+)(?:/versions/(\d+)|/labels/([^/:]+))?(?::(predict|classify|regress)|(/metadata)?)"
)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    loopback: RestServer

    def setup(self) -> None:
        super().setup()
        self.loopback.connections += 1

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.do_POST()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.loopback.headers.append({k.lower(): v for k, v in self.headers.items()})
        with self.loopback.in_work() as act:
            if act is None or act(self):
                self.answer(body)

    def answer(self, body: bytes) -> None:
        found = _PATH.fullmatch(self.path)
        if not found:
            self.reply(404, b"<HTML><HEAD><TITLE>404 Not Found</TITLE></HEAD></HTML>", "text/html")
            return
        model, version, label, method, metadata = found.groups()
        request = json.loads(body) if body else {}
        texts = [to_text(row) for row in request.get("instances") or request.get("examples", [])]
        signature = request.get("signature_name", "")
        method = method or (metadata or "/status").strip("/")
        try:
            self.loopback.look_up(
                method, model, texts, signature, int(version) if version else None, label
            )
            document = getattr(self, method)(signature or DEFAULT, texts, version)
        except Refused as error:
            self.reply_json({"error": error.message}, _STATUS[error.code])
        else:
            self.reply_json(document)

    def predict(self, signature: str, texts: list[Any], _: Any) -> Any:
        outputs = compute(signature, texts)
        rows = [
            {name: to_json(name, np.array(array[i])) for name, array in outputs.items()}
            for i in range(len(texts))
        ]
        alone = len(outputs) == 1
        return {"predictions": [next(iter(row.values())) for row in rows] if alone else rows}

    def regress(self, signature: str, texts: list[Any], _: Any) -> Any:
        return {"results": [decimal(n) for n in compute(signature, texts)["outputs"]]}

    def classify(self, signature: str, texts: list[Any], _: Any) -> Any:
        names = ["brève", "longue"]
        scores = compute(signature, texts)["scores"]
        return {"results": [[[n, decimal(s)] for n, s in zip(names, row)] for row in scores]}  # noqa: B905

    def metadata(self, *_: Any) -> Any:
        def tensor(dtype: str, *sizes: int) -> Any:
            dims = [{"size": str(size), "name": ""} for size in sizes]
            shape = {"dim": dims, "unknown_rank": False}
            return {"dtype": dtype, "tensor_shape": shape, "name": "a:0"}

        default = {
            "inputs": {"text": tensor("DT_STRING", -1)},
            "outputs": {
                "probabilities": tensor("DT_FLOAT", -1, 2),
                "label": tensor("DT_STRING", -1),
            },
            "method_name": "tensorflow/serving/predict",
            "defaults": {},
        }
        unknown = {"dtype": "DT_BFLOAT16", "tensor_shape": {"dim": [], "unknown_rank": True}}
        loose = {"inputs": {"x": unknown}, "outputs": {}, "method_name": "m"}
        init = {"inputs": {}, "outputs": {"__saved_model_init_op": tensor("DT_INVALID")}}
        signatures = {DEFAULT: default, "loose": loose, "__saved_model_init_op": init}
        spec = {"name": "reviews", "signature_name": "", "version": "2"}
        return {"model_spec": spec, "metadata": {"signature_def": {"signature_def": signatures}}}

    def status(self, _signature: str, _texts: Any, version: Any) -> Any:
        good = {"error_code": "OK", "error_message": ""}
        bad = {"error_code": "INTERNAL", "error_message": "no such op"}
        versions = [
            {"version": "2", "state": "END", "status": bad},
            {"version": "1", "state": "AVAILABLE", "status": good},
        ]
        return {"model_version_status": [v for v in versions if version in (None, v["version"])]}

    def reply_json(self, document: Any, status: int = 200, **headers: str) -> None:
        text = json.dumps(document, indent=4, ensure_ascii=False)
        body = text.encode("utf-8", "surrogateescape")
        self.reply(status, body, "application/json", **headers)

    def reply(self, status: int, body: bytes, kind: str, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)


def busy(status: int, **headers: str) -> Callable[[Any], None]:
    """An error, as TensorFlow Serving words it."""
    return lambda handler: handler.reply_json({"error": "come again"}, status, **headers)


def says(body: bytes, status: int = 200, **headers: str) -> Callable[[Any], None]:
    """A reply of any bytes."""
    return lambda handler: handler.reply(status, body, "text/html", **headers)


def breaks_off(handler: Any) -> None:
    """Half of the reply that was announced."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"predictions": [')
    handler.close_connection = True


def hangs_up(handler: Any) -> None:
    """No reply; the connection is closed."""
    handler.close_connection = True


def drips(handler: Any) -> None:
    """A right answer, a byte every hundredth of a second: within every pause of a timeout."""
    body = b'{"predictions": [1.0' + b" " * 1000 + b"]}"
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    try:
        for byte in body:
            handler.wfile.write(bytes([byte]))
            handler.loopback.released.wait(0.01)
    except OSError:
        handler.loopback.hung_up.set()
