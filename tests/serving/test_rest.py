"""The REST interface, case by case as TensorFlow Serving answers."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from predict_cases import ONE, Case
from rest_cases import CASES
from servables import write_models
from starlette.testclient import TestClient

from keras_seqzoo.serving.server.app import create_app
from keras_seqzoo.serving.server.sources import in_config, in_folder
from keras_seqzoo.serving.server.store import ModelStore

Ask = Callable[..., tuple[int, dict[str, str], bytes]]
BINARY = os.environ.get("TENSORFLOW_MODEL_SERVER") or shutil.which("tensorflow_model_server")
PREDICT = "/v1/models/m:predict"


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def store(config: Path) -> Iterator[ModelStore]:
    store = ModelStore(in_config(config))
    store.refresh()
    yield store
    store.close()


@pytest.fixture(scope="module")
def ask(store: ModelStore) -> Iterator[Ask]:
    with TestClient(create_app(store)) as client:

        def ask(method: str, path: str, body: str | bytes = b"", **headers: str) -> Any:
            reply = client.request(method, path, content=body, headers=headers)
            return reply.status_code, dict(reply.headers), reply.content

        yield ask


@pytest.fixture(scope="module")
def ask_tensorflow_serving(config: Path) -> Iterator[Ask]:
    if BINARY is None:
        pytest.skip("needs tensorflow_model_server on PATH, or named by TENSORFLOW_MODEL_SERVER")
    port = _free_port()
    command = [BINARY, f"--rest_api_port={port}", f"--model_config_file={config}"]
    command += ["--port=0", "--file_system_poll_wait_seconds=0"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:

        def ask(method: str, path: str, body: str | bytes = b"") -> Any:
            connection = http.client.HTTPConnection("localhost", port, timeout=60)
            raw = body if isinstance(body, bytes) else body.encode()
            connection.request(method, path, raw)
            reply = connection.getresponse()
            return reply.status, dict(reply.getheaders()), reply.read()

        try:
            _wait_for(lambda: ask("GET", "/v1/models/m")[0] == 200, server)
            yield ask
        finally:
            server.terminate()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return int(free.getsockname()[1])


def _wait_for(ready: Callable[[], bool], server: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        assert server.poll() is None, "tensorflow_model_server has ended"
        try:
            if ready():
                return
        except OSError:
            pass
        time.sleep(0.1)
    raise AssertionError("tensorflow_model_server did not start")


def _check(case: Case, ask: Ask) -> None:
    code, headers, reply = ask(case.method, case.path, case.body)
    assert code == case.code, reply
    assert headers["content-type"] == "application/json"
    answer = json.loads(reply)
    if isinstance(case.reply, str):
        assert list(answer) == ["error"]
        assert case.reply in answer["error"]
    else:
        # As text, since NaN is not equal to itself.
        assert json.dumps(answer, sort_keys=True) == json.dumps(case.reply, sort_keys=True)


@pytest.mark.parametrize("name", CASES)
def test_answers_as_tensorflow_serving(name: str, ask: Ask) -> None:
    _check(CASES[name], ask)


@pytest.mark.parametrize("name", CASES if BINARY else ["every case"])
def test_tensorflow_serving_itself(name: str, ask_tensorflow_serving: Ask) -> None:
    def lower(*request: Any) -> Any:
        code, headers, reply = ask_tensorflow_serving(*request)
        return code, {key.lower(): value for key, value in headers.items()}, reply

    _check(CASES[name], lower)


def test_the_server_s_address_lists_its_models(ask: Ask) -> None:
    code, headers, reply = ask("GET", "/")
    assert (code, headers["content-type"]) == (200, "application/json")
    assert json.loads(reply) == {"models": {"m": {"status": "/v1/models/m", "versions": [1, 2]}}}
    assert ask("GET", json.loads(reply)["models"]["m"]["status"])[0] == 200
    assert b"The models are listed at /" in ask("GET", "/v1/models")[2]


@pytest.mark.parametrize(
    ("place", "version"), [("", "2"), ("/versions/1", "1"), ("/labels/stable", "1")]
)
def test_metadata(place: str, version: str, ask: Ask) -> None:
    code, _, reply = ask("GET", f"/v1/models/m{place}/metadata")
    metadata = json.loads(reply)
    assert code == 200
    assert metadata["model_spec"] == {"name": "m", "signature_name": "", "version": version}
    signatures = metadata["metadata"]["signature_def"]["signature_def"]
    assert signatures["single"]["inputs"] == {
        "text": {
            "dtype": "DT_STRING",
            "tensor_shape": {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False},
            "name": "single_text:0",
        }
    }
    assert signatures["classify"]["method_name"] == "tensorflow/serving/classify"
    assert signatures["__saved_model_init_op"]["inputs"] == {}


def test_an_export_is_served(tiny_model: Any, tiny_export: Path) -> None:
    texts = ["a good film", "awful and dull"]
    expected = tiny_model.predict(texts, verbose=0)
    store = ModelStore(in_folder(tiny_export.parents[1]))
    store.refresh()
    with TestClient(create_app(store)) as client:
        url = "/v1/models/reviews"
        rows = client.post(f"{url}:predict", json={"instances": texts}).json()["predictions"]
        body = {"signature_name": "classify", "examples": [{"text": text} for text in texts]}
        pairs = client.post(f"{url}:classify", json=body).json()["results"]
    store.close()
    np.testing.assert_allclose([row["probabilities"] for row in rows], expected, atol=1e-5)
    assert [row["label"] for row in rows] == ["positive", "negative"]
    assert [[name for name, _ in row] for row in pairs] == [["negative", "positive"]] * 2
    np.testing.assert_allclose([[p for _, p in row] for row in pairs], expected, atol=1e-5)


@pytest.mark.parametrize("path", ["/v2/models/m", "/monitoring/prometheus", "/v1%0A"])
def test_other_paths_are_not_found(path: str, ask: Ask) -> None:
    code, headers, reply = ask("GET", path)
    assert (code, headers["content-type"]) == (404, "application/json")
    assert list(json.loads(reply)) == ["error"]


def test_preflight(ask: Ask) -> None:
    assert ask("OPTIONS", PREDICT)[0] == 400
    assert ask("OPTIONS", PREDICT, origin="https://example.org")[0] == 200


def test_gzip(ask: Ask) -> None:
    packed = gzip.compress(json.dumps(ONE).encode())
    code, _, reply = ask("POST", PREDICT, packed, **{"content-encoding": "gzip"})
    assert code == 200
    assert json.loads(reply)["predictions"][0]["label"] == "positive2"
    assert ask("POST", PREDICT, packed[1:], **{"content-encoding": "gzip"})[0] == 400
    large = gzip.compress(b" " * 2**23)
    assert ask("POST", PREDICT, large, **{"content-encoding": "gzip"})[0] == 413


def test_the_application_can_be_mounted(store: ModelStore) -> None:
    from starlette.applications import Starlette
    from starlette.routing import Mount

    client = TestClient(Starlette(routes=[Mount("/tf", create_app(store))]))
    assert client.post(f"/tf{PREDICT}", json=ONE).status_code == 200
    assert "in_flight" in client.get("/tf/monitoring/prometheus/metrics").text
