"""What the page of one model is made of."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import keras_seqzoo as sz
from keras_seqzoo.reports.single import results_of


@pytest.fixture(scope="module")
def wrong_table(tiny_table: Any) -> Any:
    """The tiny table with eleven wrong labels, so that the model's answers to them are wrong."""
    labels = [tiny_table.classes[n] for n in tiny_table.labels]
    flipped = [next(c for c in tiny_table.classes if c != name) for name in labels[:11]]
    return sz.TextTable.from_texts(tiny_table.texts, flipped + labels[11:])


def test_the_worst_mistakes_come_first_and_explained(tiny_model: Any, wrong_table: Any) -> None:
    report = sz.evaluate(tiny_model, wrong_table)
    results = results_of(report, tiny_model, wrong_table, True, "a command")
    (entry,) = results.entries
    rows = [row for row, _ in entry.mistakes]
    confidence = report.probabilities.max(axis=1)
    wrong = np.flatnonzero(report.probabilities.argmax(axis=1) != report.labels)
    assert len(wrong) == 11
    assert sorted(rows, key=lambda row: -confidence[row]) == rows
    assert set(wrong) - set(rows) == {wrong[confidence[wrong].argmin()]}
    for row, explanation in entry.mistakes:
        assert explanation is not None
        assert explanation.text == wrong_table.texts[row]
        assert explanation.method == "occlusion"
        assert explanation.target == report.classes[report.probabilities[row].argmax()]


def test_what_a_keras_model_tells(tiny_model: Any, tiny_table: Any) -> None:
    report = sz.evaluate(tiny_model, tiny_table)
    results = results_of(report, tiny_model, tiny_table, False, "a command")
    (entry,) = results.entries
    assert (entry.label, entry.sequence_length) == ("gru", 512)
    assert entry.description == sz.model_card("gru").description
    assert entry.costs.parameters == tiny_model.count_params()
    assert entry.texts_cut == 0
    assert entry.mistakes == []
    assert results.commands == ["a command"]
    assert results.data is not None
    assert results.data.parts.loc["test", "rows"] == len(tiny_table)
    assert results.report("gru").accuracy == report.accuracy
    assert results.environment["keras_seqzoo"] == sz.__version__


def test_texts_that_are_cut_are_counted(tiny_table: Any) -> None:
    model = sz.build_model("gru", tiny_table, units=4, sequence_length=3)
    table = sz.TextTable.from_texts(
        ["one two three", "one two three four", "", "a b c d e"], ["negative", "positive"] * 2
    )
    report = sz.evaluate(model, table)
    (entry,) = results_of(report, model, table, False, "").entries
    assert entry.texts_cut == 2


def test_what_a_saved_model_tells(tiny_model: Any, tiny_export: Path, wrong_table: Any) -> None:
    from keras_seqzoo.serving.saved import SavedPredictor

    saved = SavedPredictor(tiny_export)
    report = sz.evaluate(saved, wrong_table)
    (entry,) = results_of(report, saved, wrong_table, True, "").entries
    assert entry.label == "reviews"
    assert entry.costs.parameters == tiny_model.count_params()
    assert entry.costs.size_mb is not None
    assert entry.costs.size_mb > 0
    assert entry.texts_cut is None
    assert len(entry.mistakes) == 10
    assert all(explanation is not None for _, explanation in entry.mistakes)


def test_of_a_stream_there_are_no_texts(tiny_model: Any, wrong_table: Any, tmp_path: Path) -> None:
    wrong_table.frame.assign(label=[wrong_table.classes[n] for n in wrong_table.labels]).to_json(
        tmp_path / "t.jsonl", orient="records", lines=True
    )
    stream = sz.read_table(tmp_path / "t.jsonl", classes=tiny_model.classes, stream=True)
    report = sz.evaluate(tiny_model, stream)
    results = results_of(report, tiny_model, stream, True, "")
    assert results.title == "t.jsonl"
    assert len(results.texts) == 0
    assert results.entries[0].mistakes == []
    assert results.data is None
    page = report.to_html(tmp_path / "page.html").read_text(encoding="utf-8")
    assert "gru" in page


def test_predictions_alone_make_a_page(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    report = sz.Report.from_predictions(
        rng.integers(0, 3, 50),
        rng.dirichlet(np.ones(3), 50),
        ["a", "b", "c"],
        texts=[f"text {i} " * (i + 1) for i in range(50)],
    )
    page = report.to_html(tmp_path / "page.html")
    assert page == tmp_path / "page.html"
    assert f"{report.accuracy:.3f}"[1:4] in page.read_text(encoding="utf-8")


def test_the_page_shows_mistakes_and_classes(
    tiny_model: Any, wrong_table: Any, tmp_path: Path
) -> None:
    report = sz.evaluate(tiny_model, wrong_table)
    written = report.to_html(tmp_path / "page.html", folder=tmp_path / "data")
    page = written.read_text(encoding="utf-8")
    for text in ("gru", "positive", "negative", "keras_seqzoo.evaluate(", sz.__version__):
        assert text in page
    kinds = {path.suffix for path in (tmp_path / "data").rglob("*")}
    assert {".png", ".csv", ".json"} <= kinds


def test_a_page_that_can_not_be_written(tiny_model: Any, tiny_table: Any, tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match="A page is a file"):
        sz.evaluate(tiny_model, tiny_table).to_html(tmp_path)


def test_a_mistake_is_found_in_the_file_by_its_row(tmp_path: Path) -> None:
    class Negative:
        """Says "n" to everything."""

        classes = ("n", "p")

        def predict(self, x: Any, batch_size: Any = None, verbose: Any = 0) -> Any:
            return np.tile([0.9, 0.1], (len(x), 1))

    labels = ["n", "p", "p", ""] * 10
    lines = [f'"text {i}, of a file",{label}' for i, label in enumerate(labels)]
    path = tmp_path / "reviews.csv"
    path.write_text("\n".join(["text,label", *lines]))
    table = sz.read_table(path, na="drop")
    assert table.row_numbers.tolist() == [i + 1 for i, label in enumerate(labels) if label]
    test = table.split(valid=0.2, test=0.4, seed=0)[2].drop_duplicates()
    for number, text in zip(test.row_numbers, test.texts, strict=True):
        assert lines[number - 1].startswith(f'"{text}"')
    page = sz.evaluate(Negative(), test).to_html(tmp_path / "page.html", explain=False)
    found = re.findall(r">row (\d+)<.*?<div class=\"text\"[^>]*>([^<]*)<", page.read_text(), re.S)
    assert len(found) == min(10, int((test.labels == 1).sum())) > 3
    for number, text in found:
        assert lines[int(number) - 1] == f'"{text}",p'


def test_places_that_can_not_be_written_are_told_before_mistakes_are_explained(
    tmp_path: Path,
) -> None:
    class Counted:
        """Counts how often it is asked."""

        classes = ("n", "p")
        asked = 0

        def predict(self, x: Any, batch_size: Any = None, verbose: Any = 0) -> Any:
            self.asked += 1
            return np.tile([0.9, 0.1], (len(x), 1))

    model = Counted()
    report = sz.evaluate(model, sz.TextTable.from_texts(["a b", "c"], ["p", "n"]))
    (tmp_path / "file").write_text("mine")
    asked = model.asked
    with pytest.raises(ValueError, match="Files need a folder"):
        report.to_html(tmp_path / "page.html", folder=tmp_path / "file")
    assert model.asked == asked
    assert report.to_html(tmp_path / "a" / "b" / "page.html", folder=tmp_path / "c" / "d").is_file()
    assert (tmp_path / "c" / "d" / "confusion.png").is_file()
