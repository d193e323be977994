"""Exports: versioned, whole or not at all, and never over what is there."""

from __future__ import annotations

import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_seqzoo as sz
from keras_seqzoo.serving import export
from keras_seqzoo.serving.saved import SavedPredictor, load_predictor


@pytest.mark.parametrize("name", ["lstm", pytest.param("bigru", marks=pytest.mark.slow)])
def test_an_export_from_a_gpu_machine_runs_on_cpus(
    name: str, tmp_path: Path, tiny_table: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where TensorFlow lists a GPU, Keras would write cuDNN's kernels into the graph."""
    model = sz.build_model(name, tiny_table, units=4, embedding_dim=4)
    listed = tf.config.list_logical_devices
    gpu = [tf.config.LogicalDevice("/device:GPU:0", "GPU")]
    monkeypatch.setattr(
        tf.config, "list_logical_devices", lambda kind=None: gpu if kind == "GPU" else listed(kind)
    )
    exported = sz.export_model(model, tmp_path / "model")
    monkeypatch.undo()
    served = tf.saved_model.load(str(exported)).signatures["serving_default"]
    answer = served(text=tf.constant(["a good film"]))["probabilities"]
    np.testing.assert_allclose(answer, model.predict(["a good film"], verbose=0), atol=1e-5)


def test_versions_count_up_from_the_highest(
    tiny_model: Any, tiny_export: Path, tmp_path: Path
) -> None:
    assert tiny_export.name == "1"
    (tmp_path / "7").mkdir()
    assert sz.export_model(tiny_model, tmp_path).name == "8"
    assert sz.export_model(tiny_model, tmp_path, version=3).name == "3"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["3", "7", "8"]


def test_signatures_are_those_of_the_contract(tiny_export: Path) -> None:
    loaded = tf.saved_model.load(str(tiny_export))
    forms = {
        name: (f.structured_input_signature[1], f.structured_outputs)
        for name, f in loaded.signatures.items()
    }
    assert set(forms) == {"serving_default", "classify", "tokens", "embed"}
    inputs, outputs = forms["serving_default"]
    assert {k: (v.dtype, v.shape.rank) for k, v in inputs.items()} == {"text": (tf.string, 1)}
    assert {k: (v.dtype, v.shape.as_list()) for k, v in outputs.items()} == {
        "label": (tf.string, [None]),
        "probability": (tf.float32, [None]),
        "probabilities": (tf.float32, [None, 2]),
    }
    assert set(forms["tokens"][0]) == {"token_ids", "padding_mask", "segment_ids"}
    assert set(forms["classify"][1]) == {"classes", "scores"}
    assert forms["embed"][1]["embedding"].shape.as_list() == [None, 8]


def test_classify_is_marked_for_the_classify_api(tiny_export: Path) -> None:
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        meta = tf.compat.v1.saved_model.loader.load(session, ["serve"], str(tiny_export))
    methods = {name: s.method_name for name, s in meta.signature_def.items()}
    assert methods["classify"] == "tensorflow/serving/classify"
    assert methods["serving_default"] == methods["tokens"] == "tensorflow/serving/predict"


def test_loads_as_the_server_loads_it(tiny_export: Path, tiny_model: Any) -> None:
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        meta = tf.compat.v1.saved_model.loader.load(session, ["serve"], str(tiny_export))
        signature = meta.signature_def["serving_default"]
        answer = session.run(
            signature.outputs["probabilities"].name,
            {signature.inputs["text"].name: [b"a good film", b""]},
        )
    np.testing.assert_allclose(
        answer, tiny_model.predict(["a good film", ""], verbose=0), atol=1e-5
    )


def test_tokens_signature_answers_as_the_text_one(tiny_export: Path, tiny_model: Any) -> None:
    signatures = tf.saved_model.load(str(tiny_export)).signatures
    features = tiny_model.preprocessor(["a good film", "a bad book"])
    by_ids = signatures["tokens"](**features)["probabilities"]
    by_text = signatures["serving_default"](text=tf.constant(["a good film", "a bad book"]))
    np.testing.assert_allclose(by_ids, by_text["probabilities"], atol=1e-6)


def test_card_tells_what_the_model_is(tiny_export: Path) -> None:
    card = json.loads((tiny_export / "assets.extra" / "model_card.json").read_text())
    assert card["classes"] == ["negative", "positive"]
    assert card["card"]["name"] == card["model"] == "gru"
    assert card["signatures"] == ["classify", "embed", "serving_default", "tokens"]


@pytest.mark.skipif(os.name != "posix", reason="folder modes are POSIX's")
def test_a_version_and_all_in_it_keep_the_umask(tiny_model: Any, tmp_path: Path) -> None:
    before = os.umask(0o002)
    try:
        exported = sz.export_model(tiny_model, tmp_path / "new" / "model")
    finally:
        os.umask(before)
    entries = [tmp_path / "new", exported.parent, exported, *exported.rglob("*")]
    assert {p.stat().st_mode & 0o777 for p in entries if p.is_dir()} == {0o775}
    assert {p.stat().st_mode & 0o777 for p in entries if p.is_file()} == {0o664}


def test_a_version_with_other_classes_takes_no_one_s_place(
    tiny_model: Any, tiny_table: Any, tmp_path: Path
) -> None:
    card = tmp_path / "1" / "assets.extra" / "model_card.json"
    card.parent.mkdir(parents=True)
    card.write_text('{"classes": ["0", "1"], "signatures": ["serving_default"]}')
    with pytest.raises(
        ValueError, match=r"allow_changes=True .*'0', '1'\) of text, and .*'negative', 'positive'"
    ):
        sz.export_model(tiny_model, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["1"]
    assert sz.export_model(tiny_model, tmp_path, allow_changes=True).name == "2"
    embedder = sz.build_model("gru", tiny_table, task="embed", units=4, embedding_dim=4)
    with pytest.raises(ValueError, match="a model of the task embed of text, without classify"):
        sz.export_model(embedder, tmp_path)


def test_existing_version_is_left_as_it_was(
    tiny_model: Any, tiny_export: Path, tmp_path: Path
) -> None:
    path = Path(shutil.copytree(tiny_export, tmp_path / "1"))
    before = {p: p.stat().st_mtime_ns for p in path.rglob("*")}
    with pytest.raises(FileExistsError, match=r"never overwritten.*next free one"):
        sz.export_model(tiny_model, tmp_path, version=1)
    assert {p: p.stat().st_mtime_ns for p in path.rglob("*")} == before
    assert [p.name for p in tmp_path.iterdir()] == ["1"]


def test_failing_export_leaves_nothing(
    tiny_model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export, "_set_methods", full_disk)
    with pytest.raises(OSError, match="No space left"):
        sz.export_model(tiny_model, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_exporters_at_once_get_versions_of_their_own(tiny_model: Any, tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        paths = list(pool.map(lambda _: sz.export_model(tiny_model, tmp_path), range(2)))
    assert sorted(p.name for p in paths) == ["1", "2"]
    assert all((p / "assets.extra" / "model_card.json").is_file() for p in paths)


def test_unwritable_folder_is_an_error(tiny_model: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        sz.export_model(tiny_model, tmp_path / "file" / "reviews")


def test_wrong_arguments_are_explained(tiny_model: Any, tmp_path: Path) -> None:
    for version in (0, -1, "2", True):
        with pytest.raises(ValueError, match="at least 1"):
            sz.export_model(tiny_model, tmp_path, version=version)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"takes a model of keras_seqzoo.*Sequential"):
        sz.export_model(keras.Sequential(), tmp_path)  # type: ignore[arg-type]


def test_saved_classifier_answers_as_the_model(tiny_export: Path, tiny_model: Any) -> None:
    texts = ["a good film", "", "dull " * 50, "great"]
    for path in (tiny_export, tiny_export.parent):
        saved = SavedPredictor(path)
        assert saved.classes == tiny_model.classes
        np.testing.assert_allclose(
            saved.predict(texts, batch_size=2), tiny_model.predict(texts, verbose=0), atol=1e-5
        )
    assert saved.predict([]).shape == (0, 2)


def test_saved_classifier_can_be_evaluated(tiny_export: Path, tiny_table: Any) -> None:
    assert sz.evaluate(SavedPredictor(tiny_export), tiny_table).accuracy == 1


def test_loading_explains_what_is_wrong(tiny_export: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no SavedModel"):
        load_predictor(tmp_path)
    with pytest.raises(FileNotFoundError, match="no such file"):
        load_predictor(tmp_path / "a.keras")
    (tmp_path / "a.keras").write_text("nonsense")
    with pytest.raises(ValueError, match="damaged"):
        load_predictor(tmp_path / "a.keras")
    keras.Sequential([keras.layers.Dense(1)]).save(tmp_path / "other.keras")
    with pytest.raises(ValueError, match="not hold a model of keras_seqzoo"):
        load_predictor(tmp_path / "other.keras")
    tf.saved_model.save(tf.Module(), str(tmp_path / "foreign"))
    with pytest.raises(ValueError, match="not exported by keras_seqzoo"):
        load_predictor(tmp_path / "foreign")


def test_damaged_saved_model_is_explained(tiny_export: Path, tmp_path: Path) -> None:
    path = Path(shutil.copytree(tiny_export, tmp_path / "1"))
    (path / "variables" / "variables.data-00000-of-00001").write_bytes(b"cut")
    with pytest.raises(ValueError, match="damaged or missing"):
        SavedPredictor(path)
