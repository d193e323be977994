"""The clients against an HTTP server that misbehaves."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from clients import open_client
from loopback import RestServer, breaks_off, busy, drips, hangs_up, says

from keras_seqzoo.serving.client import ServingClient, ServingError


@pytest.fixture
def server() -> Iterator[RestServer]:
    running = RestServer()
    yield running
    running.close()


@pytest.fixture(params=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def ask(kind: str, server: RestServer, *args: Any, **options: Any) -> AbstractContextManager[Any]:
    return open_client(kind, server.url, *args, **options)


def test_one_connection_serves_many_requests(kind: str, server: RestServer) -> None:
    server.script.append(busy(503))
    with ask(kind, server, batch_size=1) as client:
        client.predict(["a"])
        client.status()
        client.predict(["a"])
    assert (server.connections, len(server.headers)) == (1, 4)


def test_threads_do_not_open_a_connection_for_each_request(server: RestServer) -> None:
    with ServingClient(server.url, "reviews") as client, ThreadPoolExecutor(4) as pool:
        assert len(list(pool.map(lambda _: client.predict(["a"]), range(40)))) == 40
    assert server.connections <= 4


def test_requests_are_those_of_the_rest_api(kind: str, server: RestServer) -> None:
    bodies = []

    def keep(handler: Any) -> bool:
        bodies.append((handler.command, handler.path, handler.headers["Content-Type"]))
        return True

    server.script += [keep] * 4
    with ask(kind, server, label="stable") as client:
        client.predict(["a"])
        client.classify(["a"])
        client.metadata()
        client.status()
    assert bodies == [
        ("POST", "/v1/models/reviews/labels/stable:predict", "application/json"),
        ("POST", "/v1/models/reviews/labels/stable:classify", "application/json"),
        ("GET", "/v1/models/reviews/labels/stable/metadata", None),
        ("GET", "/v1/models/reviews/labels/stable", None),
    ]


def test_names_are_escaped_in_the_path(kind: str, server: RestServer) -> None:
    paths = []
    server.script.append(lambda handler: paths.append(handler.path) or True)
    with (
        open_client(kind, f"{server.url}/behind/", model="a/b: ü") as client,
        pytest.raises(ServingError),
    ):
        client.predict(["a"])
    assert paths == ["/behind/v1/models/a%2Fb%3A%20%C3%BC:predict"]


def test_retry_after_is_honoured(kind: str, server: RestServer) -> None:
    waits: list[float] = []
    date = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    server.script += [busy(429, Retry_After="7"), busy(503, Retry_After=date)]
    server.script += [busy(502, Retry_After="soon"), busy(504, Retry_After="0")]
    with ask(kind, server, waits, retries=4, timeout=1e5) as client:
        assert len(client.predict(["a"])) == 1
    assert 7 < waits[0] < 8
    assert 3500 < waits[1] < 3601
    assert 0 < waits[2] < 1
    assert 0 < waits[3] < 1


def test_retry_after_beyond_the_timeout_is_not_waited_for(kind: str, server: RestServer) -> None:
    waits: list[float] = []
    server.script.append(busy(429, Retry_After="60"))
    with ask(kind, server, waits) as client, pytest.raises(ServingError) as caught:
        client.predict(["a"])
    assert (caught.value.status, caught.value.message, waits) == (429, "come again", [])


def test_replies_that_are_no_json_are_shown(kind: str, server: RestServer) -> None:
    half = json.dumps({"predictions": [1.0]}).encode()[:-2]
    page = b"<!doctype html><title>It works!</title>" + b" " * 10_000
    for body in (page, half, b"", b"[" * 100_000):
        server.script.append(says(body))
        with ask(kind, server) as client, pytest.raises(ServingError, match="not JSON") as caught:
            client.predict(["a"])
        assert "may not belong to TensorFlow Serving" in str(caught.value)
        assert body[:30].decode() in str(caught.value)
        assert caught.value.status == 200
        assert len(str(caught.value)) < 500


@pytest.mark.parametrize("status", [301, 403, 404, 500])
def test_errors_that_are_no_json_keep_their_status(
    kind: str, server: RestServer, status: int
) -> None:
    server.script.append(says(b"<html>Forbidden", status, Location="http://elsewhere/"))
    with ask(kind, server) as client, pytest.raises(ServingError) as caught:
        client.predict(["a"])
    assert caught.value.status == status
    assert ("http://elsewhere/" if status == 301 else "<html>Forbidden") in str(caught.value)


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        ({"outputs": [1]}, "'predictions'"),
        ({"predictions": 1}, "'predictions'"),
        ([1], "'predictions'"),
        (None, "'predictions'"),
        ({"predictions": [1, 2]}, "2 answers to 1 texts"),
        ({"predictions": []}, "0 answers to 1 texts"),
    ],
)
def test_json_that_is_no_answer_is_an_error(
    kind: str, server: RestServer, reply: Any, message: str
) -> None:
    server.script.append(says(json.dumps(reply).encode()))
    with ask(kind, server) as client, pytest.raises(ServingError, match=message):
        client.predict(["a"])


@pytest.mark.parametrize("results", [[1], [[1]], [[["a", "b"]]], [[["a", 1, 2]]], [None]])
def test_classifications_must_be_pairs(kind: str, server: RestServer, results: Any) -> None:
    server.script.append(says(json.dumps({"results": results}).encode()))
    with ask(kind, server) as client, pytest.raises(ServingError, match="list of pairs"):
        client.classify(["a"])


@pytest.mark.parametrize(
    "metadata", [{}, {"signature_def": 1}, {"signature_def": {"signature_def": [1]}}]
)
def test_metadata_of_something_else_is_an_error(
    kind: str, server: RestServer, metadata: Any
) -> None:
    server.script.append(says(json.dumps({"metadata": metadata}).encode()))
    with ask(kind, server) as client, pytest.raises(ServingError, match="not what TensorFlow"):
        client.metadata()


def test_status_of_something_else_is_an_error(kind: str, server: RestServer) -> None:
    server.script.append(says(b'{"model_version_status": [{"version": "x"}]}'))
    with ask(kind, server) as client, pytest.raises(ServingError, match="not what TensorFlow"):
        client.status()


def test_states_and_fields_of_later_servers_are_taken(kind: str, server: RestServer) -> None:
    entry = {"version": "3", "state": "AVAILABLE", "status": {"error_code": "ABORTED"}, "new": 1}
    server.script.append(says(json.dumps({"model_version_status": [entry]}).encode()))
    with ask(kind, server) as client:
        assert client.status() == [{"version": 3, "state": "AVAILABLE", "error": "ABORTED"}]


@pytest.mark.parametrize("breaking", [breaks_off, hangs_up])
def test_broken_connections_are_tried_again(kind: str, server: RestServer, breaking: Any) -> None:
    waits: list[float] = []
    server.script += [breaking] * 2
    with ask(kind, server, waits) as client:
        assert len(client.predict(["a"])) == 1
        assert len(waits) == 2
        server.script += [breaking] * 4
        with pytest.raises(ConnectionError, match="connection broke"):
            client.predict(["a"])


def test_the_timeout_is_of_the_whole_request(kind: str, server: RestServer) -> None:
    server.script.append(drips)
    with ask(kind, server, timeout=0.3) as client:
        with pytest.raises(TimeoutError):
            client.predict(["a"])
        assert server.hung_up.wait(20)


def test_a_connection_that_timed_out_is_not_used_again(kind: str, server: RestServer) -> None:
    server.hang_next()
    with ask(kind, server, timeout=0.2) as client, pytest.raises(TimeoutError):
        client.predict(["a"])
    with ask(kind, server) as client:
        assert len(client.predict(["a"])) == 1


def test_strings_that_are_no_utf8_are_read(kind: str, server: RestServer) -> None:
    server.script.append(says(b'{"predictions": ["a\xff", {"b64": "//8="}, NaN, -Infinity]}'))
    with ask(kind, server) as client:
        answers = client.predict(["a"] * 4)
    assert answers[:2] == ["a\ufffd", b"\xff\xff"]
    assert str(answers[2:]) == "[nan, -inf]"


def test_compressed_replies_are_read(kind: str, server: RestServer) -> None:
    body = gzip.compress(b'{"predictions": [1.5]}')
    server.script += [
        says(body, Content_Encoding="gzip"),
        says(b"no gzip", Content_Encoding="gzip"),
    ]
    with ask(kind, server) as client:
        assert client.predict(["a"]) == [1.5]
        with pytest.raises(ServingError, match="not compressed"):
            client.predict(["a"])


@pytest.mark.parametrize("packed", [False, True])
def test_replies_without_an_end_are_given_up(kind: str, server: RestServer, packed: bool) -> None:
    body = b" " * (65 * 2**20)
    headers = {"Content_Encoding": "gzip"} if packed else {}
    server.script.append(says(gzip.compress(body) if packed else body, **headers))
    with ask(kind, server) as client, pytest.raises(ServingError, match="Lower `batch_size`"):
        client.predict(["a"])


@pytest.mark.parametrize(
    ("method", "form"),
    [("classify", '{{"results": [{}]}}'), ("metadata", '{{"metadata": {{"signature_def": {}}}}}'),
     ("status", '{{"model_version_status": [{}]}}')],
)  # fmt: skip
@pytest.mark.parametrize("depth", [50, 400, 800, 990, 5_000])
def test_nested_replies_are_errors(
    kind: str, server: RestServer, method: str, form: str, depth: int
) -> None:
    server.script.append(says(form.format("[" * depth + "]" * depth).encode()))
    with ask(kind, server) as client, pytest.raises(ServingError):
        getattr(client, method)(*[["a"]] * (method == "classify"))
