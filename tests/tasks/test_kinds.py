"""Encoders with inputs and targets: trained, asked, saved, exported, scored.

Registering one of them enrols it here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from samples import NEGATIVE, POSITIVE
from sklearn import metrics
from trained import MODELS, RATES

import keras_seqzoo as sz
from keras_seqzoo.data.inputs import INPUTS
from keras_seqzoo.serving.saved import SavedPredictor
from keras_seqzoo.tasks import task_from_dict
from keras_seqzoo.tasks.keras_file import load_keras_file
from keras_seqzoo.tasks.label import Label, best_thresholds
from keras_seqzoo.tasks.regress import Regress

TEXTS = POSITIVE + NEGATIVE
PAIRS = list(zip(TEXTS, TEXTS[::-1], strict=True))
TARGETS: dict[str, Any] = {
    "class": (["pos"] * 8 + ["neg"] * 8, None),
    "labels": ([["good", "film"], ["good"]] * 4 + [["bad"], []] * 4, None),
    "number": (np.linspace(100, 500, 16), "number"),
    "numbers": (np.stack([np.linspace(1, 5, 16), np.arange(16)], axis=1), "number"),
}
QUICK = [("gru", "text", "labels"), ("gru", "pair", "numbers")]
# A head asks nothing of its encoder but vectors: others than gru take turns at a kind each.
# tests/contract.py has every one of them with one text and classes.
TURNS = [("pair", "labels"), ("pair", "class"), ("text", "number"), ("text", "numbers")]
KINDS = [
    pytest.param(
        (name, inputs, target),
        id=f"{name}-{inputs}-{target}",
        marks=() if (name, inputs, target) in QUICK else pytest.mark.slow,
    )
    for place, name in enumerate(MODELS)
    for inputs in INPUTS
    for target in TARGETS
    if name == "gru" or (inputs, target) == TURNS[place % 4]
]


@pytest.fixture(scope="module")
def kind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A table, a model that was trained on it, its file and its export."""
    name, inputs, target = request.param
    labels, named = TARGETS[target]
    table = sz.TextTable.from_texts(PAIRS if inputs == "pair" else TEXTS, labels, target=named)
    keras.utils.set_random_seed(0)
    card = sz.model_card(name)
    model = sz.build_model(name, table, weights=None, **card.tiny)
    model.optimizer.learning_rate = RATES.get(card.family, 0.005)
    data = sz.make_dataset(table, model, batch_size=8, shuffle=True, seed=0)

    def stop(epoch: int, logs: Any) -> None:
        model.stop_training = logs["val_loss"] < 0.05  # a surer model has nothing to explain

    learnt = keras.callbacks.LambdaCallback(on_epoch_end=stop)
    model.fit(data, validation_data=table, epochs=40, callbacks=[learnt], verbose=0)
    folder = tmp_path_factory.mktemp("kind")
    model.save(folder / "model.keras")
    return table, model, folder / "model.keras", sz.export_model(model, folder / "served")


def every_kind(test: Any) -> Any:
    """Runs a test for every encoder, every input and every target."""
    return pytest.mark.parametrize("kind", KINDS, indirect=True, scope="module")(test)


@pytest.mark.parametrize("name", [name for name in MODELS if name not in ("lstm", "bilstm")])
def test_every_encoder_reads_pairs(name: str) -> None:
    """Either text counts, and which of them is the first one."""
    table = sz.TextTable.from_texts(PAIRS, TARGETS["class"][0])
    model = sz.build_model(name, table, weights=None, **sz.model_card(name).tiny)
    pairs = [("a good film", "bad"), ("bad", "a good film"), ("a good film", "good"), ("", "")]
    features = model.preprocessor(pairs)
    vectors = model.vectors(features).numpy()
    assert np.isfinite(vectors).all()
    again = model.vectors(features).numpy()
    for i, j in ((0, 1), (0, 2)):  # DeBERTa's tiny weights tell little apart, but more than noise
        noise = np.abs(again[i] - vectors[i]).max()
        assert np.abs(vectors[i] - vectors[j]).max() > max(1e-6, 10 * noise)
    alone = model.vectors(model.preprocessor(pairs[:1])).numpy()
    np.testing.assert_allclose(vectors[:1], alone, atol=1e-5)


