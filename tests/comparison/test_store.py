"""The folder of a comparison may come from anyone: it is read, and nothing in it is run."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keras_seqzoo.comparison.baselines import BASELINES
from keras_seqzoo.comparison.candidates import Candidate
from keras_seqzoo.comparison.comparison import Comparison
from keras_seqzoo.comparison.store import ModelRecord, Store, write_json
from keras_seqzoo.data.table import TextTable
from keras_seqzoo.data.targets import OneOf
from keras_seqzoo.evaluation.results import Run
from keras_seqzoo.explanation.explanation import Explanation
from keras_seqzoo.tasks.classify import Classify

TEXTS = ["a good film", "a bad film", "good", "bad"]
NAMES = ("tfidf_logreg", "majority")


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A comparison of the baselines, as `compare` keeps it."""
    store = Store(tmp_path_factory.mktemp("stored") / "c")
    table = TextTable.from_texts(TEXTS, ["p", "n", "p", "n"])
    store.open("reviews.csv", {"train": table, "valid": table, "test": table})
    for name in NAMES:
        classifier = BASELINES[name]()
        classifier.fit(table)
        record = ModelRecord(store.folder / "models" / name)
        answers = classifier.predict(table.texts)
        record.write_run(Run(0, answers, 0.5, {}, 0.1), 100.0)
        explanation = Explanation(
            "a good film", ((2, 6),), np.ones(1), "p", table.classes, answers[0], 0.5, "occlusion"
        )
        mistakes = [(0, explanation.as_dict())]
        write_json(record.folder / "facts.json", {"costs": {"size_mb": 1.0}, "mistakes": mistakes})
    models = [{"candidate": Candidate(n, n).as_dict(), "folder": n} for n in NAMES]
    store.write_last(models=models, seeds=[0], train_rows=4, commands=["a"], seconds=1.0)
    return store.folder


@pytest.fixture
def folder(stored: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(stored, tmp_path / "c"))


def change(path: Path, edit: Callable[[Any], Any]) -> None:
    story = json.loads(path.read_text("utf-8"))
    edit(story)
    path.write_text(json.dumps(story), "utf-8")


def test_a_baseline_is_fitted_anew_and_answers_as_the_table_says(stored: Path) -> None:
    comparison = Comparison(stored)
    for entry in comparison.results.entries:
        answers = comparison.load(entry.label).predict(TEXTS)
        np.testing.assert_allclose(answers, entry.kept.outputs, rtol=1e-12)
    with pytest.raises(ValueError, match="A baseline has none: `load` fits it again"):
        comparison.file("majority")


