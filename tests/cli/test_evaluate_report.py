"""`keras-seqzoo evaluate --report`: figures on stdout, a page beside them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

COLUMNS = ["--text", "review", "--label", "sentiment"]


@pytest.fixture(scope="module")
def model_file(tiny_model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny.keras"
    tiny_model.save(path)
    return path


@pytest.fixture
def wrong_csv(tmp_path: Path) -> Path:
    path = tmp_path / "wrong.csv"
    path.write_text("review,sentiment\na good film,negative\nawful and dull,negative\n")
    return path


def test_a_page_beside_the_figures(
    command: Any, model_file: Path, wrong_csv: Path, tmp_path: Path
) -> None:
    page = tmp_path / "new" / "page.html"
    done = command("evaluate", model_file, wrong_csv, *COLUMNS, "--report", page)
    assert done.code == 0, done.err
    assert "2 rows: accuracy 0.5000" in done.out
    assert "No row is of class 'positive'" in done.out
    assert f"Writing the page to {page}" in done.err
    html = page.read_text(encoding="utf-8")
    assert "<span>keras-seqzoo</span> <span>evaluate</span>" in html
    assert "a good film" in html or ">good<" in html


def test_no_explanations(
    command: Any,
    model_file: Path,
    wrong_csv: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import keras_seqzoo.explanation.explain as module

    def refuse(*_args: Any, **_kwargs: Any) -> None:
        raise AssertionError("nothing is to be explained")

    monkeypatch.setattr(module, "explain", refuse)
    page = tmp_path / "page.html"
    done = command(
        "evaluate", model_file, wrong_csv, *COLUMNS, "--format", "json", "-q",
        "--report", page, "--no-explain",
    )  # fmt: skip
    assert (done.code, done.err) == (0, "")
    assert json.loads(done.out)["accuracy"] == 0.5
    assert "a good film" in page.read_text(encoding="utf-8")


def test_warnings_do_not_spoil_csv(command: Any, model_file: Path, wrong_csv: Path) -> None:
    done = command("evaluate", model_file, wrong_csv, *COLUMNS, "--format", "csv")
    assert "No row" not in done.out
    assert "Warning: No row is of class 'positive'" in done.err


def test_a_stream_has_a_page_too(
    command: Any, model_file: Path, reviews_csv: Path, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    done = command("evaluate", model_file, reviews_csv, *COLUMNS, "--stream", "--report", page)
    assert done.code == 0, done.err
    assert page.is_file()


@pytest.mark.parametrize("place", [".", "file/page.html"])
def test_an_unwritable_page_is_told_before_the_scoring(
    command: Any, model_file: Path, wrong_csv: Path, tmp_path: Path, place: str
) -> None:
    (tmp_path / "file").touch()
    done = command("evaluate", model_file, wrong_csv, *COLUMNS, "--report", tmp_path / place)
    assert (done.code, done.out) == (2, "")
    assert "Error: " in done.err
    assert "Scoring" not in done.err
