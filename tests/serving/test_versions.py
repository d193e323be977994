"""A new version must answer as the one whose place it takes; what is not there is said at once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from keras_seqzoo.cli import main
from keras_seqzoo.serving.versions import CARD, check_answers, check_model_path
from keras_seqzoo.tasks import TASK_OF_TARGET

SIGNATURES = ["classify", "embed", "serving_default", "tokens"]


def card(
    kind: str = "class",
    names: Sequence[str] = ("bad", "good"),
    inputs: Sequence[str] = ("text",),
    signatures: Sequence[str] | None = None,
    **further: Any,
) -> dict[str, Any]:
    task = {"name": TASK_OF_TARGET[kind], "target": {"kind": kind, "names": list(names), **further}}
    told = {"task": task, "inputs": list(inputs), "classes": list(names)}
    return told if signatures is None else {**told, "signatures": list(signatures)}


def write_version(folder: Path, number: int, told: dict[str, Any]) -> None:
    path = folder / str(number) / CARD
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(told))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_version(tmp_path / "reviews", 9, card("number", ["x"], signatures=["serving_default"]))
    write_version(tmp_path / "reviews", 10, card(signatures=SIGNATURES))
    return tmp_path / "reviews"


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (card(signatures=SIGNATURES), None),
        (card(signatures=[*SIGNATURES, "more"]), None),
        (card(), None),
        (card(names=["good", "bad"]), "a model of the task classify ('good', 'bad') of text"),
        (card(names=["bad", "good", "so so"]), "('bad', 'good', 'so so') of text"),
        (card(signatures=["serving_default"]), "of text, without classify, embed, tokens"),
        (card("labels"), "a model of the task label ('bad', 'good') of text"),
        (card("number", ["stars"]), "a model of the task regress ('stars') of text"),
        (card("future", ["bad", "good"], horizon=7), "forecast ('bad', 'good', horizon 7) of text"),
        (card(inputs=["text", "text_pair"]), "('bad', 'good') of text, text_pair"),
        ({"task": {"name": "embed", "target": None}, "inputs": ["text"]}, "the task embed of text"),
    ],
)
def test_a_version_answers_as_the_one_before(folder: Path, told: Any, said: str | None) -> None:
    if said is None:
        check_answers(folder, told)
        return
    with pytest.raises(ValueError, match="allow_changes=True") as caught:
        check_answers(folder, told)
    assert "version 10 of the task classify ('bad', 'good') of text, and" in str(caught.value)
    assert said in str(caught.value)


def test_cards_of_before_tell_classes_alone(tmp_path: Path) -> None:
    write_version(tmp_path, 1, {"classes": ["bad", "good"], "signatures": SIGNATURES})
    check_answers(tmp_path, card(signatures=SIGNATURES))
    for other in (card("labels"), card(inputs=["text", "text_pair"]), card(names=["bad"])):
        with pytest.raises(ValueError, match="version 1 of the task classify"):
            check_answers(tmp_path, other)


@pytest.mark.parametrize("content", ["", "[]", "{}", "[" * 100_000, '{"classes": 1}'])
def test_versions_of_others_are_no_hindrance(folder: Path, content: str) -> None:
    (folder / "11" / CARD).parent.mkdir(parents=True)
    check_answers(folder, card())
    (folder / "11" / CARD).write_text(content)
    check_answers(folder, card())
    check_answers(folder / "elsewhere", card())


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
    assert "or pass --allow-changes if all clients know" in refused.output
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
