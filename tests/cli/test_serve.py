"""`keras-seqzoo serve`: a real server, from its first line to its last request."""

from __future__ import annotations

import http.client
import json
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from servables import write_servable

from keras_seqzoo import ServingClient, ServingError


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    models = tmp_path_factory.mktemp("models")
    write_servable(models / "reviews" / "1")
    return models


class Server:
    """A server in a process of its own.

    Attributes:
        port: where it listens.
        sample: the command that it says it can be asked with.
    """

    def __init__(self, *arguments: object):
        command = [sys.executable, "-m", "keras_seqzoo", "serve", *map(str, arguments)]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self.lines: list[str] = []
        self._read = self._lines()
        self.port = int(self.wait_for(r"Serving .* at http://127.0.0.1:([0-9]+)$")[1])
        self.sample = self.wait_for("Ask: (.*)")[1]

    def _lines(self) -> Iterator[str]:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)
            yield line

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Reads what the server says, up to a line that a pattern is found in."""
        for line in self._read:
            if match := re.search(pattern, line.rstrip()):
                return match
        raise AssertionError(f"{pattern} did not come: {self.lines}")

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def ask(self, path: str, body: Any = None, method: str | None = None) -> tuple[int, Any]:
        """Asks with urllib, and reads the reply's JSON."""
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                return reply.status, json.load(reply)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)


@pytest.fixture
def server(models: Path) -> Iterator[Server]:
    server = Server(models, "--port", 0, "--max-body-mb", 0.1, "--threads", 3)
    yield server
    server.process.kill()
    server.process.wait()


def _signature(name: str) -> dict[str, Any]:
    return {"signature_name": name, "instances": ["a"]}


def test_a_server_answers_and_ends_with_its_last_request(server: Server, models: Path) -> None:
    page = server.wait_for(r"^Try it in a browser: (http://127.0.0.1:[0-9]+/)$")[1]
    asked = urllib.request.Request(page, headers={"Accept": "text/html"})
    with urllib.request.urlopen(asked, timeout=60) as reply:
        assert b"<title>Try a model</title>" in reply.read()
    curl, flag, body, url = shlex.split(server.sample)
    assert (curl, flag) == ("curl", "-d")
    with urllib.request.urlopen(url, body.encode(), timeout=60) as reply:
        assert json.load(reply)["predictions"][0]["label"] == "positive"
    server.wait_for(r"^POST /v1/models/reviews:predict 200 [0-9.]+ ms [0-9]+ B$")
    _check_odd_requests(server)
    _check_the_client(server, models / "reviews" / "2")

    replies: list[tuple[int, Any]] = []
    path = "/v1/models/reviews:predict"
    hanging = threading.Thread(target=lambda: replies.append(server.ask(path, _signature("wait"))))
    hanging.start()
    assert server.ask(path, _signature("arrived"))[0] == 200
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as late:
        release = _begin(late, path, _signature("release"))
        server.process.send_signal(signal.SIGTERM)
        _wait_until(lambda: _is_refused(server.port))
        late.sendall(release)
        assert b"200 OK" in late.recv(1000)
        hanging.join()
    assert replies == [(200, {"predictions": ["a"]})]
    assert server.process.wait(60) == 0
    assert "Traceback" not in "".join([*server.lines, *server._read])


def _check_the_client(server: Server, damaged: Path) -> None:
    """What our own client is told, also of a version that cannot be loaded."""
    url = f"http://127.0.0.1:{server.port}"
    with ServingClient(url, "reviews") as client:
        before = client.predict(["a", "bb", ""])
        damaged.mkdir()
        (damaged / "saved_model.pb").write_bytes(b"damaged")
        server.wait_for("version 2 of reviews is not served")
        first, second = client.status()
        assert (first["version"], first["state"], first["error"]) == (1, "AVAILABLE", "")
        assert (second["version"], second["state"]) == (2, "END")
        assert "damaged" in second["error"]
        assert client.predict(["a", "bb", ""]) == before
    with ServingClient(url, "reviews", version=2) as client:
        with pytest.raises(ServingError, match="Servable not found") as raised:
            client.predict(["a"])
        assert raised.value.status == 404
    shutil.rmtree(damaged)


