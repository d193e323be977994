"""`keras-seqzoo explain`."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

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
