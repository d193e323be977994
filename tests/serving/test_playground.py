"""The page on which people try what is served."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import tensorflow as tf
from browser import CHROMIUM, driven_page, served, visit
from html_page import Page
from servables import write_models
from starlette.testclient import TestClient

from keras_seqzoo.pages.playground import playground_page
from keras_seqzoo.serving.server.app import Limits, create_app
from keras_seqzoo.serving.server.sources import in_config, in_folder
from keras_seqzoo.serving.server.store import ModelStore

HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}

in_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium on PATH")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelStore]:
    store = ModelStore(in_config(write_models(tmp_path_factory.mktemp("models"))))
    store.refresh()
    yield store
    store.close()


def _see(store: ModelStore, script: str, limits: Limits | None = None) -> Page:
    with served(store, driven_page(script), limits) as url:
        return Page(visit(url, "--dump-dom"))


def test_browsers_get_the_page_and_all_others_json(store: ModelStore) -> None:
    with TestClient(create_app(store, page=playground_page())) as client:
        page = client.get("/", headers=HTML)
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        for headers in ({}, {"Accept": "application/json"}):
            reply = client.get("/", headers=headers)
            assert list(reply.json()) == ["models"]
            assert reply.headers["vary"] == page.headers["vary"] == "Accept"
        for method, path, code in (("POST", "/", 404), ("GET", "/nothing", 404)):
            reply = client.request(method, path, headers=HTML)
            assert (reply.status_code, list(reply.json())) == (code, ["error"])
    with TestClient(create_app(store)) as client:
        assert list(client.get("/", headers=HTML).json()) == ["models"]


def test_the_page_runs_its_own_script_alone() -> None:
    reply = playground_page()
    html, policy = bytes(reply.body).decode(), reply.headers["content-security-policy"]
    for tag in ("script", "style"):
        (inside,) = re.findall(f"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}';" in policy
    for rule in ("default-src 'none'", "connect-src 'self'", "frame-ancestors 'none'"):
        assert rule in policy
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert "innerHTML" not in html
    assert "http" not in re.sub(r"http://www.w3.org/\S+", "", html)


def test_the_page_can_be_used_without_eyes() -> None:
    page = Page(bytes(playground_page().body).decode())
    assert not page.unbalanced
    assert len(page.ids()) == len(set(page.ids()))
    labelled = {attrs["for"] for tag, attrs in page.elements if tag == "label"}
    assert {attrs["id"] for tag, attrs in page.elements if tag == "select"} == labelled
    live = [attrs["id"] for _, attrs in page.elements if attrs.get("aria-live") == "polite"]
    assert live == ["answer", "explanation"]


@in_chromium
def test_a_text_is_answered_and_its_words_are_weighed(store: ModelStore) -> None:
    page = _see(
        store,
        """await until(() => document.getElementById("input-text"));
        document.getElementById("input-text").value = "<b>it's</b> 😀 fine";
        document.getElementById("ask").click();
        await until(() => !document.getElementById("more").hidden);
        document.getElementById("explain").click();
        await until(() => document.querySelector("#explanation table"));""",
    )
    assert "m, version 2" in page.words
    assert "m, version 1" in page.words
    # 23 bytes: odd.
    assert "positive2 75.0 %" in page.words.replace("positive2", " positive2 ").replace("  ", " ")
    assert "\"<b>it'\\''s</b> 😀 fine\"" in page.words
    assert "/v1/models/m/versions/2:predict" in page.words
    assert "how much lower that is when the word is left out" in page.words
    assert "+50.0 points" in page.words


@in_chromium
def test_the_page_says_what_the_server_said(store: ModelStore) -> None:
    page = _see(
        store,
        """await until(() => document.getElementById("input-text"));
        document.getElementById("input-text").value = "a".repeat(300);
        document.getElementById("ask").click();
        await until(() => document.querySelector("#answer .warning"));""",
        Limits(max_body_bytes=200),
    )
    assert "The server refused (413): A request's body must have at most 200 bytes." in page.words


@in_chromium
def test_pieces_are_marked_where_they_stand(tmp_path: Path) -> None:
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "text")])
    def tag(text: tf.Tensor) -> dict[str, tf.Tensor]:
        told = {"label": ["person", ""], "text": ["Ada", ""], "start": [2, -1], "end": [5, -1]}
        told |= {"probability": [0.9, 0.0]}
        return {name: tf.tile([value], [tf.size(text), 1]) for name, value in told.items()}

    signature = tag.get_concrete_function()
    tf.saved_model.save(tf.Module(), str(tmp_path / "<i>'&" / "1"), signatures=signature)
    store = ModelStore(in_folder(tmp_path))
    store.refresh()
    page = _see(
        store,
        """await until(() => document.getElementById("input-text"));
        document.getElementById("input-text").value = "😀 Ada wrote";
        document.getElementById("ask").click();
        await until(() => document.querySelector("#answer mark"));
        document.title = document.querySelector("#answer mark").firstChild.data;""",
    )
    store.close()
    assert "<i>'&, version 1" in page.words
    assert "/v1/models/%3Ci%3E'\\''%26/versions/1:predict" in page.words
    assert page.words.lstrip().startswith("Ada ")
    assert "😀 Adaperson wrote" in page.words