def _check_odd_requests(server: Server) -> None:
    """What clients of higher level cannot send, or would not read."""
    connection = server.connect()
    for method, path, code in (
        ("GET", "/v1/models/../../etc/passwd", 400),
        ("GET", "/v1/models/..", 404),
        ("BREW", "/v1/models/reviews", 400),
        ("GET", "/v1/models", 400),
        ("GET", "/nothing", 404),
        ("POST", "/", 404),
    ):
        connection.request(method, path)
        reply = connection.getresponse()
        assert reply.status == code
        assert list(json.load(reply)) == ["error"]
    connection.request("POST", "/v1/models/reviews:predict", iter([b" " * 60_000] * 10))
    reply = connection.getresponse()
    assert reply.status == 413
    assert "--max-body-mb" in json.load(reply)["error"]
    connection.close()
    assert server.ask("/v1/models/reviews:predict", {"instances": ["a" * 10**7]})[0] == 413
    assert server.ask("/v1/nothing", {"instances": ["a" * 90_000]})[0] == 400


def _begin(connection: socket.socket, path: str, body: Any) -> bytes:
    """Sends the head of a request, which then is one that the server knows of."""
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(data)}\r\n"
    connection.sendall(f"{head}Expect: 100-continue\r\n\r\n".encode())
    assert b"100" in connection.recv(1000)
    return data


def _is_refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=60).close()
    except ConnectionError:
        return True
    return False


def _wait_until(true: Callable[[], bool]) -> None:
    for _ in range(600):
        if true():
            return
        time.sleep(0.1)
    raise AssertionError("a minute has passed")


def test_a_port_that_is_taken(command: Callable[..., Any], models: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = command("serve", models, "--port", port)
    assert done.code == 2
    assert "The port is in use" in done.err
    assert f"127.0.0.1:{port}" in done.err


def test_an_address_that_is_not_ours(command: Callable[..., Any], models: Path) -> None:
    done = command("serve", models, "--host", "192.0.2.1", "--port", 0)
    assert done.code == 2
    assert "Received: 192.0.2.1:0" in done.err


def test_no_models(command: Callable[..., Any], tmp_path: Path) -> None:
    done = command("serve", tmp_path, "--port", 0)
    assert done.code == 2
    assert "There are no models" in done.err
    assert f"Received: {tmp_path}" in done.err
    assert command("serve", tmp_path / "nothing", "--port", 0).code == 2


def test_a_model_that_can_not_be_loaded(
    command: Callable[..., Any], models: Path, tmp_path: Path
) -> None:
    shutil.copytree(models / "reviews", tmp_path / "reviews")
    (tmp_path / "reviews" / "1" / "saved_model.pb").write_bytes(b"\xff" * 100)
    done = command("serve", tmp_path, "--port", 0)
    assert done.code == 2
    assert "None of the models can be served" in done.err
    assert "version 1 of reviews: " in done.err


def test_one_model_of_two_can_not_be_loaded(
    command: Callable[..., Any],
    models: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shutil.copytree(models / "reviews", tmp_path / "reviews")
    (tmp_path / "topics" / "1").mkdir(parents=True)
    states: list[str] = []

    def ask(server: uvicorn.Server, port: int) -> None:
        try:
            for model in ("reviews", "topics"):
                url = f"http://127.0.0.1:{port}/v1/models/{model}"
                with urllib.request.urlopen(url, timeout=60) as reply:
                    states.append(json.load(reply)["model_version_status"][0]["state"])
        finally:
            server.should_exit = True

    run = uvicorn.Server.run

    def run_and_ask(server: uvicorn.Server, sockets: list[socket.socket]) -> None:
        asking = threading.Thread(target=ask, args=(server, sockets[0].getsockname()[1]))
        asking.start()
        run(server, sockets)
        asking.join()

    monkeypatch.setattr(uvicorn.Server, "run", run_and_ask)
    done = command("serve", tmp_path, "--port", 0, "--quiet")
    assert states == ["AVAILABLE", "END"]
    assert done.code == 0
    assert "Warning: version 1 of topics is not served" in done.err
    assert "Serving reviews (version 1)" in done.err
    assert "GET" not in done.err


def test_a_folder_or_a_config(command: Callable[..., Any], models: Path) -> None:
    assert command("serve").code == 2
    done = command("serve", models, "--model-config-file", models / "models.config")
    assert done.code == 2
    assert "and not both" in done.err


def test_libraries_that_are_not_installed(
    command: Callable[..., Any], models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keras_seqzoo.cli.serve.find_spec", lambda name: None)
    done = command("serve", models)
    assert done.code == 2
    assert "keras-seqzoo[server]" in done.err
