"""What every registered model must do. Registering a model enrols it here.

A model is built at the size of its card's `tiny` options, from scratch (`trained.py`).
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from cpp_session import ask_cpp
from trained import MODELS, TEXTS, Artefacts, Trained, few

import keras_seqzoo as sz

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
        "probabilities": model(model.preprocessor(texts)).numpy().tolist(),
        "classes": list(model.classes),
        "vocabulary": len(model.preprocessor.vocabulary),
        "optimizer_steps": int(model.optimizer.iterations),
    }
print(json.dumps(answers))
"""


@pytest.fixture(scope="session")
def asked_for(request: pytest.FixtureRequest, trained: Artefacts) -> dict[str, Trained]:
    """The kinds that this run is about."""
    items = [i for i in request.session.items if "name" in getattr(i, "fixturenames", ())]
    names = {i.callspec.params["name"] for i in items if i.path.name == "contract.py"}
    return {name: trained[name] for name in MODELS if name in names}


@pytest.fixture(scope="session")
def served(asked_for: dict[str, Trained]) -> Any:
    """The SavedModels' answers, from one process without Keras."""
    return _in_fresh_process(SERVE, {n: str(t.exported) for n, t in asked_for.items()})


@pytest.fixture(scope="session")
def reloaded(asked_for: dict[str, Trained]) -> Any:
    """The `.keras` files' answers, from one fresh process."""
    return _in_fresh_process(RELOAD, {n: str(t.keras_file) for n, t in asked_for.items()})


@pytest.fixture(
    params=few(MODELS, but="static|lstm|bilstm|bigru|electra|distilbert|roberta|deberta|gpt2")
)
def name(request: pytest.FixtureRequest) -> str:
    """The name of a registered model."""
    return request.param


def test_overfits_sixteen_examples(name: str, trained: Artefacts, tiny_table: Any) -> None:
    assert trained[name].history[-1] < 0.1
    answers = trained[name].model.predict(tiny_table, verbose=0)
    assert (answers.argmax(axis=1) == tiny_table.labels).all()


def test_answers_are_probabilities(name: str, trained: Artefacts) -> None:
    answers = trained[name].answers
    assert answers.shape == (len(TEXTS), 2)
    assert answers.dtype == np.float32
    np.testing.assert_allclose(answers.sum(axis=1), 1, atol=1e-5)


def test_strings_dataset_and_features_agree(name: str, trained: Artefacts) -> None:
    model, from_strings = trained[name].model, trained[name].answers
    table = sz.TextTable.from_texts(TEXTS, [0, 1] * (len(TEXTS) // 2), classes=model.classes)
    from_dataset = model.predict(sz.make_dataset(table, model, batch_size=4), verbose=0)
    from_features = model.predict_on_batch(dict(model.preprocessor(TEXTS)))
    np.testing.assert_allclose(from_dataset, from_strings, atol=1e-5)
    np.testing.assert_allclose(from_features, from_strings, atol=1e-5)


def test_padding_does_not_change_an_answer(name: str, trained: Artefacts) -> None:
    model = trained[name].model
    features = {k: v.numpy() for k, v in model.preprocessor(["a good film"]).items()}
    padded = {k: np.pad(v, ((0, 0), (0, 13))) for k, v in features.items()}
    np.testing.assert_allclose(
        model.predict_on_batch(padded), model.predict_on_batch(features), atol=1e-5
    )


def test_batch_mates_do_not_change_an_answer(name: str, trained: Artefacts) -> None:
    model = trained[name].model
    together = trained[name].answers
    alone = np.concatenate([model.predict_on_batch([text]) for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_file_brings_back_the_model(name: str, trained: Artefacts, reloaded: Any) -> None:
    model = trained[name].model
    assert reloaded[name]["classes"] == list(model.classes) == ["negative", "positive"]
    assert reloaded[name]["vocabulary"] == len(model.preprocessor.vocabulary)
    assert reloaded[name]["optimizer_steps"] == int(model.optimizer.iterations) > 0
    np.testing.assert_allclose(reloaded[name]["probabilities"], trained[name].answers, atol=1e-5)


def test_saved_model_answers_as_predict(name: str, trained: Artefacts, served: Any) -> None:
    expected, answer = trained[name].answers, served[name]
    np.testing.assert_allclose(answer["probabilities"], expected, atol=1e-5)
    np.testing.assert_allclose(answer["one_by_one"], expected, atol=1e-5)
    np.testing.assert_allclose(answer["scores"], expected, atol=1e-5)
    np.testing.assert_allclose(answer["probability"], expected.max(axis=1), atol=1e-5)
    assert answer["empty"] == [0, 2]


def test_tensorflow_s_cpp_loader_answers_as_predict(name: str, trained: Artefacts) -> None:
    texts = np.array([text.encode() for text in TEXTS], object)
    answer = ask_cpp(trained[name].exported, {"text": texts})
    np.testing.assert_allclose(answer["probabilities"], trained[name].answers, atol=1e-5)


def test_rows_without_a_token_are_answered(name: str, served: Any) -> None:
    """A client may send features that no preprocessor makes; no position of these is real."""
    answers = np.array(served[name]["no_token"])
    np.testing.assert_allclose(answers.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(answers, answers[[0, 0, 0]], atol=1e-5)


def test_saved_model_knows_its_classes(name: str, trained: Artefacts, served: Any) -> None:
    classes = trained[name].model.classes
    assert served[name]["classes"] == list(classes)
    best = np.argmax(served[name]["probabilities"], axis=1)
    assert served[name]["label"] == [classes[i] for i in best]


SIZES = {name: sz.model_card(name).parameters for name in sz.list_models()}
# Larger ones would fill gigabytes; they are counted by the formula that is tried with these.
COUNTED = [name for name, size in SIZES.items() if size < 20_000_000]


@pytest.mark.parametrize("name", few(COUNTED, but=r"small_bert_(?!l2_h128|l4_h256)"))
def test_card_tells_the_size(name: str) -> None:
    card = sz.model_card(name)
    words = [f"w{i}" for i in range(card.size["vocabulary_size"] - 2)]
    if card.family not in ("recurrent", "static vectors"):
        words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words[2:]]
    model = sz.build_model(name, vocabulary=words, classes=["no", "yes"], weights=None)
    set_aside = 1 + 2  # a temperature, and a threshold for each class
    if model.wide is not None:
        set_aside += model.get_layer("wide").count_params()
    assert model.count_params() - set_aside == card.parameters


@pytest.mark.parametrize(
    ("name", "millions"),
    # As their papers and model pages have them.
    [("bert_base", 110), ("bert_large", 335), ("bert_base_multilingual", 178),
     ("electra_small", 14), ("electra_base", 110), ("electra_large", 335),
     ("small_bert_l2_h128", 4.4), ("small_bert_l4_h512", 28.8), ("small_bert_l8_h512", 41.4)],
)  # fmt: skip
def test_sizes_are_those_of_the_papers(name: str, millions: float) -> None:
    assert SIZES[name] / 1e6 == pytest.approx(millions, rel=0.04)


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
