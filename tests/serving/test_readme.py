"""The card that is written with every export: metadata that the Hub reads, and code that runs."""

from __future__ import annotations

import json
import re
import socket
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
from huggingface_hub import ModelCard
from samples import NEGATIVE, POSITIVE

import keras_seqzoo as sz
from keras_seqzoo.hub.resolve import public_source
from keras_seqzoo.serving.card import facts
from keras_seqzoo.serving.readme import KERAS, figures_of, readme

TEXTS = POSITIVE + NEGATIVE
PAIRS = list(zip(TEXTS, TEXTS[::-1], strict=True))


def code_of(card: ModelCard, language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)\n```", card.text, re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture(scope="module")
def exported(tiny_model: Any, tiny_table: Any, tmp_path_factory: Any) -> tuple[Path, Any]:
    report = sz.evaluate(tiny_model, tiny_table.take(range(5, 14)))
    folder = tmp_path_factory.mktemp("exported") / "reviews"
    with pytest.MonkeyPatch.context() as patch:  # nobody is asked about a card

        def connect(*_: object) -> None:
            raise AssertionError("a connection")

        patch.setattr(socket.socket, "connect", connect)
        return sz.export_model(tiny_model, folder, report=report), report


def test_a_card_has_the_figures_of_the_test(exported: Any) -> None:
    path, report = exported
    card = ModelCard.load(path / "assets.extra" / "README.md")
    assert card.data.library_name == "keras_seqzoo"
    assert card.data.pipeline_tag == "text-classification"
    assert {"keras", "tensorflow", "saved-model", "classify"} <= set(card.data.tags)
    assert card.data.get("license") is card.data.get("base_model") is None, "learnt from scratch"
    figures = {result.metric_type: result.metric_value for result in card.data.eval_results}
    assert figures == {k: v for k, v in report.figures.items() if np.isfinite(v)}
    assert "9 rows" in card.text
    low, high = report.intervals["accuracy"]
    assert f"| accuracy | {report.accuracy:.4f} | {low:.4f} to {high:.4f} |" in card.text
    assert "'negative', 'positive'" in card.text
    told = json.loads((path / "assets.extra" / "model_card.json").read_text())["test"]
    assert told["rows"] == 9
    assert told["figures"] == figures
    assert told["intervals"]["accuracy"] == [low, high]


def test_a_card_says_how_to_ask(exported: Any, tiny_model: Any) -> None:
    card = ModelCard.load(exported[0] / "assets.extra" / "README.md")
    *code, asked = code_of(card, "python").replace("FOLDER", str(exported[0])).splitlines()
    names: dict[str, Any] = {}
    exec("\n".join(code), names)
    answer = eval(asked, names)
    text = json.loads(re.search("'(.*)'", code_of(card, "sh"))[1])["instances"]  # type: ignore[index]
    expected = tiny_model.predict(text, verbose=0)
    np.testing.assert_allclose(answer["probabilities"], expected, atol=1e-5)
    assert "/v1/models/reviews:predict" in card.text


def test_no_test_is_told_so(tiny_export: Path) -> None:
    card = ModelCard.load(tiny_export / "assets.extra" / "README.md")
    assert card.data.eval_results is None
    assert "without test figures" in card.text


@pytest.mark.slow
@pytest.mark.skipif(not find_spec("openvino_tokenizers"), reason="needs openvino-tokenizers")
def test_other_formats_have_one(tiny_model: Any, tmp_path: Path) -> None:
    path = sz.export_model(tiny_model, tmp_path, format="openvino", report={"accuracy": 0.5})
    card = ModelCard.load(path / "assets.extra" / "README.md")
    assert "openvino" in card.data.tags
    assert card.data.eval_results[0].metric_value == 0.5
    code = code_of(card, "python").replace("model.xml", str(path / "model.xml"))
    exec(code, {})


def test_ids_are_told_as_they_are(tiny_model: Any) -> None:
    artifact = {
        "file": "model.onnx", "inputs": {"token_ids": "int32"}, "tokenizer": "tokenizer.json",
        "outputs": {"probabilities": "float32"},
    }  # fmt: skip
    told = {**facts(tiny_model, "onnx", ["token_ids", "segment_ids"]), "artifact": artifact}
    text = readme(told, "m")
    assert "encode_batch" in text
    assert "onnxruntime" in text
    told["artifact"] = {**artifact, "tokenizer": "tokenizer"}
    assert "The SavedModel `tokenizer`" in readme(told, "m")


def test_whole_numbers_of_8_bits_are_told(tiny_model: Any) -> None:
    told = facts(tiny_model, "saved_model", ["text"], figures_of({"accuracy": 0.5}))
    told |= {"optimized": {"largest_difference": 0.02, "texts": 4}}
    text = readme(told | {"serving": {"tensorflow_text_ops": []}}, "m")
    assert "up to 0.02 on 4 texts" in text


@pytest.mark.parametrize(
    ("texts", "labels", "options", "pipeline", "asked"),
    [
        (PAIRS, ["a", "b"] * 8, {}, "text-classification", 'predict([["'),
        (TEXTS, np.arange(16.0), {"target": "number"}, "text-classification", "as_frame=True"),
        (TEXTS, ["a", "b"] * 8, {"task": "embed"}, "feature-extraction", 'predict(["'),
        (TEXTS, None, {"task": "generate"}, "text-generation", "model.generate(["),
    ],
)
def test_a_keras_file_is_asked_by_task(
    texts: Any, labels: Any, options: dict[str, str], pipeline: str, asked: str
) -> None:
    table = sz.TextTable.from_texts(texts, labels, target=options.get("target"))
    model = sz.build_model("gru", table, task=options.get("task"), units=4, embedding_dim=4)
    card = ModelCard(readme(facts(model, KERAS, model.served_inputs), "m"))
    assert card.data.pipeline_tag == pipeline
    assert asked in code_of(card, "python")
    exec(
        code_of(card, "python").rpartition("\n")[2].replace("predict", "predict"), {"model": model}
    )


def test_a_series_is_asked_with_windows() -> None:
    frame = pd.DataFrame({"day": pd.date_range("2024-01-01", periods=40), "sales": np.arange(40.0)})
    series = sz.read_series(frame, time="day", value="sales", window=5, horizon=2)
    model = sz.build_model("gru", series, units=4)
    card = ModelCard(readme(facts(model, KERAS, model.served_inputs), "m"))
    assert card.data.pipeline_tag == "time-series-forecasting"
    exec(code_of(card, "python").rpartition("\n")[2], {"model": model, "np": np})


def test_where_weights_came_from(
    tiny_model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiny_model, "source", "hf://google/b", raising=False)
    tiny_model.save(tmp_path / "m.keras")
    loaded: Any = keras.models.load_model(tmp_path / "m.keras")
    assert loaded.source == "hf://google/b"
    built = sz.build_model("gru", classes=["a", "b"], weights=str(tmp_path / "m.keras"))
    assert built.source == loaded.source
    card = ModelCard(readme(facts(loaded, KERAS, ["text"]), "m"))
    assert card.data.base_model == "google/b"
    assert "hf://google/b" in card.text
    assert card.data.get("license") is None, "not that of the zoo's own weights"
    of_zoo = {**facts(loaded, KERAS, ["text"]), "card": sz.model_card("bert_base").as_dict()}
    of_zoo["source"] = of_zoo["card"]["source"]
    card = ModelCard(readme(of_zoo, "m"))
    assert card.data.license == "apache-2.0"
    assert card.data.get("base_model") is None, "no repository of the Hub"


def test_no_path_and_no_password_is_told(tmp_path: Path) -> None:
    assert public_source(str(tmp_path)) == "a local folder"
    assert public_source("https://me:pw@x.org/a/1?key=3#b") == "https://x.org/a/1"
    assert public_source("hf://google/b") == "hf://google/b"


def test_a_report_is_one(tiny_model: Any, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"what evaluate\(model, table\) returns.* Received: float"):
        sz.export_model(tiny_model, tmp_path, report=0.9)
    assert not list(tmp_path.iterdir())


def test_what_is_no_number_is_left_out() -> None:
    told = figures_of(
        {
            "rows": "3",
            "intervals": [],
            "f1": float("nan"),
            "classes": ["a"],
            "accuracy": 1,
            "x": None,
        }
    )
    assert told == {"rows": None, "figures": {"accuracy": 1.0}, "intervals": {}}
