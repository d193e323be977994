"""What the server takes, and what it answers where that is too much; metrics and log."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import numpy as np
import pytest
from predict_cases import ONE
from rest_cases import EXAMPLES
from servables import write_models
from starlette.testclient import TestClient

from keras_seqzoo.serving.server.app import Limits, create_app
from keras_seqzoo.serving.server.metrics import printable
from keras_seqzoo.serving.server.sources import in_config
from keras_seqzoo.serving.server.store import ModelStore
from keras_seqzoo.serving.session import SavedSession

PREDICT = "/v1/models/m:predict"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelStore]:
    store = ModelStore(in_config(write_models(tmp_path_factory.mktemp("models"))))
    store.refresh()
    yield store
    store.close()


def _chunks() -> Iterator[bytes]:
    yield from [b" " * 300] * 4


@pytest.mark.parametrize("body", [b" " * 1001, _chunks], ids=["declared", "chunked"])
def test_a_body_that_is_too_large(store: ModelStore, body: Any) -> None:
    with TestClient(create_app(store, Limits(max_body_bytes=1000))) as client:
        reply = client.post(PREDICT, content=body() if callable(body) else body)
        assert reply.status_code == 413
        assert "at most 1000 bytes" in reply.json()["error"]
        assert client.post(PREDICT, json=ONE).status_code == 200


@pytest.mark.parametrize(
    ("verb", "body"),
    [
        ("predict", {"instances": ["a"] * 4}),
        ("predict", {"inputs": ["a"] * 4}),
        ("classify", {"signature_name": "classify", "examples": [{"text": "a"}] * 4}),
    ],
)
def test_too_many_rows(store: ModelStore, verb: str, body: Any) -> None:
    with TestClient(create_app(store, Limits(max_batch=3))) as client:
        reply = client.post(f"/v1/models/m:{verb}", json=body)
        assert reply.status_code == 400
        assert "at most 3 rows" in reply.json()["error"]
        key = next(key for key, value in body.items() if isinstance(value, list))
        body = {**body, key: body[key][:3]}
        assert client.post(f"/v1/models/m:{verb}", json=body).status_code == 200


def test_a_context_is_not_multiplied_without_a_limit(store: ModelStore) -> None:
    body = {
        "signature_name": "classify",
        "context": {"note": "x" * 100_000},
        "examples": [{"text": "a"}] * 1000,
    }
    with TestClient(create_app(store)) as client:
        reply = client.post("/v1/models/m:classify", json=body)
        assert reply.status_code == 400
        assert "A context stands in each example" in reply.json()["error"]


@pytest.mark.parametrize("depth", [100, 900, 1_000, 100_000])
@pytest.mark.parametrize(
    "form",
    ['{{"instances": {0}}}', '{{"inputs": {0}}}', '{{"signature_name": {0}}}', '{0}',
     '{{"examples": [{{"text": {0}}}]}}', '{{"context": {0}, "examples": [{{}}]}}'],
)  # fmt: skip
def test_nested_requests_are_bad_requests(store: ModelStore, form: str, depth: int) -> None:
    body = form.format("[" * depth + "1" + "]" * depth)
    with TestClient(create_app(store)) as client:
        for verb in ("predict", "classify"):
            reply = client.post(f"/v1/models/m:{verb}", content=body)
            assert reply.status_code == 400
            assert len(reply.text) < 2_000


class Hanging:
    """Requests that hang in the graph of version 2, until they are released."""

    def __init__(self, client: TestClient, store: ModelStore):
        self.client = client
        self.replies: queue.Queue[Any] = queue.Queue()
        with store.lease("m", 2) as lease:
            self.session = lease.session

    def start(self) -> None:
        """Posts a request, and returns when it hangs."""
        body = {"signature_name": "wait", "instances": ["a"]}
        self.post(body, "/v1/models/m/versions/2:predict")
        self.session.run("arrived", {"text": np.array([b""], object)})

    def post(self, body: Any, path: str = PREDICT) -> None:
        """Posts a request in a thread of its own."""
        threading.Thread(target=lambda: self.replies.put(self.client.post(path, json=body))).start()

    def release(self) -> None:
        self.session.run("release", {"text": np.array([b"released"], object)})

    def reply(self) -> Any:
        """Returns the next reply that comes."""
        return self.replies.get(timeout=60)


def test_a_request_that_hangs_occupies_its_slot_only(store: ModelStore) -> None:
    limits = Limits(threads=2, max_queue=0)
    with TestClient(create_app(store, limits)) as client:
        hanging = Hanging(client, store)
        hanging.start()
        assert client.post(PREDICT, json=ONE).status_code == 200
        hanging.start()
        refused = client.post(PREDICT, json=ONE)
        assert client.get("/v1/models/m").status_code == 200
        assert client.get("/v1/models/m/metadata").status_code == 200
        hanging.release()
        assert hanging.reply().json() == {"predictions": ["released"]}
        hanging.release()
        assert hanging.reply().status_code == 200
        assert client.post(PREDICT, json=ONE).status_code == 200
    assert refused.status_code == 503
    assert int(refused.headers["retry-after"]) > 0
    assert "2 requests are being answered" in refused.json()["error"]


def test_requests_wait_in_a_queue_of_limited_length(store: ModelStore) -> None:
    with TestClient(create_app(store, Limits(threads=1, max_queue=1))) as client:
        hanging = Hanging(client, store)
        hanging.start()
        hanging.post(ONE)
        hanging.post(ONE)
        assert hanging.reply().status_code == 503
        hanging.release()
        assert sorted(hanging.reply().status_code for _ in range(2)) == [200, 200]


def test_a_graph_is_given_up_in_time(store: ModelStore) -> None:
    with TestClient(create_app(store, Limits(timeout=0.2))) as client:
        late = client.post(PREDICT, json={"signature_name": "hang", "instances": ["a"]})
    assert late.status_code == 504
    assert "0.2 s" in late.json()["error"]


def test_what_can_not_be_interrupted_is_given_up_too(
    store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread is stuck, but neither the client is, nor those that wait for the thread."""
    started, go_on, calls = threading.Event(), threading.Event(), []

    def run(self: SavedSession, signature: str, *args: Any, **kwargs: Any) -> Any:
        calls.append(signature)
        started.set()
        assert go_on.wait(60)
        return {"length": np.array([1], np.int32)}

    monkeypatch.setattr(SavedSession, "run", run)
    with TestClient(create_app(store, Limits(threads=1, max_queue=1, timeout=0.7))) as client:
        body = {"signature_name": "single", "instances": ["a"]}
        assert client.post(PREDICT, json=body).status_code == 504
        assert started.is_set()
        # The second must have left the queue, or the third would find it full.
        assert [client.post(PREDICT, json=body).status_code for _ in range(2)] == [504, 504]
        assert calls == ["single"]
        go_on.set()
        assert client.post(PREDICT, json=body).json() == {"predictions": [1]}


