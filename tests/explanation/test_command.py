"""`keras-seqzoo explain`."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import typer
from samples import NEGATIVE, POSITIVE
from typer.testing import CliRunner

import keras_seqzoo as sz
from keras_seqzoo.cli.explain import explain_command

app = typer.Typer(pretty_exceptions_enable=False)
app.command()(explain_command)


@pytest.fixture(scope="module")
def saved(tiny_model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "tiny.keras"
    tiny_model.save(path)
    return path


def run(*arguments: object, stdin: bytes | None = None) -> Any:
    done = CliRunner().invoke(app, [str(a) for a in arguments], input=stdin)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def test_a_text_and_its_smallest_deletion(saved: Path) -> None:
    done = run(saved, "an awful film", "--counterfactual", "-q")
    assert "awful[+" in done.stdout
    assert done.stdout.startswith("negative ")
    assert "without 'awful' (the smallest deletion)" in done.stdout.replace("\n", " ")


@pytest.mark.parametrize("method", ["occlusion", "shapley", "integrated_gradients"])
def test_json(saved: Path, method: str) -> None:
    done = run(saved, "--method", method, "--target", "negative", "--format", "json", "-q",
               "--encoding", "latin-1",
               stdin="a good film\r\nan awful \xff film\n".encode("latin-1"))  # fmt: skip
    first, second = (json.loads(line) for line in done.stdout.splitlines())
    assert first["text"] == "a good film"
    assert second["text"] == "an awful ÿ film"
    assert second["method"] == method
    assert second["target"] == "negative"
    scores = second["scores"]
    assert scores.index(max(scores)) == 1


def test_a_table_of_words(saved: Path, reviews_csv: Path) -> None:
    done = run(saved, "-i", reviews_csv, "--text", "review", "--rows", "3", "--format", "csv", "-q")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert {row["row"] for row in rows} == {"0", "1", "2"}
    assert rows[0]["token"] == "a"


@pytest.mark.parametrize("output", ["text", "csv", "json"])
def test_global_view_and_a_page(
    saved: Path, reviews_csv: Path, tmp_path: Path, output: str
) -> None:
    page = tmp_path / "page.html"
    done = run(saved, "-i", reviews_csv, "--text", "review", "--global", "--html", page,
               "--format", output, "-q")  # fmt: skip
    assert "awful" in done.stdout
    assert "good" in done.stdout
    if output == "json":
        assert {row["class"] for row in json.loads(done.stdout)} == {"negative", "positive"}
    assert page.read_text("utf-8").startswith("<!doctype html>")


@pytest.fixture(scope="module")
def saved_pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of pairs that answers with a number."""
    keras.utils.set_random_seed(0)
    table = sz.TextTable.from_texts((POSITIVE, NEGATIVE), np.arange(8.0), target="number")
    path = tmp_path_factory.mktemp("saved") / "pairs.keras"
    sz.build_model("gru", table, units=8, embedding_dim=16).save(path)
    return path


def test_pairs_come_as_arguments_lines_and_columns(saved_pairs: Path, tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text("a,b\na good film,great fun\nI loved it,awful\n")
    ways: list[tuple[list[Any], bytes | None]] = [
        (["a good film", "great fun", "I loved it", "awful"], None),
        ([], b"a good film\tgreat fun\nI loved it\tawful\n"),
        (["-i", tmp_path / "pairs.csv", "--text", "a", "--text", "b"], None),
    ]
    outputs = [run(saved_pairs, *a, "--format", "json", "-q", stdin=b).stdout for a, b in ways]
    first, second = (json.loads(line) for line in outputs[0].splitlines())
    assert (first["text"], first["second_at"]) == ("a good film\ngreat fun", 12)
    assert (first["outcome"], first["target"]) == ("number", "label")
    assert second["text"] == "I loved it\nawful"
    assert outputs[0] == outputs[1] == outputs[2]


def test_a_number_and_the_deletion_that_moves_it(saved_pairs: Path) -> None:
    done = run(
        saved_pairs, "a good film", "great fun", "--counterfactual", "--change", "1e-4", "-q"
    )
    assert done.stdout.startswith("label ")
    assert "\n2: " in done.stdout
    assert "(the smallest deletion)" in done.stdout
    done = run(saved_pairs, "a good film", "great fun", "--global", "-q")
    assert "great" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["one", "two", "three"], "two arguments for each. Received: 3 texts"),
        (["a", "b", "--change", "1"], "Add that, or leave --change out"),
        (["a", "b", "--change", "-1", "--counterfactual"], "`change` must be a number above 0"),
        (["a", "b", "--target", "labl"], "`target` must be one of the numbers.*'label'"),
    ],
)
def test_what_a_model_of_pairs_minds(saved_pairs: Path, arguments: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run(saved_pairs, *arguments)


def test_a_line_is_no_pair(saved_pairs: Path) -> None:
    with pytest.raises(
        ValueError, match=r"each line must be two, separated by a tab.*'one' in line 1"
    ):
        run(saved_pairs, stdin=b"one\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["x", "--format", "xml"], "--format must be one of"),
        (["x", "-i", "-"], "not both"),
        (["x", "--counterfactual", "--format", "csv"], "Take --format json"),
        (["x", "--method", "occlusio"], "Did you mean 'occlusion'"),
        (["x", "--target", "positiv"], "Did you mean 'positive'"),
    ],
)
def test_bad_options(saved: Path, arguments: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run(saved, *arguments)


def test_no_texts(saved: Path) -> None:
    with pytest.raises(ValueError, match="at least one text"):
        run(saved, stdin=b"")
