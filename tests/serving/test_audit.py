"""What is found in a SavedModel before a server finds it, and what export refuses to publish."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from cpp_session import CppSession

import keras_seqzoo as sz
from keras_seqzoo.serving import warmup
from keras_seqzoo.serving.audit import audit
from keras_seqzoo.serving.session import SavedSession


@pytest.fixture
def version(tiny_export: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(tiny_export, tmp_path / "reviews" / "1"))


def save(path: Path, function: Any) -> Path:
    """Writes a foreign SavedModel whose default signature is a function of strings."""
    module = tf.Module()
    signature = tf.function(function).get_concrete_function(
        tf.TensorSpec([None], tf.string, name="text")
    )
    tf.saved_model.save(module, str(path), signatures=signature)
    return path


def test_a_sound_export_is_described(tiny_export: Path, tiny_model: Any) -> None:
    found = audit(tiny_export)
    assert found.passed
    assert found.notes == []
    assert found.signatures["serving_default"].inputs == {"text": "string (?,)"}
    assert found.signatures["serving_default"].outputs["probabilities"] == "float32 (?, 2)"
    assert found.signatures["classify"].method == "tensorflow/serving/classify"
    assert found.parameters == tiny_model.count_params()
    assert found.warmup_requests > 5
    on_disk = sum(p.stat().st_size for p in tiny_export.rglob("*") if p.is_file())
    assert found.sizes["total"] == on_disk
    assert json.loads(json.dumps(found.as_dict()))["passed"] is True
    told = str(found).splitlines()
    assert told[0] == f"{tiny_export}: TensorFlow loads it, and it answers"
    assert "signatures: classify, embed, serving_default, tokens" in told


def test_ops_of_tensorflow_text_are_told_apart(tmp_path: Path, tiny_table: Any) -> None:
    model = sz.build_model("bert_base", tiny_table, weights=None, **sz.model_card("bert_base").tiny)
    found = audit(sz.export_model(model, tmp_path))
    assert found.passed
    assert any("Wordpiece" in op for op in found.text_ops)


def test_python_is_refused_and_named(tmp_path: Path) -> None:
    def shout(text: tf.Tensor) -> dict[str, tf.Tensor]:
        with tf.name_scope("shouting_layer"):
            loud = tf.numpy_function(lambda t: np.char.upper(t.astype(str)), [text], tf.string)
        return {"text": loud}

    found = audit(save(tmp_path / "1", shout))
    assert not found.passed
    assert "calls Python" in found.problems[0]
    assert "shouting_layer" in found.problems[0]


@keras.saving.register_keras_serializable("tests")
class PythonOnly(keras.layers.Layer):
    """A layer that a server cannot run."""

    def call(self, inputs: Any) -> Any:
        outputs = tf.numpy_function(lambda x: x, [inputs], tf.float32)
        outputs.set_shape(inputs.shape)
        return outputs


def test_export_refuses_a_layer_of_python(tmp_path: Path, tiny_model: Any) -> None:
    encoder = tiny_model.encoder
    outputs = dict(encoder.output)
    outputs["sequence_output"] = PythonOnly(name="only_python")(outputs["sequence_output"])
    model = type(tiny_model)(
        keras.Model(encoder.input, outputs), tiny_model.preprocessor, tiny_model.task, "mean"
    )
    with pytest.raises(ValueError, match=r"Nothing was published.*calls Python.*only_python"):
        sz.export_model(model, tmp_path / "models")
    assert not (tmp_path / "models").exists()


def test_a_missing_default_signature_is_told(tmp_path: Path) -> None:
    tf.saved_model.save(tf.Module(), str(tmp_path / "1"))
    assert "no signature serving_default" in audit(tmp_path / "1").problems[0]


def test_answers_that_are_no_numbers_are_told(tmp_path: Path) -> None:
    path = save(
        tmp_path / "1",
        lambda text: {"p": tf.math.log(-tf.cast(tf.strings.length(text) + 1, tf.float32))},
    )
    assert "not finite" in audit(path).problems[0]


def test_a_graph_that_reaches_files_is_noted(tmp_path: Path) -> None:
    path = save(
        tmp_path / "1", lambda text: {"n": tf.strings.length(tf.io.matching_files("nowhere/*"))}
    )
    assert any("reach files: MatchingFiles" in note for note in audit(path).notes)


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("saved_model.pb", "saved_model.pb cannot be read"),
        ("variables/variables.index", "variables cannot be read"),
        ("variables/variables.data-00000-of-00001", "variables cannot be read"),
        ("assets.extra/tf_serving_warmup_requests", "warm-up requests cannot be read"),
    ],
)
def test_damage_is_found(file: str, said: str, version: Path) -> None:
    content = bytearray((version / file).read_bytes())
    content[len(content) // 2 : len(content) // 2 + 8] = b"\xff" * 8
    (version / file).write_bytes(content[: -len(content) // 4])
    found = audit(version)
    assert not found.passed
    assert said in found.problems[0]


def test_garbage_for_warmup_is_found(version: Path) -> None:
    for content in (b"garbage", b"garbage" * 20):
        (version / warmup.FILE).write_bytes(content)
        assert "warm-up requests cannot be read" in audit(version).problems[0]


def test_a_flipped_bit_of_a_weight_is_found(version: Path) -> None:
    file = version / "variables" / "variables.data-00000-of-00001"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    assert "variables cannot be read" in audit(version).problems[0]


def test_missing_files_are_found(version: Path) -> None:
    (version / "variables" / "variables.index").unlink()
    assert "variables.index is missing" in audit(version).problems[0]
    with pytest.raises(FileNotFoundError, match=r"Pass the folder of a version.*Received"):
        audit(version.parent)


def test_the_loaders_of_cpp_and_python_agree(tiny_export: Path, tiny_model: Any) -> None:
    texts = ["a good film", "", "dull " * 50, "日本語 \x00 and a NUL", "x"]
    strings = np.array([t.encode() for t in texts], object)
    session, cpp = SavedSession(tiny_export), CppSession(tiny_export)
    signature = session.signatures["serving_default"]
    expected = session.run("serving_default", {"text": strings})
    outputs = list(signature.outputs)
    for batch in (strings, strings[:0], strings[:1]):
        answers = cpp.run(
            {signature.inputs["text"].name: batch}, [signature.outputs[o].name for o in outputs]
        )
        for output, answer in zip(outputs, answers, strict=True):
            rows = expected[output][: len(batch)]
            if answer.dtype == object:
                assert answer.tolist() == rows.tolist()
            else:
                np.testing.assert_allclose(answer, rows, atol=1e-5, err_msg=output)
    np.testing.assert_allclose(
        expected["probabilities"], tiny_model.predict(texts, verbose=0), atol=1e-5
    )
    with pytest.raises(ValueError, match="no such tensor"):
        cpp.run({}, ["nothing:0"])
    with pytest.raises(ValueError, match=r"feed a value"):
        cpp.run({}, [signature.outputs["probability"].name])
    cpp.close()
    session.close()


def test_tensorflow_does_not_tell_of_its_older_loader(tiny_export: Path) -> None:
    told: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = told.append  # type: ignore[method-assign]
    tf.get_logger().addHandler(handler)
    try:
        assert audit(tiny_export).passed
        tf.get_logger().error("an error is told")
    finally:
        tf.get_logger().removeHandler(handler)
    assert [record.getMessage() for record in told] == ["an error is told"]


def test_warmup_is_of_several_lengths_and_all_signatures(tiny_export: Path) -> None:
    requests = list(warmup.read(tiny_export))
    assert {name for name, _ in requests} == {"serving_default", "classify", "tokens", "embed"}
    texts = [inputs["text"] for name, inputs in requests if name == "serving_default"]
    lengths = [len(batch[0].split()) for batch in texts if batch.size == 1]
    assert lengths == sorted(lengths)
    assert lengths[0] < 10 < 100 < lengths[-1]
    session = SavedSession(tiny_export)
    assert warmup.replay(session) == len(requests)
    session.close()


def test_warmup_takes_one_s_own_texts(tiny_model: Any, tmp_path: Path) -> None:
    texts = [f"{'good ' * n}film" for n in range(30)]
    path = sz.export_model(tiny_model, tmp_path, warmup=texts)
    asked = {t for name, r in warmup.read(path) if name == "serving_default" for t in r["text"]}
    assert len(asked) == warmup.MOST_TEXTS
    assert {texts[0].encode(), texts[-1].encode()} <= asked <= {t.encode() for t in texts}
    assert list(warmup.read(sz.export_model(tiny_model, tmp_path, warmup=[]))) == []
    with pytest.raises(TypeError, match="Every text must be a string"):
        sz.export_model(tiny_model, tmp_path, warmup=[1])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["1", "2"]
