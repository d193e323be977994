"""`log_model`: what MLflow loads takes a frame, and answers as the model's own frames do."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from samples import NEGATIVE, POSITIVE
from trained import few

import keras_seqzoo as sz

needs_mlflow = pytest.mark.skipif(
    find_spec("mlflow") is None, reason='needs MLflow: pip install "keras-seqzoo[mlflow]"'
)
TEXTS = POSITIVE + NEGATIVE
PAIRS = list(zip(TEXTS, TEXTS[::-1], strict=True))
ASKED = ["a good film", "awful, and dull"]
TINY = {"num_layers": 1, "num_heads": 1, "hidden_dim": 8, "intermediate_dim": 8, "weights": None}
SPANS = [[{"start": 0, "end": 3, "label": "thing"}]] * 16


@pytest.fixture
def mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """MLflow with a store of its own."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # others need the whole of MLflow
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    import mlflow

    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri((tmp_path / "store").as_uri())
    mlflow.set_experiment("reviews")
    yield mlflow
    mlflow.set_tracking_uri(before)


@needs_mlflow
def test_a_logged_model_answers_frames(
    mlflow: Any, tiny_model: Any, tiny_export: Path, tiny_table: Any
) -> None:
    report = sz.evaluate(tiny_model, tiny_table.take(range(5, 14)))
    info = sz.log_model(tiny_export, report=report, tags={"team": "reviews"})
    assert mlflow.active_run() is None
    assert info.signature.inputs.input_names() == ["text"]
    columns = ["label", "probability", "p_negative", "p_positive"]
    assert info.signature.outputs.input_names() == columns
    run = mlflow.get_run(info.run_id).data.metrics
    assert run["accuracy"] == pytest.approx(report.accuracy)
    assert run["accuracy_low"] == pytest.approx(report.intervals["accuracy"][0])
    logged = mlflow.get_logged_model(info.model_id)
    assert {metric.key for metric in logged.metrics} == set(run)
    assert logged.tags["team"] == "reviews"

    loaded = mlflow.pyfunc.load_model(info.model_uri)
    assert len(loaded.predict(loaded.input_example)) == 1
    expected = tiny_model.predict(ASKED, as_frame=True, verbose=0)
    found = loaded.predict(pd.DataFrame({"text": ASKED}))
    pd.testing.assert_frame_equal(found, expected, atol=1e-5)


@needs_mlflow
@pytest.mark.slow
def test_a_logged_model_needs_not_this_package(
    mlflow: Any, tiny_model: Any, tiny_export: Path, tmp_path: Path
) -> None:
    code = (
        "import sys, mlflow, pandas\n"
        "sys.modules['keras_seqzoo'] = None\n"
        "frame = pandas.DataFrame({'text': sys.argv[2:]})\n"
        "print('|'.join(mlflow.pyfunc.load_model(sys.argv[1]).predict(frame)['label']))"
    )
    folder = mlflow.artifacts.download_artifacts(sz.log_model(tiny_export).model_uri)
    done = subprocess.run(
        [sys.executable, "-c", code, folder, *ASKED],
        capture_output=True, text=True, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert done.stdout.strip() == "positive|negative", done.stderr


@needs_mlflow
def test_a_run_that_is_active_goes_on(mlflow: Any, tiny_export: Path) -> None:
    with mlflow.start_run() as run:
        info = sz.log_model(tiny_export, "film", report={"accuracy": 0.5})
        assert mlflow.active_run().info.run_id == run.info.run_id == info.run_id
    assert mlflow.get_run(run.info.run_id).data.metrics == {"accuracy": 0.5}


@needs_mlflow
@pytest.mark.slow
def test_a_model_is_exported_first(mlflow: Any, tiny_model: Any) -> None:
    loaded = mlflow.pyfunc.load_model(sz.log_model(tiny_model).model_uri)
    frame = loaded.predict(pd.DataFrame({"text": ASKED}))
    assert frame["label"].tolist() == ["positive", "negative"]


@needs_mlflow
def test_other_exports_are_refused(tmp_path: Path) -> None:
    card = tmp_path / "1" / "assets.extra" / "model_card.json"
    card.parent.mkdir(parents=True)
    card.write_text('{"classes": [], "format": "onnx"}')
    with pytest.raises(ValueError, match=r"Export the model again.* Received: .*the format onnx"):
        sz.log_model(tmp_path)


def test_mlflow_is_asked_for(tiny_export: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keras_seqzoo.tracking.log.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install .keras-seqzoo\[mlflow\].*Received"):
        sz.log_model(tiny_export)


def of_texts(labels: Any, texts: Any = TEXTS, **options: Any) -> Any:
    target = options.pop("target", None)
    table = sz.TextTable.from_texts(texts, labels, target=target)
    return sz.build_model("gru", table, units=4, embedding_dim=4, **options)


def of_series() -> Any:
    frame = pd.DataFrame({"day": pd.date_range("2024-01-01", periods=40), "sales": np.arange(40.0)})
    series = sz.read_series(frame, time="day", value="sales", window=5, horizon=2)
    return sz.build_model("gru", series, units=4)


MODELS: dict[str, Any] = {
    "labels": lambda: of_texts([["good", "film"], ["good"]] * 4 + [["bad"], []] * 4),
    "pairs": lambda: of_texts(["a", "b"] * 8, PAIRS),
    "number": lambda: of_texts(np.arange(16.0), target="number"),
    "numbers": lambda: of_texts(np.arange(32.0).reshape(16, 2), target="number"),
    "tags": lambda: of_texts(SPANS, target="tags"),
    "answer": lambda: of_texts([[text.split()[0]] for _, text in PAIRS], PAIRS, target="answer"),
    "series": of_series,
    "masks": lambda: sz.build_model("bert_base", TEXTS, task="fill_mask", **TINY),
}


@pytest.mark.parametrize("kind", few(MODELS, "pairs|number$|tags|answer|masks"))
def test_frames_are_those_of_predict(kind: str) -> None:
    model = MODELS[kind]()
    asked: Any = ASKED
    frame = pd.DataFrame({"text": ASKED})
    if kind in ("pairs", "answer"):
        asked = list(zip(ASKED, ASKED[::-1], strict=True))
        frame = frame.assign(text_pair=ASKED[::-1])
    if kind == "masks":
        asked = ["[MASK] good film", "a [MASK] and dull [MASK]"]
        frame = pd.DataFrame({"text": asked})
    if kind == "series":
        asked = np.arange(10.0, dtype="float32").reshape(2, 5, 1)
        frame = pd.DataFrame({"values": asked.tolist()})
    expected = model.predict(asked, verbose=0, as_frame=True)
    assert len(expected) == 2
    served = pytest.importorskip(
        "keras_seqzoo.tracking.served", reason="needs MLflow"
    ).ServedModel()
    task = model.task.as_dict()
    served.task, served.inputs = task["name"], model.served_inputs
    served.names = [*task["target"]["names"]] if task.get("target") else []
    function = tf.function(model.serving_functions()["serving_default"].function, autograph=False)
    served.ask = function.get_concrete_function(
        **{name: tf.TensorSpec(s.shape, s.dtype, name) for name, s in model.served_inputs.items()}
    )
    found = served.predict(None, frame)
    pd.testing.assert_frame_equal(found, expected, atol=1e-4, check_dtype=False)
    from mlflow.models import infer_signature

    infer_signature(frame, found)
    assert served.predict(None, frame.iloc[:0]).columns.tolist() == expected.columns.tolist()
