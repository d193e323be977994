from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import keras_seqzoo as sz
from keras_seqzoo.comparison.candidates import parse_candidates
from keras_seqzoo.comparison.store import Store

TINY = {"units": 4, "embedding_dim": 8, "vocabulary_size": 50}
GRU = {"model": "gru", **TINY}
SETTINGS: dict[str, Any] = {"seeds": 2, "epochs": 2, "explain": 2}

# Models that fail, in a module as a user would write it.
FAILING = """
import os, signal
from keras_seqzoo.zoo import ModelCard, register


def card(name):
    return ModelCard(name, "failing", "fails", 0, {}, "", "", "")


@register(card("killed"))
def killed(data, *, sequence_length=None, weights=None):
    os.kill(os.getpid(), signal.SIGKILL)


@register(card("starved"))
def starved(data, *, sequence_length=None, weights=None):
    raise MemoryError("4 TB asked for")


@register(card("wrong"))
def wrong(data, *, sequence_length=None, weights=None):
    raise ValueError("this model cannot be built")
"""


class Told:
    """Collects what a comparison tells, and may interrupt it."""

    def __init__(self, interrupt: tuple[str, str] | None = None):
        self.events: list[tuple[str, str]] = []
        self.interrupt = interrupt

    def __call__(self, label: str, event: Any) -> None:
        self.events.append((label, event["event"]))
        if (label, event["event"]) == self.interrupt:
            raise KeyboardInterrupt

    def labels(self, kind: str) -> list[str]:
        return [label for label, event in self.events if event == kind]


@pytest.fixture(scope="module")
def parts(reviews_csv: Path) -> Any:
    return sz.read_table(reviews_csv, text="review", label="sentiment").split(0.2, 0.3, seed=0)


