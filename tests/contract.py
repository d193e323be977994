"""What every registered model must do. Registering a model enrols it here.

A model is built at the size of its card's `tiny` options, from scratch. Names that differ in their
default size or their pretrained weights alone are one model then, which is trained once.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from samples import NEGATIVE, POSITIVE

import keras_seqzoo as sz

TEXTS = [
    "a good film",
    "I hated the dull story, and the awful cast, and the bad book",
    "",
    "   ",
    "never seen words, 日本語 😀 <br /> it's",
    b"invalid \xff\xfe bytes and a \x00 byte".decode("latin-1"),
]

# Rates at which forty passes over sixteen texts are enough.
RATES = {"recurrent": 0.02, "BERT": 0.005, "ELECTRA": 0.005}

# Answers with neither Keras nor keras_seqzoo: importing either fails. TensorFlow Text brings the
# ops of WordPiece, which TensorFlow Serving has.
SERVE = """
import json, sys
import tensorflow as tf
import tensorflow_text
sys.modules["keras"] = sys.modules["keras_seqzoo"] = None
folders, texts = json.load(sys.stdin)
answers = {}
for name, folder in folders.items():
    module = tf.saved_model.load(folder)
    answer = module.signatures["serving_default"](text=tf.constant(texts))
    one_by_one = [module.signatures["serving_default"](text=tf.constant([t])) for t in texts]
    examples = [tf.train.Example(features=tf.train.Features(feature={"text": tf.train.Feature(
        bytes_list=tf.train.BytesList(value=[t.encode()]))})).SerializeToString() for t in texts]
    classified = module.signatures["classify"](inputs=tf.constant(examples))
    answers[name] = {
        "label": [label.decode() for label in answer["label"].numpy()],
        "probability": answer["probability"].numpy().tolist(),
        "probabilities": answer["probabilities"].numpy().tolist(),
        "one_by_one": [a["probabilities"].numpy()[0].tolist() for a in one_by_one],
        "classes": [c.decode() for c in classified["classes"].numpy()[0]],
        "scores": classified["scores"].numpy().tolist(),
        "no_token": [module.signatures["tokens"](**dict.fromkeys(
            ("token_ids", "padding_mask", "segment_ids"), tf.zeros([1, length], tf.int32)))[
            "probabilities"].numpy()[0].tolist() for length in (0, 1, 3)],
        "empty": module.signatures["serving_default"](
            text=tf.constant([], tf.string))["probabilities"].shape.as_list(),
    }
print(json.dumps(answers))
"""

# A fresh process that only imports the package and asks Keras for the file.
RELOAD = """
import json, sys
import keras_seqzoo
import keras
files, texts = json.load(sys.stdin)
answers = {}
for name, file in files.items():
    model = keras.models.load_model(file)
    answers[name] = {
        "probabilities": model.predict(texts, verbose=0).tolist(),
        "classes": list(model.classes),
        "vocabulary": len(model.preprocessor.vocabulary),
        "optimizer_steps": int(model.optimizer.iterations),
    }
print(json.dumps(answers))
"""


def _essence(name: str) -> str:
    """What a model is when it is built tiny and from scratch."""
    card = sz.model_card(name)
    elsewhere = ("handle", "hub_preprocessor", "preset", "size")
    fixed = {k: v for k, v in card.fixed.items() if k not in elsewhere}
    return repr((card.family, sorted(card.tiny.items()), card.options, fixed))


# One name of each kind: the others differ in default size or in pretrained weights alone.
MODELS = list({_essence(name): name for name in reversed(sz.list_models())}.values())


@dataclass
class Trained:
    """A trained model with what was saved of it."""

    model: Any
    history: list[float]
    keras_file: Path
    exported: Path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Trained]:
    """Every registered model, trained on sixteen texts, saved and exported."""
    folder = tmp_path_factory.mktemp("contract")
    table = _sixteen()
    models: dict[str, Trained] = {}
    for name in MODELS:
        keras.utils.set_random_seed(1)
        model = sz.build_model(name, table, weights=None, **sz.model_card(name).tiny)
        data = sz.make_dataset(table, model, batch_size=8, shuffle=True, seed=0)
        model.optimizer.learning_rate = RATES.get(sz.model_card(name).family, 0.005)
        history = model.fit(data, epochs=40, verbose=0).history["loss"]
        model.save(folder / f"{name}.keras")
        exported = sz.export_model(model, folder / name)
        models[name] = Trained(model, history, folder / f"{name}.keras", exported)
    return models


@pytest.fixture(scope="module")
def served(trained: dict[str, Trained]) -> Any:
    """The SavedModels' answers, from one process without Keras."""
    return _in_fresh_process(SERVE, {n: str(t.exported) for n, t in trained.items()})


@pytest.fixture(scope="module")
def reloaded(trained: dict[str, Trained]) -> Any:
    """The `.keras` files' answers, from one fresh process."""
    return _in_fresh_process(RELOAD, {n: str(t.keras_file) for n, t in trained.items()})


