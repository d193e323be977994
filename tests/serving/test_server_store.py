"""Versions come and go while requests run; what cannot be loaded is told, and harms nothing."""

from __future__ import annotations

import queue
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from servables import write_servable
from starlette.testclient import TestClient

from keras_seqzoo.serving import warmup
from keras_seqzoo.serving.server import store as server_store
from keras_seqzoo.serving.server.app import Limits, create_app
from keras_seqzoo.serving.server.errors import RequestError
from keras_seqzoo.serving.server.sources import Source, in_config, in_folder
from keras_seqzoo.serving.server.store import ModelStore
from keras_seqzoo.serving.session import SavedSession

PREDICT = "/v1/models/m:predict"
ONE = {"instances": ["a"]}
Put = Callable[[int], Path]
Start = Callable[..., ModelStore]


@pytest.fixture(scope="module")
def servables(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Versions whose labels end with their number."""
    folder = tmp_path_factory.mktemp("servables")
    return {n: write_servable(folder / str(n), str(n)) for n in (1, 2, 3)}


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return tmp_path / "models"


@pytest.fixture
def put(servables: dict[int, Path], models: Path) -> Put:
    """Publishes a version of the model `m`, at once, as an export does."""

    def put(number: int) -> Path:
        target = models / "m" / str(number)
        unfinished = models / "m" / ".unfinished"
        shutil.copytree(servables[number], unfinished)
        return unfinished.rename(target)

    return put


@pytest.fixture
def start(models: Path) -> Iterator[Start]:
    """Makes a store that has looked for models once; it is closed at the end."""
    stores = []

    def start(sources: Any = None, report: Callable[[str], None] = lambda line: None) -> Any:
        store = ModelStore(sources or in_folder(models), report)
        stores.append(store)
        store.refresh()
        return store

    yield start
    for store in stores:
        store.close()


def _states(store: ModelStore) -> dict[int, str]:
    return {int(status["version"]): status["state"] for status in store.status("m")}


def _text(*texts: bytes) -> dict[str, np.ndarray]:
    return {"text": np.array(texts, object)}


def _label(store: ModelStore, **which: Any) -> bytes:
    with store.lease("m", **which) as lease:
        label: bytes = lease.session.run("serving_default", _text(b"a"))["label"][0]
        return label


def test_a_new_version_takes_over_when_it_is_loaded(put: Put, start: Start) -> None:
    put(1)
    store = start()
    assert _label(store) == b"positive1"
    put(2)
    store.refresh()
    assert _label(store) == b"positive2"
    assert _states(store) == {2: "AVAILABLE", 1: "END"}
    assert store.available() == {"m": [2]}
    with pytest.raises(RequestError, match=r"Specific\(m, 1\)"):
        store.lease("m", 1)


def test_an_old_version_ends_with_its_last_request(put: Put, start: Start) -> None:
    put(1)
    store = start()
    replies: queue.Queue[Any] = queue.Queue()
    wait = {"signature_name": "wait", "instances": ["a"]}
    with TestClient(create_app(store, Limits(threads=4))) as client:
        for _ in range(2):
            threading.Thread(target=lambda: replies.put(client.post(PREDICT, json=wait))).start()
        with store.lease("m") as lease:
            old = lease.session
            old.run("arrived", _text(b"", b""))
            put(2)
            store.refresh()
            assert _states(store) == {2: "AVAILABLE", 1: "UNLOADING"}
            new = client.post(PREDICT, json=ONE).json()["predictions"]
            assert new[0]["label"] == "positive2"
            old.run("release", _text(b"released", b"released"))
            for _ in range(2):
                assert replies.get(timeout=60).json() == {"predictions": ["released"]}
            assert _states(store)[1] == "UNLOADING"
    assert _states(store)[1] == "END"
    with pytest.raises(RuntimeError, match="closed"):
        old.run("serving_default", _text(b"a"))


def test_no_request_is_dropped_in_a_swap(put: Put, start: Start) -> None:
    put(1)
    store = start()
    stop = threading.Event()
    labels: list[list[str]] = [[], []]
    codes: set[int] = set()

    def ask(client: TestClient, mine: list[str]) -> None:
        while not stop.is_set():
            reply = client.post(PREDICT, json=ONE)
            codes.add(reply.status_code)
            mine.append(reply.json()["predictions"][0]["label"])

    with TestClient(create_app(store)) as client:
        threads = [threading.Thread(target=ask, args=(client, mine)) for mine in labels]
        for thread in threads:
            thread.start()
        for number in (2, 3):
            put(number)
            store.refresh()
        last = client.post(PREDICT, json=ONE).json()["predictions"][0]["label"]
        stop.set()
        for thread in threads:
            thread.join()
    assert codes == {200}
    assert last == "positive3"
    for mine in labels:
        assert mine == sorted(mine)


@pytest.mark.parametrize("damage", ["garbage", "empty", "warm-up"])
def test_a_version_that_can_not_be_loaded_leaves_the_old_one(
    put: Put, start: Start, damage: str
) -> None:
    put(1)
    lines: list[str] = []
    store = start(report=lines.append)
    version = put(2)
    if damage == "garbage":
        (version / "saved_model.pb").write_bytes(b"\xff" * 100)
    elif damage == "empty":
        (version / "saved_model.pb").unlink()
    else:
        (version / warmup.FILE.parent).mkdir()
        (version / warmup.FILE).write_bytes(b"garbage" * 20)
    store.refresh()
    assert _states(store) == {2: "END", 1: "AVAILABLE"}
    assert _label(store) == b"positive1"
    status = store.status("m", 2)[0]["status"]
    assert status["error_code"] != "OK"
    assert status["error_message"]
    assert list(store.failures()) == [("m", 2)]
    warnings = [line for line in lines if line.startswith("Warning: version 2 of m")]
    assert len(warnings) == 1

    store.refresh()
    assert len([line for line in lines if line.startswith("Warning")]) == 1, "tried again"
    shutil.rmtree(version)
    store.refresh()
    put(2)
    store.refresh()
    assert _states(store) == {2: "AVAILABLE", 1: "END"}
    assert _label(store) == b"positive2"
    assert not store.failures()


def test_a_version_that_is_still_copied_is_loaded_when_it_is_whole(
    put: Put, start: Start, servables: dict[int, Path], models: Path
) -> None:
    put(1)
    store = start()
    (models / "m" / "2" / "variables").mkdir(parents=True)
    store.refresh()
    assert _states(store) == {2: "END", 1: "AVAILABLE"}
    shutil.copytree(servables[2], models / "m" / "2", dirs_exist_ok=True)
    store.refresh()
    assert _states(store) == {2: "AVAILABLE", 1: "END"}


def test_a_removed_version_is_unloaded_and_the_next_best_loaded(put: Put, start: Start) -> None:
    put(1)
    second = put(2)
    store = start()
    assert _states(store) == {2: "AVAILABLE"}
    shutil.rmtree(second)
    store.refresh()
    assert _states(store) == {2: "END", 1: "AVAILABLE"}
    assert _label(store) == b"positive1"


def test_a_removed_model_is_gone_and_may_come_back(put: Put, start: Start, models: Path) -> None:
    put(1)
    store = start()
    shutil.rmtree(models / "m")
    store.refresh()
    assert store.available() == {"m": []}
    assert _states(store) == {1: "END"}
    with pytest.raises(RequestError, match=r"NOT_FOUND: .*Latest\(m\)"):
        store.lease("m")
    put(2)
    store.refresh()
    assert store.available() == {"m": [2]}


def test_a_folder_that_can_not_be_read_changes_nothing(
    put: Put, start: Start, models: Path
) -> None:
    put(1)
    lines: list[str] = []
    store, alone = start(report=lines.append), start(in_folder(models / "m"))
    away = models.rename(models.with_name("away"))
    store.refresh()
    alone.refresh()
    assert "cannot be looked for" in lines[-1]
    assert store.available() == alone.available() == {"m": [1]}
    away.rename(models)
    put(2)
    store.refresh()
    alone.refresh()
    assert store.available() == alone.available() == {"m": [2]}


def test_versions_are_looked_for_in_the_background(put: Put, start: Start) -> None:
    put(1)
    lines: queue.Queue[str] = queue.Queue()
    store = start(report=lines.put)
    store.poll(0.01)
    put(2)
    reported = [lines.get(timeout=60) for _ in range(3)]
    assert reported == ["Loaded version 1 of m", "Loaded version 2 of m", "Unloaded version 1 of m"]


def test_a_version_is_warmed_up_before_it_is_asked(
    put: Put, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = put(1)
    (first / warmup.FILE.parent).mkdir()
    (first / warmup.FILE).touch()
    seen = []

    def replay(session: SavedSession) -> int:
        seen.append((session.path, _states(store)))
        return 1

    monkeypatch.setattr(server_store, "replay", replay)
    store = ModelStore(lambda: [Source("m", first.parent)])
    store.refresh()
    assert seen == [(first, {1: "LOADING"})]
    assert _states(store) == {1: "AVAILABLE"}
    store.close()


def test_closing_ends_what_hangs(put: Put, start: Start) -> None:
    put(1)
    store = start()
    replies: queue.Queue[Any] = queue.Queue()
    with TestClient(create_app(store)) as client:
        wait = {"signature_name": "wait", "instances": ["a"]}
        threading.Thread(target=lambda: replies.put(client.post(PREDICT, json=wait))).start()
        with store.lease("m") as lease:
            lease.session.run("arrived", _text(b""))
        store.close()
        assert replies.get(timeout=60).status_code == 499
        assert client.post(PREDICT, json=ONE).status_code == 404


def _write_config(path: Path, **models: str) -> Path:
    listed = "".join(
        f'config {{ name: "{name}" base_path: "{path.parent / "models" / "m"}" '
        f'model_platform: "tensorflow" {further} }}\n'
        for name, further in models.items()
    )
    path.write_text(f"model_config_list {{\n{listed}}}\n", "utf-8")
    return path


@pytest.mark.parametrize(
    ("policy", "versions"),
    [
        ("", [3]),
        ("latest { }", [3]),
        ("latest { num_versions: 2 }", [2, 3]),
        ("all { }", [1, 2, 3]),
        ("specific { versions: 1 versions: 3 versions: 9 }", [1, 3]),
        ("specific { }", []),
    ],
)
def test_policies(put: Put, start: Start, tmp_path: Path, policy: str, versions: list[int]) -> None:
    for number in (1, 2, 3):
        put(number)
    further = f"model_version_policy {{ {policy} }}" if policy else ""
    store = start(in_config(_write_config(tmp_path / "models.config", m=further)))
    assert store.available() == {"m": versions}


def test_labels(put: Put, start: Start, tmp_path: Path) -> None:
    put(1)
    put(2)
    further = (
        "model_version_policy { specific { versions: 1 versions: 2 } } "
        'version_labels { key: "stable" value: 1 } version_labels { key: "next" value: 3 }'
    )
    config = _write_config(tmp_path / "models.config", m=further, other="")
    store = start(in_config(config))
    assert _label(store, label="stable") == b"positive1"
    assert store.dangling_labels() == [("m", "next", 3)]
    with pytest.raises(RequestError, match=r"NOT_FOUND: .*Specific\(m, 3\)"):
        store.lease("m", label="next")
    with pytest.raises(RequestError, match="Unrecognized servable version label: stable"):
        store.lease("other", label="stable")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model_config_list {", "text format"),
        ('model_config_list { config { nmae: "m" } }', "nmae"),
        ("", "with none"),
        ('model_config_list { config { name: "m" base_path: "m" } }', "absolute"),
        ('model_config_list { config { base_path: "/m" } }', "`name`"),
        ('model_config_list { config { name: "m" base_path: "/m" } }', "model_platform"),
        (
            "model_config_list {"
            + 'config { name: "m" base_path: "/m" model_platform: "tensorflow" }' * 2
            + "}",
            "twice: m",
        ),
    ],
)
def test_a_config_that_can_not_be_followed(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "models.config").write_text(text, "utf-8")
    with pytest.raises(ValueError, match=f"(?s){message}.*|Received: .*{message}"):
        in_config(tmp_path / "models.config")


def test_a_folder_may_hold_models_or_be_one(put: Put, models: Path) -> None:
    put(1)
    shutil.copytree(models / "m", models / "2024")
    shutil.copytree(models / "m", models / ".hidden")
    (models / "empty").mkdir()
    (models / "m" / "1.keras").touch()
    (models / "m" / "7").touch()
    assert [source.name for source in in_folder(models)()] == ["2024", "m"]
    assert [source.name for source in in_folder(models / "m")()] == ["m"]
    with pytest.raises(ValueError, match="This is a version"):
        in_folder(models / "m" / "1")
    for wrong in (models / "none", models / "m" / "1.keras"):
        with pytest.raises(NotADirectoryError, match=f"Received: {wrong}"):
            in_folder(wrong)