@pytest.fixture
def failing(registry: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module on the path that registers models which fail."""
    (tmp_path / "failing_models.py").write_text(FAILING)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "failing_models", raising=False)
    __import__("failing_models")
    return "failing_models"


@pytest.fixture(scope="module")
def compared(parts: Any, tmp_path_factory: pytest.TempPathFactory) -> sz.Comparison:
    """A comparison of one small model, in this process."""
    folder = tmp_path_factory.mktemp("compared") / "c"
    models = {"small gru": GRU}
    return sz.compare(models, *parts, folder=folder, isolated=False, progress=False, **SETTINGS)


def test_every_model_has_metrics_and_costs_and_baselines_take_part(compared):
    assert set(compared.table.index) == {"small gru", "majority", "tfidf_logreg"}
    assert (compared.table["missing"] == "").all()
    costs = ["parameters", "training_s", "size_mb", "p50_ms", "p95_ms", "texts_per_s", "memory_mb"]
    assert (compared.table[costs] > 0).all(axis=None)
    assert (compared.table["p50_ms"] <= compared.table["p95_ms"]).all()
    assert compared.table.at["small gru", "runs"] == 2
    assert compared.table.at["small gru", "examples_per_s"] > 0
    assert set(compared.table.loc[compared.table["baseline"]].index) == {"majority", "tfidf_logreg"}
    text = str(compared)
    assert all(label in text for label in compared.table.index)


def test_the_majority_knows_nothing_but_the_shares_of_the_classes(compared, parts):
    train, _, test = parts
    (run,) = next(e for e in compared.results.entries if e.label == "majority").runs
    shares = np.bincount(train.labels) / len(train)
    np.testing.assert_allclose(run.outputs, np.tile(shares, (len(test), 1)))


def test_what_is_loaded_and_what_is_served_answer_as_the_table_says(compared, parts):
    from keras_seqzoo.serving.saved import SavedPredictor

    texts = parts[2].texts
    kept = next(e for e in compared.results.entries if e.label == "small gru").kept
    np.testing.assert_allclose(
        compared.load("small gru").predict(texts, verbose=0), kept.outputs, atol=1e-6
    )
    exported = compared.saved_model("small gru")
    served = SavedPredictor(exported).predict(texts)
    np.testing.assert_allclose(served, kept.outputs, atol=1e-5)
    card = json.loads((exported / "1" / "assets.extra" / "model_card.json").read_text())
    right = np.mean(kept.outputs.argmax(1) == parts[2].labels)
    assert card["test"]["figures"]["accuracy"] == pytest.approx(right)
    baseline = next(e for e in compared.results.entries if e.label == "tfidf_logreg").kept
    np.testing.assert_allclose(compared.load("tfidf_logreg").predict(texts), baseline.outputs)
    with pytest.raises(ValueError, match="must be a model of the comparison"):
        compared.load("lstm")
    with pytest.raises(ValueError, match="baselines have none"):
        compared.saved_model("majority")


def test_the_mistakes_it_was_surest_of_are_explained(compared):
    for entry in compared.results.entries:
        rows = [row for row, _ in entry.mistakes]
        probabilities = entry.kept.outputs
        wrong = np.flatnonzero(probabilities.argmax(axis=1) != compared.results.labels)
        assert set(rows) <= set(wrong)
        sure = probabilities[rows].max(axis=1)
        assert (np.diff(sure) <= 0).all()
        for row, explanation in entry.mistakes:
            if explanation is not None:
                assert explanation.text == compared.results.texts[row]


@pytest.mark.slow
def test_the_same_call_trains_nothing_twice_and_a_new_model_alone_is_added(compared, parts):
    told = Told()
    models = {"small gru": GRU, "other": {**GRU, "epochs": 1}}
    again = sz.compare(
        models, *parts, folder=compared.folder, isolated=False, progress=told, **SETTINGS
    )
    assert told.labels("done before") == ["small gru", "majority", "tfidf_logreg"]
    assert told.labels("start") == ["other"]
    pd_columns = ["accuracy", "log_loss", "p95_ms"]
    assert again.table.loc["small gru", pd_columns].tolist() == (
        compared.table.loc["small gru", pd_columns].tolist()
    )


@pytest.mark.slow
def test_more_explanations_train_nothing_again(compared, parts):
    from keras_seqzoo.serving.saved import SavedPredictor

    told = Told()
    settings = {**SETTINGS, "explain": 1}
    sz.compare(
        {"small gru": GRU}, *parts, folder=compared.folder, isolated=False, progress=told,
        **settings,
    )  # fmt: skip
    assert told.labels("done before") == []
    assert told.labels("epoch") == []
    again = sz.Comparison(compared.folder)
    assert len(again.results.entries[0].mistakes) <= 1
    # The model was built anew, and its weights read.
    served = SavedPredictor(again.saved_model("small gru")).predict(parts[2].texts)
    np.testing.assert_allclose(served, again.results.entries[0].kept.outputs, atol=1e-5)


def test_the_call_that_is_shown_has_every_setting_that_was_given(parts, tmp_path):
    from keras_seqzoo.comparison.candidates import make_plan
    from keras_seqzoo.comparison.compare import _call

    plan = make_plan([4], "2min", 3, 16, 5, 2, 0, "val_accuracy")
    assert _call(["gru"], plan) == (
        "sz.compare(['gru'], train, valid, test, seeds=[4], budget=120.0, epochs=3, batch_size=16, "
        "patience=5, trials=2, explain=0, keep='val_accuracy')"
    )


@pytest.mark.slow
def test_more_seeds_keep_the_runs_that_are_there(compared, parts):
    told = Told()
    settings = {**SETTINGS, "seeds": 3}
    again = sz.compare(
        {"small gru": GRU}, *parts, folder=compared.folder, isolated=False, progress=told,
        **settings,
    )  # fmt: skip
    assert told.labels("epoch") == ["small gru"] * 2
    assert again.table.at["small gru", "runs"] == 3


@pytest.mark.slow
def test_an_interrupt_costs_the_training_that_runs_and_the_next_call_goes_on(parts, tmp_path):
    told = Told(interrupt=("b", "epoch"))
    models = {"a": GRU, "b": {**GRU, "units": 5}}
    call: dict[str, Any] = {"folder": tmp_path / "c", "isolated": False, **SETTINGS, "seeds": 1}
    with pytest.raises(KeyboardInterrupt):
        sz.compare(models, *parts, progress=told, **call)
    half = sz.Comparison(tmp_path / "c")
    assert half.table.at["a", "missing"] == ""
    assert half.table.at["b", "missing"] == "it was interrupted"
    assert "not reached" in half.table.at["majority", "missing"]
    assert "it was interrupted" in half.to_html(tmp_path / "half.html").read_text("utf-8")
    told = Told()
    whole = sz.compare(models, *parts, progress=told, **call)
    assert told.labels("done before") == ["a"]
    assert (whole.table["missing"] == "").all()


@pytest.mark.slow
def test_a_model_that_fails_costs_itself_alone(parts, tmp_path, failing):
    comparison = sz.compare(
        ["killed", "starved", "wrong"], *parts, folder=tmp_path / "c", progress=False, seeds=1
    )
    missing = comparison.table["missing"]
    assert "killed: most likely the machine ran out of memory" in missing["killed"]
    assert "ran out of memory (4 TB asked for)" in missing["starved"]
    assert missing["wrong"] == "this model cannot be built"
    assert missing["tfidf_logreg"] == ""
    assert comparison.recommend().model in ("tfidf_logreg", "majority")
    page = comparison.to_html(tmp_path / "page.html").read_text("utf-8")
    assert "this model cannot be built" in page
    with pytest.raises(ValueError, match="No trained model was kept"):
        comparison.load("wrong")


def test_a_model_of_a_script_can_not_be_seen_by_another_process(
    parts, tmp_path, failing, monkeypatch
):
    monkeypatch.setattr(sys.modules[failing].wrong, "__module__", "__main__")
    with pytest.raises(ValueError, match=r"Put it in a module.*isolated=False"):
        sz.compare(["wrong"], *parts, folder=tmp_path / "c", progress=False)


def test_a_budget_that_is_too_small_is_told_for_the_model(parts, tmp_path):
    comparison = sz.compare(
        {"g": GRU}, *parts, folder=tmp_path / "c", isolated=False, progress=False, budget=1e-3,
        seeds=1,
    )  # fmt: skip
    assert "The budget must be enough for one epoch" in comparison.table.at["g", "missing"]


@pytest.mark.slow
def test_a_search_tells_of_a_budget_that_is_too_small(parts, tmp_path):
    comparison = sz.compare(
        {"g": GRU}, *parts, folder=tmp_path / "c", isolated=False, progress=False, budget=1e-3,
        seeds=1, trials=4,
    )  # fmt: skip
    assert "The budget must be enough for one epoch" in comparison.table.at["g", "missing"]


@pytest.mark.slow
def test_a_model_that_always_says_the_same_and_texts_that_it_cuts_are_told(tmp_path):
    texts = ["good film " * n for n in (1, 2, 9, 9)] + ["bad film " * n for n in (1, 2, 9, 1)]
    table = sz.TextTable.from_texts(texts, ["p"] * 4 + ["n"] * 4)
    comparison = sz.compare(
        {"g": {**GRU, "sequence_length": 6, "learning_rate": 1e-9}}, table, table, table,
        folder=tmp_path / "c", isolated=False, progress=False, seeds=1, epochs=1, explain=0,
    )  # fmt: skip
    assert comparison.table.at["g", "texts_cut"] == 3
    run = next(e for e in comparison.results.entries if e.label == "majority").kept
    assert len(set(run.outputs.argmax(axis=1))) == 1
    assert comparison.table.at["majority", "macro_f1"] < 0.4
    page = comparison.to_html(tmp_path / "page.html").read_text("utf-8")
    cut = page[page.index("Texts longer than a model reads") :]
    row = re.search(r"<bdi>g</bdi>(.*?)</tr>", cut, re.DOTALL)
    assert row is not None
    assert re.findall(r">([\d.]+)", row[1]) == ["6", "3", "37.5"]


def test_a_folder_of_other_rows_or_of_something_else_is_refused_and_left_alone(
    compared, parts, tmp_path
):
    train, valid, test = parts
    before = (compared.folder / "comparison.json").read_bytes()
    with pytest.raises(ValueError, match="holds a comparison on other rows"):
        sz.compare([GRU], train, test, valid, folder=compared.folder, progress=False)
    assert (compared.folder / "comparison.json").read_bytes() == before
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match="must be new, empty, or one of a comparison"):
        sz.compare([GRU], *parts, folder=tmp_path, progress=False)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]
    with pytest.raises(ValueError, match="must be new, empty, or one of a comparison"):
        sz.compare([GRU], *parts, folder=tmp_path / "thesis.txt", progress=False)


def test_a_folder_that_can_not_be_read_is_told(parts, tmp_path, monkeypatch):
    (tmp_path / "c").mkdir()

    def denied(self: Path) -> Any:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "iterdir", denied)
    with pytest.raises(PermissionError, match=r"cannot be read\. Change its permissions"):
        sz.compare([GRU], *parts, folder=tmp_path / "c", progress=False)


def test_a_folder_that_is_no_comparison_or_a_damaged_one_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no comparison in this folder"):
        sz.Comparison(tmp_path)
    (tmp_path / "comparison.json").write_text("{")
    with pytest.raises(ValueError, match="is damaged"):
        sz.Comparison(tmp_path)


def test_two_processes_do_not_fill_one_folder(parts, tmp_path):
    with (
        Store(tmp_path).locked(),
        pytest.raises(BlockingIOError, match="Another process is comparing"),
    ):
        sz.compare([GRU], *parts, folder=tmp_path, progress=False)


def test_models_of_one_vocabulary_share_their_ids(compared):
    # Training and validation rows, whatever the number of models and seeds.
    assert len(list((compared.folder / "ids").iterdir())) == 2


def test_it_is_saved_as_page_csv_json_and_pictures(compared, tmp_path):
    folder = compared.save(tmp_path / "out")
    names = {p.suffix for p in folder.rglob("*") if p.is_file()}
    assert {".html", ".csv", ".json", ".png"} <= names
    written = pd.read_csv(folder / "leaderboard.csv", index_col="model")
    assert written["macro_f1"].to_dict() == pytest.approx(compared.table["macro_f1"].to_dict())


@pytest.mark.parametrize(
    ("keep", "best"),
    [
        (None, min),
        pytest.param("val_loss", min, marks=pytest.mark.slow),
        pytest.param("val_accuracy", max, marks=pytest.mark.slow),
    ],
)
def test_the_best_epoch_is_kept(parts, tmp_path, keep, best):
    from keras_seqzoo.comparison.candidates import make_plan
    from keras_seqzoo.comparison.training import train_once

    # At such a rate the figures go up and down.
    candidate = parse_candidates({"g": {**GRU, "learning_rate": 0.3, "wide": False}})[0]
    plan = make_plan(1, None, 6, None, 6, 0, 0, keep)
    named = dict(zip(("train", "valid", "test"), parts, strict=True))
    model, run = train_once(candidate, plan, 0, named, tmp_path, lambda event: None)
    assert run.valid_loss == pytest.approx(model.evaluate(parts[1], verbose=0)[0], abs=1e-5)
    model.get_layer("probabilities").temperature.assign(1.0)  # as while it was trained
    loss, accuracy = model.evaluate(parts[1], verbose=0)
    calibrated = model.task.calibrated_loss(parts[1].labels, model.predict(parts[1], verbose=0))
    figure = {"val_loss": loss, "val_accuracy": accuracy, None: calibrated}[keep]
    assert figure == pytest.approx(best(run.history[keep or "val_calibrated_loss"]), abs=1e-5)


@pytest.mark.slow
def test_a_search_tries_as_often_as_asked_and_begins_with_the_defaults(parts, tmp_path):
    pytest.importorskip("keras_tuner")
    told = Told()
    comparison = sz.compare(
        {"g": {**GRU, "search": {"units": [4, 3]}}}, *parts, folder=tmp_path / "c",
        isolated=False, progress=told, seeds=1, epochs=1, trials=2, explain=0,
    )  # fmt: skip
    assert told.labels("trial") == ["g"] * 2
    entry = comparison.results.entries[0]
    assert entry.searched[0]["units"] == 4
    best = min(entry.searched, key=lambda trial: trial["val_loss"])
    assert entry.options["units"] == best["units"]


@pytest.mark.slow
def test_a_student_learns_from_a_model_of_the_comparison(parts, tmp_path):
    models = {
        "student": {**GRU, "teacher": "large gru", "augment": 2, "label": "unused"},
        "large gru": {**GRU, "units": 8, "learning_rate": 0.03},
    }
    how: dict[str, Any] = {**SETTINGS, "folder": tmp_path / "c", "isolated": False, "explain": 0}
    told = Told()
    comparison = sz.compare(models, *parts, progress=told, **how)
    assert (comparison.table["missing"] == "").all()
    assert told.labels("start")[:2] == ["large gru", "student"]
    entry = comparison.results.entries[0]
    assert entry.label == "student"
    assert entry.description.endswith("taught by large gru")
    # Asked once, for all seeds: the second finds the answers.
    assert len(list(tmp_path.glob("c/models/large_gru-*/answers/answers-*"))) == 1
    again = Told()
    sz.compare(models, *parts, progress=again, **how)
    assert set(again.labels("done before")) == set(comparison.table.index)
    # Another teacher makes another student.
    before = {m["folder"] for m in Store(comparison.folder).story()["last"]["models"]}
    models["large gru"]["units"] = 7
    with pytest.raises(KeyboardInterrupt):
        sz.compare(models, *parts, progress=Told(("large gru", "start")), **how)
    after = {m["folder"] for m in Store(comparison.folder).story()["last"]["models"]}
    assert {name.rpartition("-")[0] for name in after - before} == {"large_gru", "student"}
