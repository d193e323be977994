"""What pages show of several labels, of numbers and of pairs; those of classes are in test_page."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest
from html_page import NASTY, Page
from sample_results import make_label_results, make_number_results, make_results
from sklearn.metrics import precision_recall_curve

from keras_seqzoo.data.targets import AnyOf, Number, OneOf
from keras_seqzoo.evaluation.results import Results
from keras_seqzoo.pages import labels, numbers
from keras_seqzoo.pages.by_task import BY_TASK
from keras_seqzoo.pages.output import write_data, write_figures
from keras_seqzoo.pages.page import render
from keras_seqzoo.tasks import TASKS
from keras_seqzoo.tasks.classify import Classify
from keras_seqzoo.tasks.label import Label
from keras_seqzoo.tasks.regress import Regress

MAKERS = {"label": make_label_results, "regress": make_number_results}
OF_ALL = {"figures", "differences", "costs", "curves", "mistakes", "data", "how"}


@pytest.fixture(scope="module")
def made():
    return {name: make(is_pair=name == "regress") for name, make in MAKERS.items()}


@pytest.fixture(scope="module")
def pages(made):
    return {name: Page(render(results)) for name, results in made.items()}


def section(html, name):
    return Page(re.search(rf'<section id="{name}">.*?</section>', html, re.DOTALL)[0]).words


@pytest.mark.parametrize("task", MAKERS)
def test_every_section_is_there_and_linked(pages, task):
    page = pages[task]
    sections = [attrs["id"] for tag, attrs in page.elements if tag == "section"]
    assert set(sections) == OF_ALL | set(BY_TASK[task].drawings)
    links = {attrs["href"] for tag, attrs in page.elements if tag == "a"}
    assert links == {f"#{name}" for name in sections}
    assert not page.unbalanced
    assert len(page.ids()) == len(set(page.ids()))


@pytest.mark.parametrize("task", MAKERS)
def test_a_column_for_each_metric_and_a_file_for_each_figure(made, pages, task, tmp_path):
    results = made[task]
    for metric in results.task.metrics:
        assert metric.title in pages[task].words
    drawings = set(BY_TASK[task].drawings)
    pictures = {path.stem for path in write_figures(results, tmp_path)}
    assert drawings | {"learning_curves", "cost_p95_ms"} <= pictures
    assert drawings | {"curves", "leaderboard"} <= {p.stem for p in write_data(results, tmp_path)}
    read = json.loads((tmp_path / "results.json").read_text("utf-8"))
    assert read["task"]["name"] == task
    for name in drawings:
        rows = sum(len(model[name]) for model in read["models"])
        assert len(pd.read_csv(tmp_path / f"{name}.csv")) == rows > 0


@pytest.mark.parametrize("task", MAKERS)
def test_names_are_escaped_and_whole(task):
    results = MAKERS[task](names=NASTY, models=NASTY[:2], missing=(), title=NASTY[0], rows=60)
    html = render(results)
    page = Page(html)
    assert not page.unbalanced
    assert [tag for tag, _ in page.elements].count("script") == 1
    for name in NASTY:
        assert name in page.words


@pytest.mark.parametrize("task", MAKERS)
def test_page_of_one_model_and_of_a_stream(task):
    results = MAKERS[task](models=("lstm",), baselines=False, missing=())
    told = Page(render(results)).words
    assert {"label": "lstm gives", "regress": "lstm is off by"}[task] in told
    bare = replace(results.entries[0], mistakes=())
    page = Page(render(replace(results, entries=[bare], texts=[], data=None)))
    sections = {attrs["id"] for tag, attrs in page.elements if tag == "section"}
    assert sections == (OF_ALL - {"differences", "costs", "mistakes"}) | (
        set(BY_TASK[task].drawings) - {"lengths"}
    )
    assert not page.unbalanced


def test_table_of_labels_has_what_is_known_of_each(made):
    html = render(made["label"])
    told = section(html, "labels")
    for name, row in made["label"].report("lstm").per_label.iterrows():
        figures = [row[c] for c in ("precision", "recall", "f1")]
        areas = [row[c] for c in ("roc_auc", "average_precision", "threshold")]
        line = [name, *(f"{v:.3f}" for v in figures), f"{row['support']:.0f}"]
        line += [f"{v:.3f}" for v in areas]
        assert "".join(line) in told
    assert "labeltrainvalidtestshare of train toxic404040 33.3 % insult" in section(html, "data")


def test_labels_that_are_missed_added_and_found_are_told(made):
    results = made["label"]
    row = results.entries[0].mistakes[0][0]
    report = results.report("lstm")
    said = labels.verdict(report, row)
    given = report.outputs[row] >= 0.4
    has = results.labels[row] > 0
    kinds = {(True, False): "added", (False, True): "missed", (True, True): "right"}
    expected = {
        (kinds[g, h], name, f"{p:.3f}")
        for g, h, name, p in zip(given, has, results.task.names, report.outputs[row], strict=True)
        if g or h
    }
    assert set(said) == expected
    assert {"added", "missed"} & {word for word, *_ in said}
    words = section(render(results), "mistakes")
    assert " ".join(f"{s.word} {s.name} {s.number}" for s in said) in words


def test_worst_answers_come_first_and_right_ones_not_at_all():
    task = Label(AnyOf(("a", "b")))
    truth = np.array([[1, 0], [1, 1], [0, 0], [0, 1]], np.float32)
    outputs = np.array([[0.9, 0.1], [0.9, 0.4], [0.6, 0.1], [0.8, 0.1]])
    assert task.worst(truth, outputs, 5).tolist() == [3, 2, 1]
    off = Regress(Number(("x",))).worst(truth[:, :1], outputs[:, :1] + [[0.1], [0], [0], [0]], 2)
    assert off.tolist() == [3, 2]
    sure = Classify(OneOf(("a", "b"))).worst(np.array([0, 0, 1, 1]), outputs[:, ::-1], 5)
    assert sure.tolist() == [0, 1]


def test_precision_by_recall_is_scikit_learns(made):
    results = made["label"]
    table = labels.precision_recall(results)
    own = table[(table["model"] == "gru") & (table["label"] == "insult")]
    report = results.report("gru")
    precision, recall, _ = precision_recall_curve(results.labels[:, 1], report.outputs[:, 1])
    for at, found in zip(own["recall"], own["precision"], strict=True):
        assert found == precision[:-1][recall[:-1] >= at - 1e-9].max()
    figure = labels.draw_precision_recall(results, ["gru"])
    mark = figure.axes[0].get_lines()[-1]
    said, real = report.outputs >= 0.4, results.labels > 0
    assert mark.get_xdata()[0] == pytest.approx((said & real).sum() / real.sum())
    assert mark.get_ydata()[0] == pytest.approx((said & real).sum() / said.sum())


def test_a_label_without_rows_has_no_curve_and_no_figures():
    results = make_label_results(rows=40)
    truth = results.labels.copy()
    truth[:, 2] = 0
    results = replace(results, labels=truth)
    assert set(labels.precision_recall(results)["label"]) == {labels.ALL, "toxic", "insult"}
    page = Page(render(results))
    assert "threat0.0000.0000.0000\N{EN DASH}\N{EN DASH}0.400" in page.words
    assert not page.unbalanced


def test_each_number_is_drawn_with_its_own_rows():
    results = make_number_results(("price", "weight"), rows=40, seeds=1)
    figure = numbers.draw_predicted(results, ["lstm", "gru"], columns=2)
    report = results.report("lstm")
    assert [a.get_title() for a in figure.axes[:3]] == ["lstm, price", "lstm, weight", "gru, price"]
    points = figure.axes[1].get_lines()[0]
    np.testing.assert_array_equal(points.get_xdata(), results.labels[:, 1])
    np.testing.assert_array_equal(points.get_ydata(), report.outputs[:, 1])
    above, below = numbers.draw_residuals(results, ["lstm"]).axes[:2]
    off = report.outputs[:, 0] - report.labels[:, 0]
    np.testing.assert_array_equal(above.get_lines()[0].get_ydata(), off)
    assert sum(bar.get_height() for bar in below.patches) == 40
    one = numbers.draw_predicted(results, ["lstm"])
    assert [a.get_title() for a in one.axes] == ["price", "weight"]


def test_many_rows_are_counted_in_hexagons():
    results = make_number_results(models=("lstm",), rows=600, baselines=False, missing=())
    (axes,) = numbers.draw_predicted(results, ["lstm"]).axes
    (hexagons,) = axes.collections
    assert hexagons.get_array().sum() == 600


def test_errors_by_length_are_those_of_the_groups(made):
    results = made["regress"]
    table = numbers.lengths(results).query("model == 'lstm'")
    words = np.array([sum(len(text.split()) for text in pair) for pair in results.texts])
    off = np.abs(results.report("lstm").outputs - results.labels)[:, 0]
    for row in table.itertuples():
        own = off[(words >= row.low) & (words <= row.high)]
        assert (len(own), row.mae) == (row.rows, pytest.approx(own.mean()))
        assert row.low_ci < row.mae < row.high_ci


def test_numbers_of_any_size_are_readable():
    large = Page(render(make_number_results(scale=12_000.0))).words
    assert "lstm has the lowest MAE, 3," in large
    assert re.search(r"lstm is [1-9],\d{3} of MAE below the best baseline", large)
    small = Page(render(make_number_results(scale=0.0001))).words
    assert re.search(r"lstm has the lowest MAE, 0\.0000\d{3}", small)


def test_colours_are_explained_where_words_are_coloured_and_in_the_unit_of_the_answer(made):
    assert "explains score" not in section(render(made["regress"]), "mistakes")
    assert "that raise" not in section(render(made["regress"]), "mistakes")
    words = section(render(make_number_results()), "mistakes")
    assert "explains score by occlusion" in words
    assert "raise" in words
    assert "its unit" in words
    assert "Scores are in probability" in section(render(made["label"]), "mistakes")


def test_a_model_with_larger_errors_than_the_baseline_stands_above_it():
    words = Page(render(make_number_results(skills=[2.0, 0.2]))).words
    assert "gru stands above that baseline" in words
    assert words.count("▼ below baseline") == 1


def test_answers_that_are_alike_have_no_correlation(made):
    results = made["regress"]
    assert results.intervals("mean")["pearson"] == (0, 0)


def test_numbers_of_the_parts_are_told(made):
    assert "train\N{MINUS SIGN}0.503.016.202.981.02" in section(render(made["regress"]), "data")


@pytest.mark.parametrize("make", [make_results, make_label_results, make_number_results])
def test_both_texts_of_a_pair_stand_one_above_the_other(make):
    results = make(is_pair=True)
    html = render(results)
    assert "120 test pairs" in Page(html).words
    row, _ = results.entries[0].mistakes[1]
    article = re.findall(r'<article class="mistake">.*?</article>', html, re.DOTALL)[1]
    shown = re.findall(r'<div class="text" dir="auto">(.*?)</div>', article, re.DOTALL)
    assert [Page(text).words for text in shown] == list(results.texts[row])


def test_every_task_with_a_truth_of_texts_has_sections():
    assert set(BY_TASK) <= set(TASKS)


@dataclass(frozen=True)
class Own(Regress):
    """A task of a user's, of which pages know nothing."""

    name = "own"


def test_a_task_that_pages_do_not_know_has_leaderboard_costs_and_data():
    results: Results = make_number_results()
    page = Page(render(replace(results, task=Own(Number(("score",))))))
    sections = {attrs["id"] for tag, attrs in page.elements if tag == "section"}
    assert sections == OF_ALL
    assert not page.unbalanced
