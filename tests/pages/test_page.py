from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from html_page import NASTY, Page
from sample_results import REASON, make_results

from keras_seqzoo.evaluation.leaderboard import leaderboard
from keras_seqzoo.evaluation.results import Entry
from keras_seqzoo.pages import classes
from keras_seqzoo.pages.page import render, write_page

COMPARED = {"differences", "costs"}
SECTIONS = {"figures", "curves", "confusion", "calibration", "lengths", "classes", "mistakes"}
SECTIONS |= {"coverage", "data", "how"}


@pytest.fixture(scope="module")
def results():
    return make_results()


@pytest.fixture(scope="module")
def html(results):
    return render(results)


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def test_every_section_is_there_and_linked(page):
    sections = {attrs["id"] for tag, attrs in page.elements if tag == "section"}
    assert sections == SECTIONS | COMPARED
    links = {attrs["href"] for tag, attrs in page.elements if tag == "a"}
    assert links == {f"#{name}" for name in sections}


def test_page_is_well_formed_and_its_ids_are_unique(page):
    assert not page.unbalanced
    assert not page.open
    ids = page.ids()
    assert len(ids) == len(set(ids))
    assert len(ids) > 50


def test_references_inside_figures_are_to_ids_of_the_page(html, page):
    ids = set(page.ids())
    referred = set(re.findall(r'href="#([^"]+)"', html)) | set(re.findall(r"url\(#([^)]+)\)", html))
    assert referred <= ids


def test_page_loads_nothing(html, page):
    for tag, attrs in page.elements:
        assert tag not in ("link", "iframe", "object", "embed", "base")
        for name in ("src", "href", "xlink:href", "action", "poster", "srcset"):
            assert attrs.get(name, "#").startswith(("#", "data:")), (tag, attrs)
    assert "http:" not in html
    assert "https:" not in html
    assert "@import" not in html
    assert re.findall(r"url\((?!#)", html) == []


def test_figures_are_described_to_those_who_do_not_see_them(page):
    figures = [attrs for tag, attrs in page.elements if tag == "svg" and attrs.get("role") == "img"]
    assert len(figures) == 3 + 3 + 4 + 4 + 4 + 4 + 1
    assert all(figure["aria-label"] for figure in figures)


def test_same_results_give_the_same_bytes():
    first, second = (make_results(models=("lstm",), baselines=False) for _ in range(2))
    assert render(first) == render(second)


def test_missing_model_is_named_with_the_reason(page):
    assert f"missing: {REASON}" in page.words
    assert "gpt2 is missing; the table says why." in page.words


def test_partly_missing_model_has_figures_and_the_reason():
    results = make_results()
    first = replace(results.entries[0], missing="Seed 1 was interrupted.")
    page = Page(render(replace(results, entries=[first, *results.entries[1:]])))
    assert "† incomplete" in page.words
    assert "† lstm: Seed 1 was interrupted." in page.words


def test_leaderboard_shows_the_means(results, page):
    table = leaderboard(results)
    for label in results.reports:
        assert f"{table.at[label, 'macro_f1']:.3f}" in page.words
        assert f"{table.at[label, 'log_loss']:.3f}" in page.words


def test_best_of_each_column_is_marked_by_a_sign_and_costs_leave_baselines_out(html):
    cells = re.findall(r'<td class="[^"]*best[^"]*" data-value="([^"]+)".*?</td>', html)
    # The baseline takes 0.5 s, and the fastest model 10.
    assert 10.0 in map(float, cells)
    assert 0.5 not in map(float, cells)
    assert html.count('<span class="star">★<span class="hidden"> best</span></span>') == len(cells)


def test_a_model_that_loses_to_the_baseline_is_seen_losing():
    page = Page(render(make_results(skills=[2.0, 0.1])))
    assert "gru stands below that baseline" in page.words
    assert page.words.count("▼ below baseline") == 1


def test_baseline_that_nothing_beats_is_told_first():
    page = Page(render(make_results(skills=[0.4, 0.1])))
    assert "tfidf_logistic has the highest macro-F1" in page.words
    assert "tfidf_logistic is a baseline, and no model beats it: the closest, lstm" in page.words


def test_only_baselines_have_answers():
    page = Page(render(make_results(models=(), skills=[], missing=("lstm", "gru"))))
    assert "Only the baselines have answers." in page.words
    assert "lstm and gru are missing" in page.words


def test_no_model_has_answers():
    page = Page(render(make_results(models=(), skills=[], baselines=False)))
    assert "No model has answers" in page.words
    assert REASON in page.words
    assert not page.unbalanced


def test_equal_models_have_no_difference_shown():
    results = make_results(models=("lstm",), missing=())
    twin = replace(results.entries[0], label="twin")
    page = Page(render(replace(results, entries=[twin, *results.entries])))
    assert "twin and lstm have the highest macro-F1" in page.words
    assert "no difference shown" in page.words


def test_page_of_one_model_compares_nothing():
    results = make_results(models=("lstm",), baselines=False, missing=())
    page = Page(render(results))
    sections = {attrs["id"] for tag, attrs in page.elements if tag == "section"}
    assert sections == SECTIONS
    assert "Evaluation of one model" in page.words
    assert "lstm answers" in page.words
    assert "best" not in page.words
    assert not any(tag == "script" for tag, _ in page.elements)


def test_model_without_costs_data_or_curves():
    results = make_results(models=("lstm",), baselines=False, missing=())
    run = replace(results.entries[0].runs[0], history={}, valid_loss=None, seconds=None)
    entry = Entry("lstm", runs=[run])
    page = Page(render(replace(results, entries=[entry], data=None, seconds=None)))
    sections = {attrs["id"] for tag, attrs in page.elements if tag == "section"}
    assert sections == SECTIONS - {"curves", "mistakes"}
    assert "training time" not in page.words


