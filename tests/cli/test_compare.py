from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from keras_seqzoo.cli.compare import parse_models
from keras_seqzoo.cli.main import app

TEXTS = ["a good film", "a bad film", "good food", "bad food"] * 4
SMALL = ["-o", "gru.units=4", "-o", "gru.embedding_dim=8"]


def _compare(reviews: Path, folder: Path, *more: str) -> Any:
    arguments = ["compare", str(reviews), "--text", "review", "--label", "sentiment"]
    places = ["--valid", "0.2", "--test", "0.3", "--folder", str(folder)]
    return CliRunner().invoke(app, [*arguments, *places, *more])


def test_a_table_leads_to_a_leaderboard_a_choice_and_a_report(reviews_csv, tmp_path):
    page = tmp_path / "new" / "page.html"
    done = _compare(
        reviews_csv, tmp_path / "c", "--models", "gru", *SMALL, "--seeds", "1", "--epochs", "1",
        "--max-size-mb", "5", "--report", str(page), "--save", str(tmp_path / "out"),
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    for expected in ("tfidf_logreg", "majority", "gru", "Take ", "within 5 MB"):
        assert expected in done.stdout
    assert "everything is kept in" in done.stderr
    assert "gru" in page.read_text("utf-8")
    assert list((tmp_path / "out").rglob("*.png"))
    # All is there by now: asked again for CSV, it tells the same.
    again = _compare(
        reviews_csv, tmp_path / "c", "--models", "gru", *SMALL, "--seeds", "1", "--epochs", "1",
        "--format", "csv", "--quiet",
    )  # fmt: skip
    assert again.stdout.startswith("model,macro_f1,")
    assert again.stderr == ""


@pytest.mark.slow
def test_pairs_with_several_labels_are_compared(tmp_path):
    rows = [f"{a},{b},{int('good' in a)},{int('film' in a)}" for a in TEXTS for b in ("yes", "no")]
    (tmp_path / "pairs.csv").write_text("\n".join(["first,second,good,film", *rows]))
    done = CliRunner().invoke(
        app,
        ["compare", str(tmp_path / "pairs.csv"), "--text", "first", "--text", "second",
         "--label", "good", "--label", "film", "--task", "label", "--metric", "micro_f1",
         "--models", "gru", *SMALL, "--seeds", "1", "--epochs", "1", "--explain", "0",
         "--valid", "0.25", "--test", "0.25", "--folder", str(tmp_path / "c")],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "subset_accuracy" in done.stdout
    assert "paired permutation test" in done.stdout
    assert "Take tfidf_logreg: the highest micro_f1 of 3, 1.000" in done.stdout


def test_models_and_their_options_are_read():
    assert parse_models(
        ["lstm,big=lstm", "a/b/2"], ["big.units=9", "lstm.weights=None", "big.bidirectional=False"]
    ) == {
        "lstm": {"model": "lstm", "weights": None},
        "big": {"model": "lstm", "units": 9, "bidirectional": False},
        "b": {"model": "a/b/2"},
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--models", "gru,gru"], "'gru' twice"),
        (["--models", "grru"], "Did you mean 'gru'"),
        (["--models", "gru,"], "NAME or LABEL=NAME"),
        (["--models", "gru", "-o", "units=3"], "takes LABEL.NAME=VALUE"),
        (["--models", "gru", "-o", "lstm.units=3"], "takes LABEL.NAME=VALUE"),
        (["--models", "gru", "-o", "gru.unitz=3"], "Did you mean 'units'"),
        (["--models", "gru", "--seeds", "many"], "--seeds takes"),
        (["--models", "gru", "-o", "gru.bidirectional=nein"], "bidirectional is true or false"),
        (["--models", "gru", "-o", "gru.units=4", "-o", "gru.units=8"], "Give it once"),
        (["--models", "gru", "-o", "gru.learning_rate=fast"], "learning_rate takes a number"),
        (["--models", "gru", "--budget", "soon"], "--budget is the most time"),
        (["--models", "gru", "--budget", "1 fortnight"], "--budget is the most time"),
        (["--models", "gru", "--metric", "f1"], "--metric must be one of"),
        (["--models", "gru", "--metric", "mae"], "--metric must be one of ('macro_f1', "),
        (["--models", "gru", "--format", "xml"], "--format must be"),
        (
            ["--models", "gru", "--task", "labels"],
            "one of ['answer', 'classify', ",
        ),
        (
            ["--models", "gru", "--task", "label", "--target", "class"],
            "Leave --task or --target out",
        ),
        (["--models", "gru", "--task", "regress"], "column 'sentiment' with 'positive'"),
    ],
)
def test_bad_input_is_told_before_anything_is_trained(reviews_csv, tmp_path, arguments, message):
    done = _compare(reviews_csv, tmp_path / "c", *arguments)
    assert done.exit_code == 2
    assert message in done.stderr
    assert not (tmp_path / "c" / "models").exists()


def test_a_report_that_can_not_be_written_is_told_first(reviews_csv, tmp_path):
    done = _compare(reviews_csv, tmp_path / "c", "--models", "gru", "--report", str(tmp_path))
    assert done.exit_code == 2
    assert not (tmp_path / "c").exists()


def test_a_pattern_can_not_be_compared(reviews_csv, tmp_path):
    done = _compare(reviews_csv.parent / "*.csv", tmp_path / "c", "--models", "gru")
    assert "A comparison keeps its rows in memory" in done.stderr


def test_where_no_model_could_be_trained_the_command_fails(reviews_csv, tmp_path):
    done = _compare(
        reviews_csv, tmp_path / "c", "--models", "gru", *SMALL, "--seeds", "1",
        "--budget", "0.001", "--report", str(tmp_path / "page.html"),
    )  # fmt: skip
    assert "No model could be trained" in done.stderr
    assert "The budget must be enough for one epoch" in done.stdout
    assert "The budget must be enough for one epoch" in (tmp_path / "page.html").read_text("utf-8")
