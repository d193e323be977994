"""Odd texts and odd requests to a server in this process; `benchmarks/serving_fuzz.py` in small."""

from __future__ import annotations

import contextlib
import importlib
import math
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from keras_seqzoo.serving.server.app import Limits, create_app
from keras_seqzoo.serving.server.sources import in_folder
from keras_seqzoo.serving.server.store import ModelStore

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
CLASSES = ["negative", "positive"]
LIMITS = Limits(max_body_bytes=2**18, max_batch=100, threads=2, timeout=5.0)


@pytest.fixture(scope="module")
def fuzz() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        yield importlib.import_module("serving_fuzz")


@pytest.fixture(scope="module")
def port(tiny_export: Path) -> Iterator[int]:
    store = ModelStore(in_folder(tiny_export.parents[1]))
    store.refresh()
    with _serve(create_app(store, LIMITS)) as port:
        yield port
    store.close()


@contextlib.contextmanager
def _serve(app: Any) -> Iterator[int]:
    config = uvicorn.Config(app, http="h11", ws="none", log_config=None, access_log=False)
    server = uvicorn.Server(config)
    # asyncio sends replies at once (TCP_NODELAY) only where the socket names its protocol.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield listener.getsockname()[1]
        server.should_exit = True
        thread.join()


@pytest.mark.slow
def test_odd_texts(fuzz: Any, port: int) -> None:
    report = fuzz.fuzz_texts(port, "reviews", CLASSES, 300, seed=1, compare=60)
    assert report.problems == []
    assert sum(report.sent.values()) == 300
    assert len(report.sent) > 8
    assert report.compared > 30


@pytest.mark.slow
def test_texts_as_long_as_a_request(fuzz: Any, port: int) -> None:
    report = fuzz.fuzz_huge_texts(port, "reviews", CLASSES, LIMITS.max_body_bytes, seed=1)
    assert report.problems == []
    assert len(report.sent) > 5


@pytest.mark.slow
def test_odd_requests(fuzz: Any, port: int) -> None:
    report = fuzz.fuzz_requests(
        port, "reviews", CLASSES, 150, 1, LIMITS.max_body_bytes, LIMITS.max_batch
    )
    assert report.problems == []
    assert sum(report.sent.values()) == 150
    assert {"2xx", "4xx"} <= {outcome for _, outcome in report.came}


GOOD = {"label": "positive", "probability": 0.75, "probabilities": [0.25, 0.75]}


@pytest.mark.parametrize(
    "answer",
    [
        {**GOOD, "probabilities": [math.nan, math.nan]},
        {**GOOD, "probabilities": [0.3, 0.75]},
        {**GOOD, "probabilities": [1.0]},
        {**GOOD, "label": "negative"},
        {**GOOD, "label": "neutral"},
        {**GOOD, "probability": 0.7},
    ],
)
def test_wrong_answers_are_noticed(fuzz: Any, answer: dict[str, Any]) -> None:
    check = importlib.import_module("serving_fuzz_texts").check_answers
    assert check([GOOD], 1, CLASSES) == ""
    assert "1 answers to 2 texts" in check([GOOD], 2, CLASSES)
    assert "answer 1" in check([GOOD, answer], 2, CLASSES)


def _reply(status: int, body: bytes, kind: str = "application/json") -> bytes:
    head = f"HTTP/1.1 {status} x\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


ERROR = _reply(400, b'{"error": "a"}')


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        (ERROR, ""),
        (_reply(500, b'{"error": "a"}'), "the server's fault"),
        (_reply(400, b"Invalid", "text/plain"), "not declared as JSON"),
        (_reply(400, b"{"), "not JSON"),
        (_reply(400, b"{}"), "no error message"),
        (b"", "closed after 0 of 1 replies"),
        (ERROR[:-3], "broken HTTP"),
        (b"Sorry\r\n\r\n", "broken HTTP"),
    ],
)
def test_wrong_replies_are_noticed(fuzz: Any, reply: bytes, problem: str) -> None:
    odd = fuzz.Odd("a", b"POST / HTTP/1.1\r\nHost: a\r\n\r\n")
    with _say(reply) as port:
        found = fuzz.judge(odd, *fuzz.exchange(port, odd))[1]
    assert problem in found
    assert bool(problem) == bool(found)


@contextlib.contextmanager
def _say(reply: bytes) -> Iterator[int]:
    """A server that answers one connection, whatever comes, and closes it."""

    def answer() -> None:
        connection = listener.accept()[0]
        with connection:
            connection.recv(2**16)
            connection.sendall(reply)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()