def test_defects_are_told_without_their_insides(
    store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: ModelStore, *args: Any) -> Any:
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr(ModelStore, "status", fail)
    lines: list[str] = []
    app = create_app(store, log=lines.append)
    reply = TestClient(app, raise_server_exceptions=False).get("/v1/models/m")
    assert (reply.status_code, reply.headers["content-type"]) == (500, "application/json")
    assert list(reply.json()) == ["error"]
    assert "secret" not in reply.text
    assert " 500 " in lines[0]


def test_metrics_and_log(store: ModelStore) -> None:
    lines: list[str] = []
    with TestClient(create_app(store, log=lines.append)) as client:
        client.post(PREDICT, json=ONE)
        client.post("/v1/models/m:classify", json=EXAMPLES)
        client.post("/v1/models/someone-elses:predict", json=ONE)
        hanging = Hanging(client, store)
        hanging.start()
        page = client.get("/monitoring/prometheus/metrics")
        hanging.release()
        hanging.reply()
    assert page.headers["content-type"].startswith("text/plain")
    for sample in (
        'keras_seqzoo_requests_total{code="200",method="predict",model="m"} 1.0',
        'keras_seqzoo_requests_total{code="400",method="classify",model="m"} 1.0',
        'keras_seqzoo_requests_total{code="404",method="predict",model=""} 1.0',
        'keras_seqzoo_request_seconds_count{method="predict",model="m"} 1.0',
        "keras_seqzoo_requests_in_flight 2.0",
        'keras_seqzoo_versions_loaded{model="m"} 2.0',
    ):
        assert sample in page.text.splitlines()
    assert "someone-elses" not in page.text
    method, path, code, milliseconds, ms, size, unit = lines[0].split()
    assert (method, path, code, ms, unit) == ("POST", PREDICT, "200", "ms", "B")
    assert float(milliseconds) > 0
    assert int(size) > 0


def test_log_lines_hold_one_line(store: ModelStore) -> None:
    lines: list[str] = []
    TestClient(create_app(store, log=lines.append)).get("/v1/models/" + "x" * 5000)
    assert len(lines[0]) < 300
    hostile = printable({"path": "/", "raw_path": b"/\x1b[31m\r\n\xff", "query_string": b"\x00"})
    assert hostile.isprintable()
    assert hostile.isascii()


@pytest.mark.parametrize(
    "wrong", [{"threads": 0}, {"max_batch": 0}, {"max_queue": -1}, {"timeout": 0}]
)
def test_limits_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Received: .*" + next(iter(wrong))):
        Limits(**wrong)


async def _never() -> Any:
    await asyncio.Event().wait()


async def _gone() -> Any:
    return {"type": "http.disconnect"}


@pytest.mark.parametrize(("receive", "code"), [(_never, 408), (_gone, 499)])
def test_a_body_that_does_not_come(
    store: ModelStore, receive: Callable[[], Awaitable[Any]], code: int
) -> None:
    messages: list[Any] = []

    async def send(message: Any) -> None:
        messages.append(message)

    scope = {"type": "http", "method": "POST", "path": PREDICT, "query_string": b"", "headers": []}
    asyncio.run(create_app(store, Limits(timeout=0.05))(scope, receive, send))
    assert messages[0]["status"] == code
