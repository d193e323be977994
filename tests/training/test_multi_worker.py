"""Two workers, each a process of its own: two kinds of model, and what may go wrong."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import replicas
import tensorflow as tf
from two_workers_launch import launch

import keras_seqzoo as sz

pytestmark = pytest.mark.slow

# The code is the same for all kinds.
MODELS = ("lstm", "bert_base")
SCRIPT = Path(__file__).with_name("two_workers.py")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("two-workers")


@pytest.fixture(scope="module")
def workers(folder: Path) -> list[dict[str, Any]]:
    """What the two workers found, by model."""
    done = launch(sys.executable, SCRIPT, folder, *MODELS)
    assert done.returncode == 0, done.stderr[-3000:]
    found = []
    for worker in range(2):
        lines = (folder / f"worker-{worker}.jsonl").read_text().splitlines()
        found.append({result["name"]: result for result in map(json.loads, lines)})
    return found


@pytest.mark.parametrize("name", MODELS)
def test_workers_end_with_the_same_model(name: str, workers: list[dict[str, Any]]) -> None:
    chief, other = workers[0][name], workers[1][name]
    for what in chief:
        if what not in ("predicted", "exported"):
            assert chief[what] == other[what], what
    assert np.isfinite(chief["history"]["val_loss"]).all()
    np.testing.assert_allclose(chief["predicted"], other["predicted"], atol=1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_metrics_are_those_of_the_predictions(name: str, workers: list[dict[str, Any]]) -> None:
    """Exact over all rows, not means of what the workers found."""
    chief = workers[0][name]
    labels = np.array([1] * 8 + [0] * 8 + [1])
    predicted = np.array(chief["predicted"])
    right = float((predicted.argmax(axis=1) == labels).mean())
    loss = -np.log(predicted[np.arange(17), labels]).mean()
    for what in ("evaluated", "tested", "foreign"):
        if what in chief:
            np.testing.assert_allclose(chief[what], [loss, right], atol=1e-5, err_msg=what)
    assert chief.get("accuracy", right) == pytest.approx(right)


@pytest.mark.parametrize("name", MODELS)
def test_the_chief_alone_writes(name: str, folder: Path, workers: list[dict[str, Any]]) -> None:
    assert (folder / f"{name}.keras").is_file()
    assert (folder / f"{name}-best.keras").is_file()
    assert not (folder / "not-the-chief").exists()
    if "exported" in workers[0][name]:
        assert Path(workers[0][name]["exported"]) == folder / name / "1"


def test_files_answer_without_workers(folder: Path, workers: list[dict[str, Any]]) -> None:
    name = "lstm"
    assert "exported" in workers[0][name]
    texts = ["a good film", "awful and dull"]
    loaded = keras.models.load_model(folder / f"{name}.keras")
    answers = loaded.predict(texts, verbose=0)
    served = tf.saved_model.load(str(folder / name / "1")).signatures["serving_default"]
    np.testing.assert_allclose(served(text=tf.constant(texts))["probabilities"], answers, atol=1e-5)


def test_two_workers_take_the_steps_of_one_process(workers: list[dict[str, Any]]) -> None:
    alone = replicas.build("lstm", sz.distribution("one_device"))
    history = replicas.fit(alone)
    for what, values in history.items():
        np.testing.assert_allclose(workers[0]["lstm"]["history"][what], values, rtol=1e-4)
    weights = np.concatenate([np.ravel(w) for w in alone.get_weights()])
    np.testing.assert_allclose(workers[0]["lstm"]["weights"], weights[:2000], rtol=1e-4, atol=1e-6)


COMMAND = ["train", "--text", "review", "--label", "sentiment", "--model", "gru", "--epochs", "2",
           "--batch-size", "16", "-o", "units=4", "-o", "embedding_dim=8"]  # fmt: skip


def test_the_command_trains_with_two_workers(reviews_csv: Path, tmp_path: Path) -> None:
    """On three files, which the workers divide."""
    header, *rows = reviews_csv.read_text().splitlines(keepends=True)
    for number in range(3):
        (tmp_path / f"part-{number}.csv").write_text(header + "".join(rows[number::3]))
    files = tmp_path / "part-*.csv"
    done = launch(*COMMAND, files, "--out", tmp_path / "out", "--resume-or-start")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "MultiWorkerMirroredStrategy, 2 workers, 2 replicas; this is worker 0" in done.stderr
    assert done.stdout.count("Test report") == 1
    assert "[worker 1]" not in done.stdout, "one speaks for all"
    assert done.stderr.count("epoch 2/2") == 1
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        ".recovery", "1", "1.json", "1.keras"
    ]  # fmt: skip
    assert list((tmp_path / "out" / ".recovery").iterdir()) == []


def test_a_lost_worker_ends_the_others_and_all_resume(reviews_csv: Path, tmp_path: Path) -> None:
    script = Path(__file__).with_name("lost_worker.py")
    lost = launch(sys.executable, script, reviews_csv, tmp_path, "lose")
    assert lost.returncode == 175 or "137" in lost.stderr
    assert "worker was lost" in lost.stderr, lost.stderr[-3000:]
    again = launch(sys.executable, script, reviews_csv, tmp_path, "go on")
    assert again.returncode == 0, again.stderr[-3000:]
    assert "resumed in epoch 1 at step 3" in again.stdout


def test_other_data_on_a_worker_are_named(reviews_csv: Path, tmp_path: Path) -> None:
    script = Path(__file__).with_name("lost_worker.py")
    done = launch(sys.executable, script, reviews_csv, tmp_path, "other data")
    assert done.returncode == 1
    assert "rows of worker 1" in done.stderr
    assert "read the same data" in done.stderr