def test_everything_a_user_wrote_is_escaped_and_whole():
    results = make_results(classes=NASTY, models=NASTY[:3], title=NASTY[0], rows=60)
    html = render(results)
    page = Page(html)
    assert not page.unbalanced
    # The one script is the page's own.
    assert [tag for tag, _ in page.elements].count("script") == 1
    assert not any(tag in ("b", "i") and attrs for tag, attrs in page.elements)
    assert "<b>always</b>" not in html
    for name in (*NASTY, "a <i>film</i>"):
        assert name in page.words
    assert "{{ 7*7 }}" in page.words


def test_explained_mistake_keeps_its_text_and_signs_its_words(results, html):
    row, explanation = results.entries[0].mistakes[0]
    marked = re.search(rf"row {row + 1}\b .*?<div class=\"text\".*?</article>", html, re.DOTALL)[0]
    text = Page(re.sub(r"<sup[^>]*>.</sup>", "", marked)).words
    assert re.sub(r"\s+", " ", explanation.text) in text
    assert "underline solid" in marked
    assert "underline wavy" in marked


def test_fifty_classes_and_twelve_models():
    models = tuple(f"model_{i}" for i in range(12))
    classes = tuple(f"intent {i}" for i in range(50))
    results = make_results(classes, models, rows=200, seeds=1, baselines=False, missing=())
    page = Page(render(results))
    assert "The 15 classes with the lowest F1 of 50" in page.words
    assert page.words.count("Most frequent confusions") == len(models)
    assert "Numbers of the classes" in page.words
    assert all(name in page.words for name in classes)
    labels = [a["aria-label"] for t, a in page.elements if t == "svg" and "aria-label" in a]
    for model in models:
        assert f"Confusion matrix of {model}" in labels
        assert f"Loss by epoch of {model}" in labels


def test_data_and_how_it_was_made(page):
    for text in (
        "The parts train and test share 3 texts.",
        "train and test share 3 texts",
        "keras-seqzoo compare reviews.csv --models lstm,gru",
        "2.20.0",
        "seed 1, 12 s, validation loss 0.500, kept",
    ):
        assert text in page.words


def test_page_is_written_whole_and_replaces_an_older_one(tmp_path):
    results = make_results(models=("lstm",), baselines=False, missing=())
    path = tmp_path / "report.html"
    path.write_text("older")
    assert write_page(results, path) == path
    assert path.read_text(encoding="utf-8") == render(results)
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_lone_surrogate_in_a_text_does_not_lose_the_page(tmp_path):
    results = make_results(models=("lstm",), baselines=False, missing=())
    row = results.entries[0].mistakes[1][0]
    results.texts[row] = "broken \ud800 text"
    assert "broken ? text" in write_page(results, tmp_path / "r.html").read_text("utf-8")


def test_unwritable_path_says_what_to_do(tmp_path, results):
    with pytest.raises(ValueError, match=r"this is a folder. Received: "):
        write_page(results, tmp_path)
    with pytest.raises(ValueError, match=r"Give a path in a folder that exists .* Received: "):
        write_page(results, tmp_path / "nowhere" / "report.html")
    assert list(tmp_path.iterdir()) == []


def test_results_without_entries_are_refused(results):
    with pytest.raises(ValueError, match=r"at least one model. Received: "):
        render(replace(results, entries=[]))


def test_pages_import_no_tensorflow_and_no_pyplot():
    code = (
        "import sys, keras_seqzoo.pages.page, keras_seqzoo.pages.output\n"
        "print([m for m in ('tensorflow', 'keras', 'matplotlib.pyplot') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_ten_classes_are_counted_on_axes_and_named_in_a_key():
    names = tuple(f"declined_card_payment_{i}" for i in range(10))
    results = make_results(names, ("lstm",), rows=2000, seeds=1, baselines=False, missing=())
    page = Page(render(results))
    assert "Numbers of the classes" in page.words
    figure = classes.confusion_matrices(results, ["lstm"])
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(boxes) == 100
    for i, box in enumerate(boxes):
        assert box.count_overlaps(boxes[:i]) == 0


def test_a_table_too_wide_for_a_phone_says_so_and_names_break_after_underscores(html):
    assert "of figures: swipe the table sideways" in html
    assert "tfidf_<wbr>logistic" in html


def test_labels_that_no_model_believes_are_shown():
    answers = np.full((30, 2), 0.5) + np.outer(np.where(np.arange(30) % 2, -0.4, 0.4), [1, -1])
    results = make_results(rows=30, models=("lstm", "gru"), seeds=1)
    entries = [
        replace(entry, runs=[replace(run, outputs=answers.copy()) for run in entry.runs])
        for entry in results.entries
    ]
    labels = np.arange(30) % 2
    labels[[4, 9]] = 1 - labels[[4, 9]]
    entries[0].runs[0].outputs[9] = [0.05, 0.95]
    entries[1].runs[0].outputs[6] = [0.4, 0.6]  # one model alone is wrong here
    results = replace(results, labels=labels, entries=entries)
    found = classes.doubtful(results)
    assert found["row"].tolist() == [9, 4]
    assert found["label"].tolist() == ["negative", "positive"]
    assert found["of_label"].tolist() == pytest.approx([(0.05 + 0.1 + 0.1) / 3, 0.1])
    html = render(results)
    section = html[html.index('id="doubtful"') : html.index('id="mistakes"')]
    assert "2 texts that every model takes for the same other class." in section
    assert section.index("row 10") < section.index("row 5")
    alone = replace(results, entries=entries[:1])
    assert classes.doubtful(alone).empty
    assert 'id="doubtful"' not in render(alone)
