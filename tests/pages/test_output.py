from __future__ import annotations

import json

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from sample_results import make_label_results, make_number_results, make_results

from keras_seqzoo.evaluation.leaderboard import leaderboard
from keras_seqzoo.pages import classes, figures
from keras_seqzoo.pages.drawing import inline_svg, wrapped
from keras_seqzoo.pages.output import write_data, write_figures

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def results():
    return make_results()


@pytest.fixture(scope="module")
def folder(results, tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "made"
    write_data(results, folder)
    return folder


def test_pictures_are_made_and_sharp(results, tmp_path):
    before = dict(mpl.rcParams)
    paths = write_figures(results, tmp_path / "new" / "figures")
    assert {p.name for p in paths} == {
        "cost_p95_ms.png",
        "cost_size_mb.png",
        "cost_training_s.png",
        "learning_curves.png",
        "confusion.png",
        "calibration.png",
        "coverage.png",
        "lengths.png",
        "classes.png",
    }
    for path in paths:
        content = path.read_bytes()
        assert content.startswith(PNG)
        assert int.from_bytes(content[16:20], "big") >= 4 * 150
    assert dict(mpl.rcParams) == before


def test_one_model_without_answers_has_no_pictures(tmp_path):
    results = make_results(models=(), skills=[], baselines=False)
    assert write_figures(results, tmp_path) == []


def test_leaderboard_csv_equals_the_table(results, folder):
    read = pd.read_csv(folder / "leaderboard.csv", index_col="model", keep_default_na=True)
    table = leaderboard(results)
    assert list(read.index) == list(table.index)
    np.testing.assert_array_equal(read["macro_f1"], table["macro_f1"])
    np.testing.assert_array_equal(read["p95_ms"], table["p95_ms"].astype(float))


def test_json_holds_each_run_and_the_reports_own_figures(results, folder):
    read = json.loads((folder / "results.json").read_text("utf-8"))
    models = {model["label"]: model for model in read["models"]}
    assert list(models) == list(leaderboard(results).index)
    for label, reports in results.reports.items():
        for run, report in zip(models[label]["runs"], reports, strict=True):
            for name, value in report.to_dict().items():
                if name not in ("per_class",):
                    assert run[name] == value
    assert [run["kept"] for run in models["lstm"]["runs"]] == [False, True]
    assert models["gpt2"]["runs"] == []
    assert models["gpt2"]["leaderboard"]["accuracy"] is None
    assert read["data"]["shared"] == {"train and test": 3}
    assert len(read["differences"]) == 3


def test_tables_equal_json(folder):
    read = json.loads((folder / "results.json").read_text("utf-8"))
    for name in ("curves", "confusion", "calibration", "coverage", "classes", "lengths"):
        table = pd.read_csv(folder / f"{name}.csv")
        assert len(table) == sum(len(model[name]) for model in read["models"])
        own = table[table["model"] == "gru"].drop(columns="model").reset_index(drop=True)
        of_json = pd.DataFrame(next(m for m in read["models"] if m["label"] == "gru")[name])
        pd.testing.assert_frame_equal(own, of_json, check_dtype=False, rtol=0, atol=0)


def test_confusion_table_is_the_kept_runs(results, folder):
    table = pd.read_csv(folder / "confusion.csv")
    own = table[table["model"] == "lstm"].pivot(index="true", columns="predicted", values="rows")
    counts = results.report("lstm").confusion
    np.testing.assert_array_equal(own.loc[list(results.classes), list(results.classes)], counts)


def test_same_results_give_the_same_files(results, folder, tmp_path):
    for path in write_data(results, tmp_path):
        assert path.read_bytes() == (folder / path.name).read_bytes()


@pytest.mark.parametrize("write", [write_data, write_figures])
def test_folder_that_is_a_file_is_refused(write, results, tmp_path):
    path = tmp_path / "file"
    path.write_text("mine")
    with pytest.raises(ValueError, match=r"Files need a folder .* Received: "):
        write(results, path)
    assert path.read_text() == "mine"


def test_frequent_confusions_are_counted_and_sorted(results):
    found = classes.frequent_confusions(results, "lstm")
    counts = results.report("lstm").confusion.to_numpy()
    assert list(found["rows"]) == sorted([counts[0, 1], counts[1, 0]], reverse=True)
    first = found.iloc[0]
    true = results.classes.index(first["true"])
    assert first["share"] == first["rows"] / counts[true].sum()


def test_figures_of_one_page_share_no_ids(results):
    figure = classes.confusion_matrices(results, ["lstm"])
    first, second = (inline_svg(figure, name, "a figure") for name in ("a", "b"))
    assert 'id="a-' in first
    assert 'id="a-' not in second
    assert first.replace("a-", "b-").count('id="b-') == second.count('id="b-')


def test_description_of_a_figure_is_escaped():
    assert 'aria-label="&lt;b&gt; &quot;x&quot;"' in inline_svg(Figure(), "f", '<b> "x"')


def test_names_on_the_cost_figure_stay_apart():
    names = [f"transformer_model_{i}" for i in range(12)]
    results = make_results(models=names, skills=[1.5] * 12, seeds=1, missing=())
    figure = figures.cost_quality(leaderboard(results), "p95_ms", results.task.metric())
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    texts = [text for text in figure.axes[0].texts if text.get_text()]
    boxes = [text.get_window_extent(renderer).shrunk(0.98, 0.98) for text in texts]
    assert len(boxes) == 13
    for i, box in enumerate(boxes):
        assert box.count_overlaps(boxes[:i]) == 0
        assert figure.bbox.contains(box.x0, box.y0)
        assert figure.bbox.contains(box.x1, box.y1)


@pytest.mark.parametrize("make", [make_results, make_label_results, make_number_results])
def test_baseline_far_below_does_not_flatten_the_cost_figure(make):
    results = make(skills=[2.0, 1.6])
    baseline = results.entries[-2].label
    assert baseline in ("majority", "mean")
    drawn = figures.is_drawn(leaderboard(results), results.task.metric())
    assert drawn[["lstm", "gru"]].all()
    assert not drawn[[baseline, "gpt2"]].any()


def test_wrapping_loses_no_letter():
    name = "a_long_label with=several,parts/" + "x" * 50
    lines = wrapped(name, 16).split("\n")
    assert max(map(len, lines)) <= 16
    assert "".join(lines).replace(" ", "") == name.replace(" ", "")
