"""`push_to_hub` and `from_hub` against a Hub on the loopback, which takes commits and files."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from huggingface_hub import ModelCard, constants

import keras_seqzoo as sz

COMMIT = "a" * 40


class FakeHub(BaseHTTPRequestHandler):
    """What of the Hub's API an upload and a download ask; `state` is what it holds."""

    state: SimpleNamespace

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, code: int, body: Any = b"", **headers: str) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def do_POST(self) -> None:
        state = self.state
        given = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/api/validate-yaml":
            state.validated.append(json.loads(given)["content"])
            self.answer(200, {"errors": [], "warnings": []})
        elif state.status is not None:
            self.answer(state.status, {"error": "refused"}, **state.headers)
        elif self.path == "/api/repos/create":
            state.created.append(json.loads(given))
            state.tokens.append(self.headers["Authorization"])
            self.answer(200, {"url": f"http://{self.headers['Host']}/me/reviews"})
        elif "/preupload/" in self.path:
            files = [file["path"] for file in json.loads(given)["files"]]
            each = {"uploadMode": "regular", "shouldIgnore": False, "oid": None}
            self.answer(200, {"files": [{"path": path, **each} for path in files]})
        elif "/commit/" in self.path:
            for line in map(json.loads, given.splitlines()):
                if line["key"] == "header":
                    state.messages.append((self.path.rpartition("/")[2], line["value"]["summary"]))
                else:
                    file = line["value"]
                    state.files[file["path"]] = base64.b64decode(file["content"])
            url = f"http://{self.headers['Host']}/me/reviews/commit/{COMMIT}"
            told = {"success": True, "commitUrl": url, "commitOid": COMMIT, "hookOutput": ""}
            self.answer(200, told)
        else:
            self.answer(404)

    def do_GET(self) -> None:
        repository, _, rest = self.path.lstrip("/").partition("/resolve/")
        file = self.state.files.get(rest.partition("/")[2])
        if self.state.status is not None:
            self.answer(self.state.status, **self.state.headers)
        elif repository != "me/reviews":
            self.answer(404, X_Error_Code="RepoNotFound")
        elif file is None:
            self.answer(404, X_Error_Code="EntryNotFound")
        else:
            self.answer(200, file, ETag=f'"{hash(file)}"', X_Repo_Commit=COMMIT)

    do_HEAD = do_GET  # noqa: N815


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[SimpleNamespace]:
    """What a Hub on the loopback holds, and has been asked."""
    state = SimpleNamespace(
        files={}, created=[], tokens=[], messages=[], validated=[], status=None, headers={}
    )
    handler = type("Handler", (FakeHub,), {"state": state})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.partition("/{repo_id}")
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", endpoint + "".join(template[1:]))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    state.endpoint = endpoint
    yield state
    server.shutdown()
    server.server_close()


def test_what_is_pushed_comes_back(
    hub: SimpleNamespace, tiny_model: Any, tiny_table: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = sz.evaluate(tiny_model, tiny_table)
    url = sz.push_to_hub(
        tiny_model, "me/reviews", report=report, private=True, token="secret", message="First"
    )
    assert url == f"{hub.endpoint}/me/reviews"
    [created] = hub.created
    assert (created["organization"], created["name"]) == ("me", "reviews")
    assert created.get("private") or created["visibility"] == "private"  # by its version
    assert hub.tokens == ["Bearer secret"]
    assert hub.messages == [("main", "First")]
    assert set(hub.files) == {"README.md", "model.keras"}
    card = ModelCard(hub.files["README.md"].decode())
    assert {*hub.validated} == {card.content}
    assert 'sz.from_hub("me/reviews")' in card.text
    assert card.data.eval_results[0].metric_value == report.accuracy

    again = sz.from_hub("me/reviews", token="secret")
    expected = tiny_model.predict(["a good film"], verbose=0)
    np.testing.assert_allclose(again.predict(["a good film"], verbose=0), expected, atol=1e-6)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert sz.from_hub("me/reviews").classes == tiny_model.classes, "of the cache"


def test_a_branch_is_told(hub: SimpleNamespace, tiny_model: Any) -> None:
    sz.push_to_hub(tiny_model, "me/reviews", revision="next")
    assert hub.messages == [("next", "Upload gru")]


def test_a_file_of_something_else_is_refused(hub: SimpleNamespace) -> None:
    hub.files["model.keras"] = b"no model"
    with pytest.raises(ValueError, match=r"not a \.keras file, or it is damaged"):
        sz.from_hub("me/reviews")


def test_trust_is_handed_on(hub: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    from keras_seqzoo.serving import share

    asked: list[bool] = []
    monkeypatch.setattr(share, "load_keras_file", lambda path, trust: asked.append(trust))
    hub.files["model.keras"] = b"a graph"
    sz.from_hub("me/reviews")
    sz.from_hub("me/reviews", trust=True)
    assert asked == [False, True]


@pytest.mark.parametrize(
    ("asked", "kind", "message"),
    [
        ("me/re views", ValueError, r'named "user/name".* Received: .me/re views.'),
        ("me/other", FileNotFoundError, "no such repository, or not for this account"),
        ("me/reviews", FileNotFoundError, r"must hold model\.keras.* Received: .me/reviews."),
    ],
)
def test_what_is_not_there(
    hub: SimpleNamespace, asked: str, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        sz.from_hub(asked)


@pytest.mark.parametrize(
    ("status", "code", "kind", "message"),
    [
        (403, "GatedRepo", PermissionError, "The owner has to let you in"),
        (404, "RevisionNotFound", FileNotFoundError, r"no such branch.* revision='v9'"),
        (403, "", PermissionError, "does not let this account do that"),
        (404, "RepoNotFound", FileNotFoundError, "or not for this account"),
        (401, "", PermissionError, "does not let this account do that"),
    ],
)
def test_what_the_hub_refuses_to_give(
    hub: SimpleNamespace, status: int, code: str, kind: type[Exception], message: str
) -> None:
    hub.status, hub.headers = status, {"X_Error_Code": code} if code else {}
    with pytest.raises(kind, match=message):
        sz.from_hub("me/reviews", revision="v9")


@pytest.mark.parametrize("status", [401, 403])
def test_who_may_not_write(hub: SimpleNamespace, tiny_model: Any, status: int) -> None:
    hub.status = status
    with pytest.raises(PermissionError, match=r"hf auth login.* Received: 'me/reviews'"):
        sz.push_to_hub(tiny_model, "me/reviews", token="wrong")


@pytest.mark.parametrize("call", [lambda model: sz.push_to_hub(model, "me/reviews"),
                                  lambda model: sz.from_hub("me/reviews")])  # fmt: skip
def test_no_network(
    hub: SimpleNamespace,
    tiny_model: Any,
    call: Callable[[Any], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ConnectionError, match=r"cannot be reached.* Received: 'me/reviews'"):
        call(tiny_model)


def test_only_models_are_pushed() -> None:
    with pytest.raises(TypeError, match=r"takes a model of keras_seqzoo.* Received: str"):
        sz.push_to_hub("model.keras", "me/reviews")  # type: ignore[arg-type]