@every_kind
def test_learns_its_rows(kind: Any) -> None:
    table, model, _, _ = kind
    # Tiny DeBERTas learn several labels of pairs slowly.
    most = 0.35 if model.name.startswith("deberta") else 0.2
    assert model.evaluate(table, verbose=0)[0] < most
    report = sz.evaluate(model, table)
    assert report.task.name == {"class": "classify", "labels": "label"}.get(
        table.target.kind, "regress"
    )
    assert all(np.isfinite(value) for value in report.figures.values())
    low, high = report.task.intervals(table.labels, [report.outputs])[report.task.metrics[0].name]
    assert low <= report.figures[report.task.metrics[0].name] <= high or np.isnan(low)
    assert report.task.row_scores(table.labels, report.outputs).shape == (16,)


@every_kind
def test_file_and_export_answer_as_the_model(kind: Any) -> None:
    table, model, file, exported = kind
    expected = model.predict(table, verbose=0)
    loaded, served = load_keras_file(file), SavedPredictor(exported)
    assert loaded.task == served.task == model.task
    np.testing.assert_allclose(loaded.predict(table.texts, verbose=0), expected, atol=1e-5)
    np.testing.assert_allclose(served.predict(table.texts), expected, rtol=1e-4, atol=1e-5)
    assert sz.evaluate(served, table).figures == pytest.approx(
        sz.evaluate(model, table).figures, abs=1e-4
    )
    assert task_from_dict(model.task.as_dict()) == model.task
    assert sz.audit(exported).passed


@every_kind
def test_signatures_answer_as_decode(kind: Any) -> None:
    table, model, _, exported = kind
    answer = SavedPredictor(exported)._answer
    columns = np.asarray(table.texts).reshape(16, -1).T
    names = ("text", "text_pair")[: len(columns)]
    given = {
        name: keras.ops.convert_to_tensor(list(c)) for name, c in zip(names, columns, strict=True)
    }
    answered = {name: value.numpy() for name, value in answer(**given).items()}
    for row, told in enumerate(model.task.decode(model.predict(table, verbose=0))):
        for name, value in told.items():
            said = answered[name][row]
            if name == "labels":
                assert [label.decode() for label in said if label] == value
            elif isinstance(value, str):
                assert said.decode() == value
            else:
                np.testing.assert_allclose(said, value, rtol=1e-4, atol=1e-5)


@every_kind
def test_answers_are_explained_alike_in_model_and_export(kind: Any) -> None:
    table, model, _, exported = kind
    rows, outputs = table.texts[[0, 15]], model.predict(table.texts, verbose=0)[[0, 15]]
    served = sz.explain(SavedPredictor(exported), rows, "shapley")
    for method in ("occlusion", "shapley", "integrated_gradients"):
        for e, row, other in zip(sz.explain(model, rows, method), outputs, served, strict=True):
            np.testing.assert_allclose(e.outputs, row, rtol=1e-4, atol=1e-4)
            assert e.target == model.task.names[model.task.chosen(row[None])[0]]
            assert (e.second_at is None) == (table.inputs.name == "text")
            if method == "shapley":
                np.testing.assert_allclose(e.scores, other.scores, atol=1e-3 * e.spread)
            if method != "occlusion":
                gap = e.scores.sum() + e.rest - (e.output - e.base)
                assert abs(gap) <= (1e-5 if method == "shapley" else 0.01) * e.spread
            # One word less changes little where the others say the same.
            least = 1e-5 if method == "occlusion" else 1e-3
            assert np.abs(e.scores).max() > least * e.spread


@every_kind
def test_a_deletion_changes_the_answer(kind: Any) -> None:
    table, model, _, _ = kind
    change = 0.1 * model.task.spread[0] if table.target.kind == "number" else None
    found = (sz.counterfactual(model, row, change=change) for row in table.texts)
    row, deletion = next((r, f) for r, f in zip(table.texts, found, strict=True) if f is not None)
    before, after = model.predict([row, deletion.text_left], verbose=0)
    assert model.task.changes(before, after[None], None, change)[0].all()
    assert (model.task.said(before), model.task.said(after)) == (deletion.before, deletion.label)
    assert (deletion.before == deletion.label) == (table.target.kind == "number")