def test_a_pickle_that_a_comparison_names_is_not_opened(folder: Path, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "touched",)

    (tmp_path / "evil.joblib").write_bytes(pickle.dumps(Evil()))
    for name in ("../../../evil.joblib", str(tmp_path / "evil.joblib")):
        change(folder / "models" / NAMES[0] / "facts.json", lambda s, n=name: s.update(kept=n))
        Comparison(folder).load(NAMES[0])
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize("name", ["../../c2", "link", "/../../c2"])
def test_what_lies_outside_the_folder_is_refused(folder: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(folder / "models" / NAMES[0], tmp_path / "c2")
    (folder / "models" / "link").symlink_to(tmp_path / "c2")
    change(folder / "comparison.json", lambda s: s["last"]["models"][0].update(folder=name))
    with pytest.raises(ValueError, match=r"must be in its folder. Run `compare` again"):
        Comparison(folder)


OTHER = {"kind": "labels", "names": ["n", "p"]}
UNFIT = {"target": OTHER, "thresholds": [0.5]}
HOSTILE: list[tuple[str, Callable[[Any], Any]]] = [
    ("comparison.json", lambda s: s.clear()),
    ("comparison.json", lambda s: s["task"]["target"].update(names=[1, 2])),
    ("comparison.json", lambda s: s["task"]["target"].update(names=["n"])),
    ("comparison.json", lambda s: s["task"].update(name="tags")),
    ("comparison.json", lambda s: s.update(task=["classify"])),
    ("comparison.json", lambda s: s.update(classes=[1, 2]) or s.pop("task")),
    ("comparison.json", lambda s: s.pop("task")),
    ("comparison.json", lambda s: s.update(title={"a": 1})),
    ("comparison.json", lambda s: s.update(data=[])),
    ("comparison.json", lambda s: s["last"].update(seeds=["../../../x"])),
    ("comparison.json", lambda s: s["last"].update(seeds=None)),
    ("comparison.json", lambda s: s["last"].update(commands=[{}])),
    ("comparison.json", lambda s: s["last"].update(models=[{"folder": 1}])),
    ("comparison.json", lambda s: s["last"]["models"][0]["candidate"].update(label=["a"])),
    ("comparison.json", lambda s: s["last"]["models"][0]["candidate"].update(evil=1)),
    ("models/majority/facts.json", lambda s: s.update(costs={"size_mb": "1"})),
    ("models/majority/facts.json", lambda s: s.update(costs={"evil": 1})),
    ("models/majority/facts.json", lambda s: s.update(mistakes=[[4, None]])),
    ("models/majority/facts.json", lambda s: s["mistakes"][0][1].update(scores=[1.0] * 9)),
    ("models/majority/facts.json", lambda s: s["mistakes"][0][1].update(target="?")),
    ("models/majority/seed-0.json", lambda s: s.update(history={"loss": "abc"})),
    ("models/majority/seed-0.json", lambda s: s.update(valid_loss=True)),
    ("models/majority/seed-0.json", lambda s: s.update(task={"name": "classify"})),
    ("models/majority/seed-0.json", lambda s: s.update(task={"name": "label", "target": OTHER})),
    ("models/majority/seed-0.json", lambda s: s.update(task={**UNFIT, "name": "label"})),
]


@pytest.mark.parametrize(("name", "edit"), HOSTILE)
def test_stories_of_the_wrong_kind_say_to_compare_again(
    folder: Path, name: str, edit: Callable[[Any], Any]
) -> None:
    change(folder / name, edit)
    with pytest.raises(ValueError, match=r"damaged.*run `compare` again.*Received: "):
        Comparison(folder)


def test_a_comparison_of_an_earlier_version_is_of_texts_and_classes(folder: Path) -> None:
    def earlier(story: Any) -> None:
        del story["inputs"]
        story["classes"] = story.pop("task")["target"]["names"]

    change(folder / "comparison.json", earlier)
    for name in NAMES:
        change(folder / "models" / name / "seed-0.json", lambda s: s.pop("task"))
    comparison = Comparison(folder)
    assert comparison.results.task == Classify(OneOf(("n", "p")))
    assert comparison.table.at["tfidf_logreg", "accuracy"] == 1
    assert comparison.load("tfidf_logreg").predict(["good"]).shape == (1, 2)


def test_json_as_deep_as_it_can_be_is_refused(folder: Path) -> None:
    (folder / "comparison.json").write_text("[" * 200_000)
    with pytest.raises(ValueError, match=r"damaged.*RecursionError"):
        Comparison(folder)


@pytest.mark.parametrize(
    ("shape", "kind"),
    [("(999999999999, 2)", "<f8"), ("(4, 999999999999)", "<f8"), ("(2, 4)", "<f8"),
     ("(4, 2)", "|O"), ("(4, 2)", "<i8")],
)  # fmt: skip
def test_answers_of_another_size_or_kind_are_refused(folder: Path, shape: str, kind: str) -> None:
    header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}}}".ljust(117) + "\n"
    magic = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little")
    path = folder / "models" / "majority" / "seed-0.npy"
    path.write_bytes(magic + header.encode() + bytes(64))
    with pytest.raises(ValueError, match=r"damaged.*Received: .*seed-0\.npy"):
        Comparison(folder)


@pytest.mark.parametrize(
    "labels", [["p", "n", "p", "n"], [["p", "n"], [], ["n"], ["p"]], np.eye(4) * 1.5]
)
@pytest.mark.parametrize("texts", [TEXTS, (TEXTS, TEXTS[::-1])])
def test_rows_of_every_kind_are_kept(tmp_path: Path, texts: Any, labels: Any) -> None:
    table = TextTable.from_texts(texts, labels)
    store = Store(tmp_path / "c")
    store.open("reviews.csv", {"train": table, "valid": table, "test": table.take([2, 0])})
    store.open("reviews.csv", {"train": table, "valid": table, "test": table.take([2, 0])})
    test = Store(tmp_path / "c").part("test")
    assert (test.inputs, test.target) == (table.inputs, table.target)
    assert test.fingerprint() == table.take([2, 0]).fingerprint()
    assert test.row_numbers.tolist() == [3, 1]
    known = {"title", "rows", "inputs", "task", "data", "last"}

    assert store.story().keys() == known


@pytest.mark.parametrize(
    "edit",
    [
        lambda s: s.update(inputs="series"),
        lambda s: s.update(inputs="text"),
        lambda s: s.update(inputs=["pair"]),
        lambda s: s["task"].update(target={"kind": "tags", "names": ["n", "p"]}),
        lambda s: s["task"].update(target={"kind": "labels", "names": ["n", 1]}),
        lambda s: s["task"].update(target={"kind": "labels", "names": ["n"]}),
        lambda s: s["task"].update(thresholds=[0.5]),
        lambda s: s["task"].update(target={"kind": "number"}),
        lambda s: s["task"].update(target=["labels"]),
        lambda s: s.pop("task"),
    ],
)
def test_a_story_of_other_rows_is_damaged(tmp_path: Path, edit: Callable[[Any], Any]) -> None:
    labels = np.array([[1, 0], [0, 1], [1, 1], [0, 0]])
    table = TextTable.from_texts((TEXTS, TEXTS), labels, classes=["n", "p"])
    store = Store(tmp_path / "c")
    store.open("reviews.csv", {"train": table, "valid": table, "test": table})
    change(tmp_path / "c" / "comparison.json", edit)
    with pytest.raises(ValueError, match=r"damaged.*run `compare` again.*Received: "):
        store.part("test")


def test_files_keep_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_json(tmp_path / "a.json", {})
    finally:
        os.umask(before)
    assert (tmp_path / "a.json").stat().st_mode & 0o777 == 0o640
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]
