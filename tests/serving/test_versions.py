"""A new version must answer as the one whose place it takes; what is not there is said at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from keras_seqzoo.cli import main
from keras_seqzoo.serving.versions import CARD, check_answers, check_model_path

SIGNATURES = ["classify", "embed", "serving_default", "tokens"]


def write_version(folder: Path, number: int, classes: list[str], signatures: list[str]) -> None:
    card = folder / str(number) / CARD
    card.parent.mkdir(parents=True)
    card.write_text(json.dumps({"classes": classes, "signatures": signatures}))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_version(tmp_path / "reviews", 9, ["x", "y"], ["serving_default"])
    write_version(tmp_path / "reviews", 10, ["bad", "good"], SIGNATURES)
    return tmp_path / "reviews"


@pytest.mark.parametrize(
    ("classes", "signatures", "said"),
    [
        (["bad", "good"], SIGNATURES, None),
        (["bad", "good"], [*SIGNATURES, "more"], None),
        (("bad", "good"), (), None),
        (["good", "bad"], SIGNATURES, "a model of the classes 'good', 'bad'"),
        (["bad", "good", "so so"], (), "a model of the classes 'bad', 'good', 'so so'"),
        (["bad", "good"], ["serving_default"], "'good', without classify, embed, tokens"),
        ([], ["generate", "serving_default"], "a model of no classes, without classify"),
    ],
)
def test_a_version_answers_as_the_one_before(
    folder: Path, classes: Any, signatures: Any, said: str | None
) -> None:
    if said is None:
        check_answers(folder, classes, signatures)
        return
    with pytest.raises(ValueError, match="allow_changes=True") as caught:
        check_answers(folder, classes, signatures)
    assert "with version 10 of the classes 'bad', 'good', and" in str(caught.value)
    assert said in str(caught.value)


@pytest.mark.parametrize("content", ["", "[]", "{}", "[" * 100_000, '{"classes": 1}'])
def test_versions_of_others_are_no_hindrance(folder: Path, content: str) -> None:
    (folder / "11" / CARD).parent.mkdir(parents=True)
    check_answers(folder, ["x"])
    (folder / "11" / CARD).write_text(content)
    check_answers(folder, ["x"])
    check_answers(folder / "elsewhere", ["x"])


@pytest.fixture
def without_tensorflow(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise AssertionError("TensorFlow takes seconds to import")

    for command in ("audit", "evaluate", "explain", "export", "generate", "predict", "train"):
        monkeypatch.setattr(getattr(main, command), "load_tensorflow", fail)


@pytest.mark.usefixtures("without_tensorflow")
def test_train_refuses_other_classes_before_it_begins(folder: Path, reviews_csv: Path) -> None:
    command = ["train", str(reviews_csv), "--text", "review", "--label", "sentiment", "-q"]
    refused = CliRunner().invoke(main.app, [*command, "--out", str(folder)])
    assert refused.exit_code == 2
    assert "or pass --allow-changes where all clients know" in refused.output
    for others in (["--out", str(folder), "--allow-changes"], ["--out", str(folder.parent / "n")]):
        assert isinstance(
            CliRunner().invoke(main.app, [*command, *others]).exception, AssertionError
        )


@pytest.mark.usefixtures("without_tensorflow")
@pytest.mark.parametrize("model", ["nosuch", "nosuch.keras"])
@pytest.mark.parametrize(
    "command",
    ["audit {}", "evaluate {} data.csv", "explain {} text", "predict {} text", "predict {}",
     "export {} out", "generate {} text", "serve {}"],
)  # fmt: skip
def test_a_missing_model_is_told_of_at_once(tmp_path: Path, command: str, model: str) -> None:
    arguments = command.format(tmp_path / model).split()
    refused = CliRunner().invoke(main.app, arguments)
    assert refused.exit_code == 2
    assert "Error: There is no " in refused.output
    assert str(tmp_path / model) in refused.output


def test_an_empty_folder_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"neither saved_model.pb nor a numbered version"):
        check_model_path(tmp_path)