@every_kind
def test_streams_and_tables_make_the_same_batches(kind: Any, tmp_path: Path) -> None:
    table, model, _, _ = kind
    frame = table.frame
    frame.to_parquet(tmp_path / "rows.parquet")
    text = table.inputs.columns if len(table.inputs.columns) > 1 else "text"
    label = "label" if table.target.kind == "class" else list(table.target.columns)
    stream = sz.read_table(
        tmp_path / "rows.parquet", text=text, label=label, target=table.target.kind, stream=True
    )
    [(features, labels)] = sz.make_dataset(table, model.preprocessor, 16)
    [(streamed, answers)] = sz.make_dataset(stream, model.preprocessor, 16)
    np.testing.assert_array_equal(features["token_ids"], streamed["token_ids"])
    if table.target.kind != "class":
        np.testing.assert_array_equal(labels, answers)


def test_labels_are_as_scikit_learn_scores_them() -> None:
    rng = np.random.default_rng(0)
    table = sz.TextTable.from_texts(TEXTS, rng.integers(0, 2, (16, 3)), target="labels")
    outputs = rng.random((16, 3))

    report = sz.Report.from_predictions(table.labels, outputs, Label(table.target))
    truth, said = table.labels > 0, outputs >= 0.5
    for average in ("macro", "micro"):
        expected = metrics.f1_score(truth, said, average=average, zero_division=0)
        assert report.figures[f"{average}_f1"] == pytest.approx(expected)
    assert report.subset_accuracy == metrics.accuracy_score(truth, said)
    assert report.roc_auc == pytest.approx(metrics.roc_auc_score(truth, outputs))
    expected = metrics.average_precision_score(truth, outputs)
    assert report.average_precision == pytest.approx(expected)


def test_thresholds_are_the_best_there_are() -> None:
    rng = np.random.default_rng(1)
    truth, outputs = rng.integers(0, 2, (40, 3)), rng.random((40, 3)).round(1)
    truth[:, 2] = 0
    chosen = best_thresholds(truth, outputs)
    assert chosen[2] == 0.5
    for i in range(2):
        at = [metrics.f1_score(truth[:, i], outputs[:, i] >= t) for t in np.linspace(0, 1, 201)]
        said = outputs[:, i].astype(np.float32) >= chosen[i]
        assert metrics.f1_score(truth[:, i], said) == pytest.approx(max(at))


def test_thresholds_do_not_depend_on_how_the_validation_rows_come() -> None:
    """Each answer stands beside its own truth, be the rows shuffled, repeated or not a dataset."""
    labels, _ = TARGETS["labels"]
    table = sz.TextTable.from_texts(TEXTS, labels)
    keras.utils.set_random_seed(0)
    model = sz.build_model("gru", table, units=8, embedding_dim=16, dropout=0.0)
    model.optimizer.learning_rate = 0.02
    model.fit(table, epochs=10, verbose=0)
    assert model.task.thresholds == (0.5,) * 3
    model.optimizer.learning_rate = 0.0

    class Batches(keras.utils.PyDataset):
        def __len__(self) -> int:
            return 4

        def __getitem__(self, i: int) -> Any:
            rows = slice(4 * i, 4 * i + 4)
            return dict(model.preprocessor(TEXTS[rows])), table.labels[rows]

    expected = best_thresholds(table.labels, model.predict(table, verbose=0))
    assert (expected != 0.5).all()
    ordered = sz.make_dataset(table, model, 4)
    for given, steps in (
        (table, None),
        (sz.make_dataset(table, model, 4, shuffle=True), None),
        (ordered.repeat(), 4),
        (Batches(), None),
        ((dict(model.preprocessor(TEXTS)), table.labels), None),
    ):
        model.get_layer("probabilities").thresholds.assign([0.5] * 3)
        model.fit(table, validation_data=given, validation_steps=steps, verbose=0)
        np.testing.assert_allclose(model.task.thresholds, expected, atol=1e-5)
    of_last = best_thresholds(table.labels[8:], model.predict(table, verbose=0)[8:])
    for x in (table.texts, dict(model.preprocessor(TEXTS))):
        model.fit(x, table.labels, validation_split=0.5, verbose=0)
        np.testing.assert_allclose(model.task.thresholds, of_last, atol=1e-5)