@pytest.fixture(params=MODELS)
def name(request: pytest.FixtureRequest) -> str:
    """The name of a registered model."""
    return request.param


def test_overfits_sixteen_examples(name: str, trained: dict[str, Trained]) -> None:
    model, table = trained[name].model, _sixteen()
    assert trained[name].history[-1] < 0.1
    assert (model.predict(table, verbose=0).argmax(axis=1) == table.labels).all()


def test_answers_are_probabilities(name: str, trained: dict[str, Trained]) -> None:
    answers = trained[name].model.predict(TEXTS, verbose=0)
    assert answers.shape == (len(TEXTS), 2)
    assert answers.dtype == np.float32
    np.testing.assert_allclose(answers.sum(axis=1), 1, atol=1e-5)


def test_strings_dataset_and_features_agree(name: str, trained: dict[str, Trained]) -> None:
    model = trained[name].model
    from_strings = model.predict(TEXTS, verbose=0)
    table = sz.TextTable.from_texts(TEXTS, [0, 1] * (len(TEXTS) // 2), classes=model.classes)
    from_dataset = model.predict(sz.make_dataset(table, model, batch_size=4), verbose=0)
    features = model.preprocessor(TEXTS)
    from_features = model.predict({k: v.numpy() for k, v in features.items()}, verbose=0)
    np.testing.assert_allclose(from_dataset, from_strings, atol=1e-5)
    np.testing.assert_allclose(from_features, from_strings, atol=1e-5)


def test_padding_does_not_change_an_answer(name: str, trained: dict[str, Trained]) -> None:
    model = trained[name].model
    features = {k: v.numpy() for k, v in model.preprocessor(["a good film"]).items()}
    padded = {k: np.pad(v, ((0, 0), (0, 13))) for k, v in features.items()}
    np.testing.assert_allclose(
        model.predict(padded, verbose=0), model.predict(features, verbose=0), atol=1e-5
    )


def test_batch_mates_do_not_change_an_answer(name: str, trained: dict[str, Trained]) -> None:
    model = trained[name].model
    together = model.predict_on_batch(TEXTS)
    alone = np.concatenate([model.predict_on_batch([text]) for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_file_brings_back_the_model(name: str, trained: dict[str, Trained], reloaded: Any) -> None:
    model = trained[name].model
    assert reloaded[name]["classes"] == list(model.classes) == ["negative", "positive"]
    assert reloaded[name]["vocabulary"] == len(model.preprocessor.vocabulary)
    assert reloaded[name]["optimizer_steps"] == int(model.optimizer.iterations) > 0
    np.testing.assert_allclose(
        reloaded[name]["probabilities"], model.predict(TEXTS, verbose=0), atol=1e-5
    )


def test_saved_model_answers_as_predict(
    name: str, trained: dict[str, Trained], served: Any
) -> None:
    expected = trained[name].model.predict(TEXTS, verbose=0)
    answer = served[name]
    np.testing.assert_allclose(answer["probabilities"], expected, atol=1e-5)
    np.testing.assert_allclose(answer["one_by_one"], expected, atol=1e-5)
    np.testing.assert_allclose(answer["scores"], expected, atol=1e-5)
    np.testing.assert_allclose(answer["probability"], expected.max(axis=1), atol=1e-5)
    assert answer["empty"] == [0, 2]


def test_rows_without_a_token_are_answered(name: str, served: Any) -> None:
    """A client may send features that no preprocessor makes; no position of these is real."""
    answers = np.array(served[name]["no_token"])
    np.testing.assert_allclose(answers.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(answers, answers[[0, 0, 0]], atol=1e-5)


def test_saved_model_knows_its_classes(name: str, trained: dict[str, Trained], served: Any) -> None:
    classes = trained[name].model.classes
    assert served[name]["classes"] == list(classes)
    best = np.argmax(served[name]["probabilities"], axis=1)
    assert served[name]["label"] == [classes[i] for i in best]


@pytest.mark.parametrize("name", sz.list_models())
def test_card_tells_the_size(name: str) -> None:
    card = sz.model_card(name)
    if card.parameters > 20_000_000:
        pytest.skip("its weights would fill gigabytes; smaller models of its family are counted")
    words = [f"w{i}" for i in range(card.size["vocabulary_size"] - 2)]
    if card.family != "recurrent":
        words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words[2:]]
    model = sz.build_model(name, vocabulary=words, classes=["no", "yes"], weights=None)
    assert model.count_params() == card.parameters


def _sixteen() -> sz.TextTable:
    labels = ["positive"] * len(POSITIVE) + ["negative"] * len(NEGATIVE)
    return sz.TextTable.from_texts(POSITIVE + NEGATIVE, labels)


def _in_fresh_process(script: str, paths: dict[str, str]) -> Any:
    done = subprocess.run(
        [sys.executable, "-c", script],
        input=json.dumps([paths, TEXTS]),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])
