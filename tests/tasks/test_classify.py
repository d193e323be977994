"""The classifier: what its methods take, and what they refuse."""

from __future__ import annotations

import gc
from collections import deque
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from samples import NEGATIVE, POSITIVE
from sklearn.metrics import log_loss

import keras_seqzoo as sz
from keras_seqzoo.metrics.statistics import best_temperature
from keras_seqzoo.serving.saved import SavedPredictor

TEXTS = POSITIVE + NEGATIVE
NAMES = ["positive"] * 8 + ["negative"] * 8
NUMBERS = np.array([1] * 8 + [0] * 8, np.int32)
TABLE = sz.TextTable.from_texts(TEXTS, NAMES)
ONE_HOT = np.eye(2)[NUMBERS]


class Batches(keras.utils.PyDataset):
    """Four batches of texts with names of classes."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Any:
        return TEXTS[index::4], NAMES[index::4]


@pytest.fixture
def model(tiny_table: Any) -> Any:
    keras.utils.set_random_seed(0)
    return sz.build_model("gru", tiny_table, units=4, embedding_dim=8, dropout=0.0)


def slow(forms: Any) -> Any:
    """A form of which `make test-slow` tries that `fit` takes it, as `evaluate` is seen to."""
    return pytest.param(forms, marks=pytest.mark.slow)


def first_weights(model: Any) -> np.ndarray:
    return model.encoder.get_layer("token_embedding").embeddings.numpy().copy()


@pytest.mark.parametrize(
    "inputs",
    [
        slow(lambda m: {"x": TEXTS, "y": NAMES}),
        slow(lambda m: {"x": np.array(TEXTS), "y": NUMBERS}),
        slow(lambda m: {"x": np.array(TEXTS, object), "y": NUMBERS.tolist()}),
        slow(lambda m: {"x": pd.Series(TEXTS), "y": pd.Series(NAMES)}),
        slow(lambda m: {"x": tf.constant(TEXTS), "y": tf.constant(NUMBERS)}),
        slow(lambda m: {"x": sz.TextTable.from_texts(TEXTS, NAMES)}),
        slow(lambda m: {"x": deque(TEXTS), "y": ONE_HOT}),
        lambda m: {"x": pd.DataFrame({"text": TEXTS}), "y": pd.DataFrame({"label": NAMES})},
        slow(lambda m: {"x": tf.data.Dataset.from_tensor_slices((TEXTS, NUMBERS)).batch(4)}),
        lambda m: {"x": tf.data.Dataset.from_tensor_slices((TEXTS, NAMES)).batch(4)},
        lambda m: {"x": Batches()},
        lambda m: {"x": sz.make_dataset(sz.TextTable.from_texts(TEXTS, NAMES), m, 4)},
        slow(
            lambda m: {"x": {k: v.numpy() for k, v in m.preprocessor(TEXTS).items()}, "y": NUMBERS}
        ),
        lambda m: {"x": {k: v.numpy() for k, v in m.preprocessor(TEXTS).items()}, "y": NAMES},
    ],
)
def test_fit_and_evaluate_take_text_in_any_form(model: Any, inputs: Any) -> None:
    model.optimizer.learning_rate = 0.05
    history = model.fit(**inputs(model), epochs=12, batch_size=4, shuffle=False, verbose=0).history
    assert history["loss"][-1] < 0.7 * history["loss"][0]
    loss, accuracy = model.evaluate(**inputs(model), verbose=0)
    assert accuracy > 0.8
    assert loss == pytest.approx(model.evaluate(TEXTS, NAMES, verbose=0)[0], abs=1e-4)


@pytest.mark.parametrize(
    "texts",
    [
        deque(["good", "bad"]),
        np.array([["good"], ["bad"]], object),
        pd.DataFrame({"text": ["good", "bad"]}),
        pd.Series(["good", "bad"], dtype="string"),
        pd.Series(["good", "bad"], dtype="string[pyarrow]"),
        pd.Series(["good", "bad"], dtype="category"),
        pd.Index(["good", "bad"]),
        {"good": 1, "bad": 2}.keys(),
        tf.constant([["good"], ["bad"]]),
    ],
    ids=lambda texts: type(texts).__name__,
)
def test_texts_may_come_in_any_array(tiny_model: Any, texts: Any) -> None:
    expected = tiny_model.predict_on_batch(["good", "bad"])
    np.testing.assert_allclose(tiny_model.predict(texts, verbose=0), expected, atol=1e-6)
    np.testing.assert_allclose(tiny_model.predict_on_batch(texts), expected, atol=1e-6)
    np.testing.assert_allclose(tiny_model(texts), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("texts", "error", "message"),
    [
        (pd.DataFrame({"text": ["a"], "label": [1]}), ValueError, r"frame\['text'\]"),
        (["a", float("nan")], TypeError, "Received: nan of type float in row 1"),
        ([None], TypeError, "Received: None"),
        (pd.Series(["a", None], dtype="string"), TypeError, "Received: <NA>"),
        (np.array("one text"), TypeError, r"Write \[text\]"),
        (7, TypeError, "Received: 7 of type int"),
        (np.arange(3), TypeError, "Received: 0 of type int"),
        ([["a"], ["b"]], TypeError, r"Received: \['a'\] of type list"),
        ({"a", "b"}, TypeError, "of type set"),
        (tf.ragged.constant([["a"], []]), ValueError, "one dimension"),
    ],
)
def test_what_is_no_text_is_explained(
    tiny_model: Any, texts: Any, error: type[Exception], message: str
) -> None:
    for method in (
        tiny_model.predict,
        tiny_model.predict_on_batch,
        tiny_model,
        tiny_model.evaluate,
    ):
        with pytest.raises(error, match=message):
            method(texts)


def test_batches_that_python_makes_are_taken(tiny_model: Any) -> None:
    expected = tiny_model.predict([*TEXTS[::4], *TEXTS[1::4]], verbose=0)
    some = tiny_model.predict(Batches(), steps=2, verbose=0)
    np.testing.assert_allclose(some, expected, atol=1e-6)
    made = tiny_model.predict((batch for batch in Batches()), steps=2, verbose=0)
    np.testing.assert_allclose(made, expected, atol=1e-6)
    labelled = tf.data.Dataset.from_tensors((TEXTS, ["unknown"] * 16))
    np.testing.assert_allclose(
        tiny_model.predict(labelled, verbose=0), tiny_model.predict(TEXTS, verbose=0), atol=1e-6
    )


@pytest.mark.parametrize(
    "ask",
    [
        lambda model, texts: model.predict(texts, verbose=0),
        sz.embed,
        lambda model, texts: sz.embed(model, texts, tokens=True),
        sz.explain,
        lambda model, texts: sz.explain(model, texts, "integrated_gradients", steps=2),
        lambda model, texts: model.evaluate(texts, NAMES[:1], verbose=0),
        lambda model, texts: model.predict_on_batch(texts),
        lambda model, texts: model.test_on_batch(texts, NAMES[:1]),
    ],
    ids=[
        "predict",
        "embed",
        "embed tokens",
        "explain",
        "integrated gradients",
        "evaluate",
        "predict_on_batch",
        "test_on_batch",
    ],
)
def test_calls_leave_nothing_behind(ask: Any, tiny_model: Any) -> None:
    """Neither graphs nor datasets, of which one a call were kept."""

    def kept() -> int:
        gc.collect()
        names = ("FuncGraph", "ConcreteFunction", "AtomicFunction", "StructuredFunctionWrapper")
        return sum(type(o).__name__ in names for o in gc.get_objects())

    for words in range(1, 12):  # all shapes are traced
        ask(tiny_model, ["good " * words])
    before = kept()
    for words in range(1, 12):
        ask(tiny_model, ["good " * words])
    assert kept() <= before


def test_predict_calls_callbacks(tiny_model: Any) -> None:
    steps: list[int] = []
    watch = keras.callbacks.LambdaCallback(
        on_predict_batch_end=lambda step, logs: steps.append(step)
    )
    tiny_model.predict(TEXTS, batch_size=5, callbacks=[watch], verbose=0)
    assert steps == [0, 1, 2, 3]


def test_evaluate_of_text_is_that_of_a_dataset(tiny_model: Any) -> None:
    ended: list[Any] = []
    watch = keras.callbacks.LambdaCallback(
        on_test_batch_end=lambda step, logs: ended.append(step),
        on_test_end=lambda logs: ended.append(logs),
    )
    weights = np.linspace(0, 1, len(TEXTS))
    texts = tf.data.Dataset.from_tensor_slices((TEXTS, NAMES, weights)).batch(5)
    wanted = tiny_model.evaluate(texts, verbose=0)
    found = tiny_model.evaluate(
        TEXTS, NAMES, batch_size=5, sample_weight=weights, verbose=0, callbacks=[watch],
        return_dict=True,
    )  # fmt: skip
    assert list(found.values()) == pytest.approx(wanted, rel=1e-5)
    assert ended == [0, 1, 2, 3, found]
    first = tiny_model.evaluate(TEXTS[:5], NAMES[:5], verbose=0)
    assert tiny_model.evaluate(TEXTS, NAMES, batch_size=5, steps=1, verbose=0) == pytest.approx(
        first
    )
    with pytest.raises(ValueError, match=r"as many sample_weights as texts.*16 texts, 3"):
        tiny_model.evaluate(TEXTS, NAMES, sample_weight=weights[:3])


def test_a_table_without_labels_takes_labels(model: Any) -> None:
    texts = sz.TextTable.from_texts(TEXTS)
    expected = model.evaluate(TABLE, verbose=0)
    assert model.evaluate(texts, NAMES, verbose=0) == pytest.approx(expected)


def test_numbers_that_name_classes_mean_the_same_as_in_a_table() -> None:
    stars = [1, 5, 3, 1, 5, 3]
    table = sz.TextTable.from_texts(TEXTS[:6], stars)
    model = sz.build_model("gru", table, units=2, embedding_dim=2)
    assert model.classes == ("1", "3", "5")
    expected = model.evaluate(table, verbose=0)
    for labels in (stars, np.array(stars, float), list(map(str, stars)), table.labels):
        assert model.evaluate(TEXTS[:6], labels, verbose=0) == pytest.approx(expected)
    for labels in ([1], [1.0, 1]):
        with pytest.raises(ValueError, match="may be positions of classes"):
            model.evaluate(TEXTS[: len(labels)], labels)
    with pytest.raises(ValueError, match="from 0 to 2"):
        model.evaluate(TEXTS[:2], [0, 5])
    with pytest.raises(ValueError, match="may be positions"):
        model.evaluate(tf.data.Dataset.from_tensors((TEXTS[:6], stars)))
    validated = model.fit(
        TEXTS[:6], stars, validation_data=(model.preprocessor(TEXTS[:6]), stars), verbose=0
    ).history
    assert validated["val_loss"][0] == pytest.approx(model.evaluate(table, verbose=0)[0], abs=1e-5)


def test_booleans_name_classes() -> None:
    table = sz.TextTable.from_texts(TEXTS[:4], [True, False, True, False])
    model = sz.build_model("gru", table, units=2, embedding_dim=2)
    expected = model.evaluate(table, verbose=0)
    assert model.evaluate(TEXTS[:4], [True, False] * 2, verbose=0) == pytest.approx(expected)


def test_one_hot_labels_suit_their_loss(model: Any) -> None:
    sparse = model.evaluate(TEXTS, NAMES, verbose=0)[0]
    model.compile("sgd", "categorical_crossentropy", metrics=["accuracy"])
    assert model.evaluate(TEXTS, ONE_HOT, verbose=0)[0] == pytest.approx(sparse, abs=1e-5)
    model.fit(TEXTS, ONE_HOT, class_weight={"negative": 2}, verbose=0)


def test_streams_are_taken_too(model: Any, tiny_table: Any, tmp_path: Path) -> None:
    tiny_table.frame.assign(label=NAMES).to_csv(tmp_path / "t.csv", index=False)
    stream = sz.read_table(tmp_path / "t.csv", stream=True)
    history = model.fit(stream, validation_data=stream, batch_size=4, epochs=1, verbose=0).history
    assert model.evaluate(stream, verbose=0)[0] == pytest.approx(history["val_loss"][0], abs=1e-5)
    np.testing.assert_allclose(
        model.predict(stream, verbose=0), model.predict(TEXTS, verbose=0), atol=1e-5
    )


@pytest.mark.slow
def test_validation_takes_the_same_forms(model: Any) -> None:
    table = sz.TextTable.from_texts(TEXTS, NAMES)
    losses = [
        model.fit(
            TEXTS,
            NAMES,
            validation_data=data,
            epochs=1,
            verbose=0,
            shuffle=False,
            batch_size=16,
            sample_weight=np.zeros(16),
        ).history["val_loss"][0]
        for data in (
            (TEXTS, NAMES),
            (TEXTS, NUMBERS, np.ones(16)),
            table,
            sz.make_dataset(table, model),
            tf.data.Dataset.from_tensors((TEXTS, NUMBERS)),
        )
    ]
    assert losses == pytest.approx([losses[0]] * 5, abs=1e-5)


def test_validation_split_takes_the_last_rows(model: Any) -> None:
    history = model.fit(TEXTS, NAMES, validation_split=0.25, epochs=1, verbose=0).history
    assert history["val_loss"][0] == pytest.approx(
        model.evaluate(TEXTS[12:], NAMES[12:], verbose=0)[0], abs=1e-5
    )


def test_weights_of_rows_and_classes_count(model: Any) -> None:
    before = first_weights(model)
    model.fit(TEXTS, NAMES, sample_weight=[0.0] * 16, epochs=1, verbose=0)
    np.testing.assert_array_equal(first_weights(model), before)
    model.fit(TEXTS, NAMES, class_weight={0: 0.0, 1: 0.0}, epochs=1, verbose=0)
    np.testing.assert_array_equal(first_weights(model), before)
    model.fit(TEXTS, NAMES, class_weight={"positive": 0, "negative": 0}, epochs=1, verbose=0)
    model.fit(TEXTS, ONE_HOT, class_weight={0: 0.0, 1: 0.0}, epochs=1, verbose=0)
    model.fit(TEXTS, NUMBERS.astype(float), class_weight={0: 0.0, 1: 0.0}, epochs=1, verbose=0)
    np.testing.assert_array_equal(first_weights(model), before)
    model.fit(TEXTS, NAMES, class_weight={0: 0.0, 1: 1.0}, epochs=1, verbose=0)
    assert (first_weights(model) != before).any()
    weights = model.task.encode_class_weight("balanced", model.encode_targets(NAMES[:12]))
    assert weights == {0: 12 / 8, 1: 12 / 16}


@pytest.mark.slow
def test_training_repeats_for_a_seed(tiny_table: Any) -> None:
    losses = []
    for _ in range(2):
        keras.utils.set_random_seed(7)
        model = sz.build_model("bigru", tiny_table, units=4, embedding_dim=8, dropout=0.5)
        losses.append(model.fit(TEXTS, NAMES, epochs=2, batch_size=4, verbose=0).history["loss"])
    assert losses[0] == losses[1]


def test_predict_keeps_the_order_of_the_texts(tiny_model: Any) -> None:
    texts = ["a good film " * n for n in (9, 1, 30, 2, 1, 17)]
    alone = np.concatenate([tiny_model.predict([text], verbose=0) for text in texts])
    for inputs in (texts, tf.data.Dataset.from_tensor_slices(texts).batch(4)):
        together = tiny_model.predict(inputs, batch_size=2 if inputs is texts else None, verbose=0)
        np.testing.assert_allclose(together, alone, atol=1e-5)


def test_on_batch_methods_take_text(model: Any) -> None:
    model.optimizer.learning_rate = 0.05
    losses = [float(model.train_on_batch(TEXTS, NAMES)[0]) for _ in range(20)]
    assert losses[-1] < losses[0]
    tested = model.test_on_batch(TEXTS, NUMBERS.tolist(), sample_weight=[1] * 16)
    assert float(tested[0]) == pytest.approx(model.evaluate(TEXTS, NAMES, verbose=0)[0], abs=1e-4)
    assert model.predict_on_batch(TEXTS).shape == (16, 2)
    assert model.train_on_batch(TEXTS, NUMBERS.tolist(), class_weight={0: 0, 1: 0})[0] == 0


def test_no_texts_give_no_answers(tiny_model: Any) -> None:
    assert tiny_model.predict([], verbose=0).shape == (0, 2)


def test_recompiled_model_trains(model: Any) -> None:
    model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    before = first_weights(model)
    model.fit(TEXTS, NAMES, epochs=1, verbose=0)
    assert (first_weights(model) != before).any()


def test_loss_of_a_certain_wrong_answer_stays_finite(model: Any) -> None:
    # The loss is computed from the logits below the softmax, not from a probability of 0.
    model.get_layer("logits").bias.assign([200.0, 0.0])
    history = model.fit(TEXTS[:8], NAMES[:8], epochs=1, verbose=0, batch_size=8).history
    assert history["loss"][0] == pytest.approx(200, rel=0.02)


def test_fit_with_a_dataset_warns_of_nothing(
    model: Any, tiny_table: Any, recwarn: pytest.WarningsRecorder
) -> None:
    data = sz.make_dataset(tiny_table, model, 4, shuffle=True)
    model.fit(data, validation_data=data, epochs=2, verbose=0)
    assert [str(w.message) for w in recwarn if w.category is UserWarning] == []


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"x": "one text", "y": ["positive"]}, TypeError, "list or array"),
        ({"x": ["a", None], "y": NAMES[:2]}, TypeError, "must be a string"),
        ({"x": TEXTS, "y": NAMES[:3]}, ValueError, "as many labels as texts"),
        ({"x": TEXTS, "y": ["fine"] * 16}, ValueError, r"classes of the model.*'fine'"),
        ({"x": TEXTS, "y": [2] * 16}, ValueError, "from 0 to 1"),
        ({"x": TEXTS, "y": [-1] * 16}, ValueError, "from 0 to 1"),
        ({"x": TEXTS, "y": NAMES, "sample_weight": [1.0]}, ValueError, "sample_weights as texts"),
        ({"x": TEXTS, "y": [0.5] * 16}, ValueError, r"names, or whole numbers\. Received: 0\.5"),
        ({"x": TEXTS, "y": [float("nan")] * 16}, ValueError, "Every row needs a label"),
        ({"x": TEXTS, "y": [*NAMES[:15], None]}, ValueError, "Every row needs a label"),
        ({"x": TEXTS, "y": [True] * 16}, ValueError, r"labels\.astype\(int\)"),
        ({"x": TEXTS, "y": np.eye(3)[[0] * 16]}, ValueError, "a column of numbers for each class"),
        ({"x": TEXTS, "y": np.full((16, 2), 0.5)}, ValueError, "loss='categorical_crossentropy'"),
        ({"x": TEXTS, "y": NAMES, "class_weight": {"good": 2}}, ValueError, "classes of the model"),
        ({"x": TEXTS, "y": NAMES, "class_weight": "skewed"}, ValueError, "or 'balanced'"),
        ({"x": TABLE, "y": NAMES}, ValueError, "A labelled table has its labels"),
        ({"x": None}, TypeError, "Received: None"),
        (
            {"x": tf.data.Dataset.from_tensors((TEXTS, NAMES)), "class_weight": "balanced"},
            ValueError,
            "with a dataset",
        ),
        (
            {"x": tf.data.Dataset.from_tensors((tf.ragged.constant([["a"], []]), [0, 1]))},
            ValueError,
            r"batches of shape \(batch,\)",
        ),
        (
            {"x": tf.data.Dataset.from_tensors((TEXTS, np.eye(2)[NUMBERS]))},
            ValueError,
            "Map one-hot labels",
        ),
        ({"x": TEXTS, "y": NAMES, "validation_split": 1.5}, ValueError, "between 0 and 1"),
        ({"x": TEXTS[:1], "y": NAMES[:1], "validation_split": 0.5}, ValueError, "need a row"),
        ({"x": tf.data.Dataset.from_tensor_slices((TEXTS, NUMBERS))}, ValueError, "Batch it first"),
        ({"x": sz.TextTable.from_texts(["a", "b"], ["x", "y"])}, ValueError, "classes=model"),
    ],
)
def test_wrong_input_is_explained(
    model: Any, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        model.fit(**arguments, verbose=0)


def test_padding_has_no_part_in_any_pooling(tiny_table: Any) -> None:
    for pooling in ("last", "mean", "max"):
        model = sz.build_model("bilstm", tiny_table, units=4, pooling=pooling)
        features = {k: v.numpy() for k, v in model.preprocessor(["a good film"]).items()}
        padded = {k: np.pad(v, ((0, 0), (0, 5))) for k, v in features.items()}
        np.testing.assert_allclose(
            model.predict(padded, verbose=0), model.predict(features, verbose=0), atol=1e-6
        )


def test_head_may_have_a_layer_of_its_own(tiny_table: Any, tmp_path: Path) -> None:
    model = sz.build_model("gru", tiny_table, units=4, head_dim=6)
    assert model.get_layer("head").kernel.shape == (4, 6)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    expected = model.predict(["a good film"], verbose=0)
    np.testing.assert_allclose(loaded.predict(["a good film"], verbose=0), expected, atol=1e-6)
    with pytest.raises(ValueError, match="`head_dim` must be a whole number"):
        sz.build_model("gru", tiny_table, head_dim=0)


def test_dropout_reaches_encoder_and_head(tiny_table: Any) -> None:
    model = sz.build_model("gru", tiny_table, units=4, dropout=0.25)
    assert model.encoder.get_layer("embedding_dropout").rate == 0.25
    assert model.get_layer("dropout").rate == 0.25


@pytest.mark.parametrize("name", ["lstm", "bigru"])
@pytest.mark.slow
def test_xla_may_compile_it(tiny_table: Any, name: str) -> None:
    model = sz.build_model(name, tiny_table, units=3, dropout=0.0)
    before = model.predict(TEXTS, verbose=0)
    loss = "sparse_categorical_crossentropy"
    model.compile(keras.optimizers.SGD(0.0), loss, jit_compile=True)
    model.fit(tiny_table, batch_size=16, verbose=0)
    np.testing.assert_allclose(model.predict(TEXTS, verbose=0), before, atol=1e-5)


def test_calibration_changes_how_sure_a_model_is_and_no_answer(tmp_path: Path) -> None:
    """Labels of noise: whoever learns them by heart is too sure of other rows."""
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(list("abcdefgh"), 4)) for _ in range(120)]
    labels = rng.choice(["x", "y"], 120).tolist()
    keras.utils.set_random_seed(0)
    train = sz.TextTable.from_texts(texts[:40], labels[:40], ["x", "y"])
    valid = sz.TextTable.from_texts(texts[40:], labels[40:], ["x", "y"])
    model = sz.build_model("gru", train, units=16, embedding_dim=16, dropout=0.0, wide=False)
    model.optimizer.learning_rate = 0.05
    layer = model.get_layer("probabilities")
    model.fit(train, validation_data=valid, epochs=15, verbose=0)
    assert float(layer.temperature) == 1
    plain = model.predict(valid.texts, verbose=0)
    answers = model.answers_to(sz.make_dataset(valid, model, 40))
    layer.temperature.assign(best_temperature(*answers))
    assert float(layer.temperature) > 1.5
    sure = model.predict(valid.texts, verbose=0)
    np.testing.assert_array_equal(sure.argmax(axis=1), plain.argmax(axis=1))
    assert sz.evaluate(model, valid).log_loss < 0.95 * log_loss(valid.labels, plain)
    model.save(tmp_path / "model.keras")
    for again in (
        keras.saving.load_model(tmp_path / "model.keras"),
        SavedPredictor(sz.export_model(model, tmp_path / "served")),
    ):
        np.testing.assert_allclose(again.predict(valid.texts, verbose=0), sure, atol=1e-6)
    model.optimizer.learning_rate = 0.0
    model.fit(train, validation_data=valid, epochs=1, calibrate=True, verbose=0)  # from 1 again
    np.testing.assert_allclose(model.predict(valid.texts, verbose=0), sure, atol=1e-5)
    with pytest.raises(ValueError, match="rows that the model does not learn"):
        model.fit(train, calibrate=True, verbose=0)


def test_predict_gives_a_frame(tiny_model: Any, tiny_export: Any) -> None:
    texts = ["a good film", "a bad film"]
    expected = tiny_model.predict(texts, verbose=0)
    for model in (tiny_model, SavedPredictor(tiny_export)):
        frame = model.predict(texts, verbose=0, as_frame=True)
        assert frame["label"].tolist() == ["positive", "negative"]
        columns = [f"p_{name}" for name in tiny_model.classes]
        np.testing.assert_allclose(frame[columns], expected, atol=1e-5)
        np.testing.assert_allclose(frame["probability"], expected.max(axis=1), atol=1e-5)