def test_what_cannot_be_told_is_none_in_json() -> None:
    labels = sz.TextTable.from_texts(TEXTS, TARGETS["labels"][0]).take(range(4))
    report = sz.Report.from_predictions(labels.labels, np.full((4, 3), 0.7), Label(labels.target))
    told = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert told["per_label"]["bad"]["roc_auc"] is None
    assert told["per_label"]["good"]["recall"] == 1


def test_numbers_are_as_scikit_learn_scores_them() -> None:
    rng = np.random.default_rng(0)
    table = sz.TextTable.from_texts(TEXTS, rng.normal(5, 2, 16), target="number")
    outputs = table.labels + rng.normal(0, 1, (16, 1))
    report = sz.Report.from_predictions(table.labels, outputs, Regress(table.target))
    assert report.mae == pytest.approx(metrics.mean_absolute_error(table.labels, outputs))
    assert report.r2 == pytest.approx(metrics.r2_score(table.labels, outputs), rel=1e-6)
    assert report.pearson == pytest.approx(np.corrcoef(table.labels[:, 0], outputs[:, 0])[0, 1])
    row = report.per_number.iloc[0]
    assert row["mae_low"] < report.mae < row["mae_high"]
    assert row["pearson_low"] < report.pearson < row["pearson_high"]


def test_answers_are_in_the_unit_of_the_data() -> None:
    table = sz.TextTable.from_texts(TEXTS, np.linspace(1e6, 1.1e6, 16), target="number")
    model = sz.build_model("gru", table, units=4, embedding_dim=4)
    assert 1e6 < model.predict(["a film"], verbose=0)[0, 0] < 1.1e6
    assert 0.5 < model.evaluate(table, verbose=0)[0] < 1.5  # the mean alone has a loss of 1


@pytest.mark.parametrize(
    ("built", "given", "message"),
    [
        ("class", "number", "a model of the task 'classify'.*a table of the target 'number'"),
        ("number", "labels", "a model of the task 'regress'.*a table of the target 'labels'"),
    ],
)
def test_a_table_of_another_task_is_refused(built: str, given: str, message: str) -> None:
    tables = {
        name: sz.TextTable.from_texts(TEXTS, labels, target=target)
        for name, (labels, target) in TARGETS.items()
    }
    model = sz.build_model("gru", tables[built], units=4, embedding_dim=4)
    for use in (model.fit, lambda table: sz.evaluate(model, table)):
        with pytest.raises(ValueError, match=message):
            use(tables[given])
    with pytest.raises(ValueError, match=r"learns|Leave `task` out"):
        sz.build_model("gru", tables[given], task=model.task.name, units=4)


def test_pairs_and_texts_are_told_apart() -> None:
    pairs = sz.TextTable.from_texts(PAIRS, TARGETS["class"][0])
    model = sz.build_model("gru", pairs, units=4, embedding_dim=4)
    both = model.predict([("a", "b"), ("c", "d")], verbose=0)
    np.testing.assert_array_equal(model.predict((["a", "c"], ["b", "d"]), verbose=0), both)
    np.testing.assert_array_equal(
        model.predict(np.array([["a", "b"], ["c", "d"]]), verbose=0), both
    )
    for wrong in (["a", "b"], [("a", "b", "c")], [("a",)]):
        with pytest.raises(TypeError, match="reads two texts a row"):
            model.predict(wrong, verbose=0)
    with pytest.raises(ValueError, match=r"needs a second one.*2 first texts, 1 second"):
        model.predict((["a", "b"], ["c"]), verbose=0)
    with pytest.raises(ValueError, match=r"with pairs of texts, text=\(…, …\)"):
        model.fit(sz.TextTable.from_texts(TEXTS, TARGETS["class"][0]), verbose=0)


def test_labels_begin_with_their_shares() -> None:
    table = sz.TextTable.from_texts(TEXTS, [["rare"]] + [["often"]] * 15)
    model = sz.build_model("gru", table, units=4, embedding_dim=4)
    outputs = model.predict(table, verbose=0).mean(axis=0)
    assert dict(zip(model.classes, outputs, strict=True)) == pytest.approx(
        {"often": 16 / 18, "rare": 2 / 18}, abs=0.05
    )
    # Without rows there are no shares.
    assert sz.build_model("gru", classes=["a"], task="label", vocabulary=["x"]).classes == ("a",)
