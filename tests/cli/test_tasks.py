"""Pairs, several labels and numbers by command: from a table to a report, a version and answers."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from samples import NEGATIVE, POSITIVE
from trained import few

TEXTS = [f"{text}, {i}" for i in range(3) for text in POSITIVE + NEGATIVE]
SMALL = ["-m", "gru", "-o", "units=4", "-o", "embedding_dim=8", "--epochs", "1"]


class Kind(NamedTuple):
    """How a table is read for a task, and what is said of it."""

    reading: list[str]
    told: str
    figure: str
    question: list[str]
    answer: set[str]
    card: str


PAIR = ["--text", "one", "--text", "two"]
KINDS = {
    "pairs": Kind(
        [*PAIR, "--label", "stars"],
        "38 pairs to train on (1 19, 5 19), 5 to validate, 5 to test",
        "macro_f1",
        ["a good film", "a bad one"],
        {"label", "probability", "probabilities"},
        "the task classify ('1', '5') of text, text_pair",
    ),
    "labels": Kind(
        ["--text", "one", "--task", "label", "--label", "good", "--label", "long"],
        "38 texts to train on (labels: good 19, long 19), 5 to validate, 5 to test",
        "micro_f1",
        ["a good film"],
        {"labels", "probabilities"},
        "the task label ('good', 'long') of text",
    ),
    "number": Kind(
        [*PAIR, "--task", "regress", "--label", "price"],
        "38 pairs to train on (numbers: price), 5 to validate, 5 to test",
        "mae",
        ["a good film", "a bad one"],
        {"value"},
        "the task regress ('price') of text, text_pair",
    ),
}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("kinds") / "rows.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["one", "two", "stars", "good", "long", "price"])
        for i, text in enumerate(TEXTS):
            good = i % 16 < 8
            writer.writerow([text, TEXTS[-i], 5 if good else 1, int(good), i % 2, 100 + 2.5 * i])
    return path


def train(command: Any, table: Path, out: Path, *arguments: str) -> Any:
    return command("train", table, *arguments, *SMALL, "--out", out)


@pytest.mark.parametrize("name", few(KINDS, but="number|pairs"))
def test_from_a_table_to_answers(command: Any, table: Path, tmp_path: Path, name: str) -> None:
    kind, out = KINDS[name], tmp_path / "out"
    done = train(command, table, out, *kind.reading)
    assert done.code == 0, done.err
    assert kind.told in done.err
    assert "Test report" in done.out
    assert kind.figure in json.loads((out / "1.json").read_text())["test"]

    reading = [part for part in kind.reading if part not in ("--task", "label", "regress")]
    for file in ("1", "1.keras"):
        done = command("evaluate", out / file, table, *reading, "-q", "--format", "json")
        assert (done.code, done.err) == (0, "")
        assert kind.figure in json.loads(done.out)
    assert command("evaluate", out, table, *reading, "-q", "--format", "csv").out.count("\n") > 1

    done = command("predict", out, *kind.question, "--format", "jsonl")
    record = json.loads(done.out)
    assert record.keys() - {"text", "text_pair"} == kind.answer
    assert [v for k, v in record.items() if k.startswith("text")] == kind.question
    columns = reading[: reading.index("--label")]
    rows = command("predict", out / "1.keras", "-i", table, *columns, "--format", "csv").out
    assert [row["one"] for row in csv.DictReader(io.StringIO(rows))] == TEXTS

    (tmp_path / "warm.txt").write_text("a good\tfilm\n" if "two" in reading else "a good film\n")
    done = command("export", out / "1.keras", out, "--warmup", tmp_path / "warm.txt", "-q")
    assert done.out.strip() == str(out / "2"), done.err
    audited = command("audit", out / "2").out
    assert kind.card in audited
    assert "it answers" in audited


@pytest.fixture(scope="module")
def models(table: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Exports of models that were not trained."""
    import keras_seqzoo as sz

    folder, found = tmp_path_factory.mktemp("models"), {}
    given: dict[str, Any] = {
        "pairs": {"text": ("one", "two"), "label": "stars"},
        "labels": {"text": "one", "label": ["good", "long"]},
        "number": {"text": "one", "label": "price", "target": "number"},
    }
    for name, options in given.items():
        model = sz.build_model("gru", sz.read_table(table, **options), units=4, embedding_dim=4)
        model.get_layer("logits").bias.assign_add(model.get_layer("logits").bias + 0.1)
        found[name] = sz.export_model(model, folder / name).parent
    return found


@pytest.mark.parametrize(
    ("model", "arguments", "message"),
    [
        ("pairs", ["--text", "one", "--label", "stars"],
         "pairs of texts. Give --text twice. Received: --text one"),
        ("labels", [*PAIR, "--label", "good", "--label", "long"],
         "one text. Give --text once. Received: --text one --text two"),
        ("labels", ["--text", "one", "--label", "stars"], "of the task 'label' ('good', 'long')"),
        ("labels", ["--text", "one", "--label", "price", "--target", "number"],
         "'label' ('good', 'long'). Leave --target out. Received: --target number"),
        ("number", ["--text", "one", "--label", "two"], "is of the task 'regress' ('price')"),
        ("number", ["--text", "one", "--label", "good", "--label", "price"], "task 'regress'"),
        ("pairs", [*PAIR, "--label", "price"], "is of the task 'classify' ('1', '5')"),
        ("pairs", [*PAIR, "--label", "good", "--label", "long"], "task 'classify'"),
    ],
)  # fmt: skip
def test_a_table_of_another_task_is_refused(
    command: Any, table: Path, models: Any, model: str, arguments: list[str], message: str
) -> None:
    done = command("evaluate", models[model], table, *arguments)
    assert (done.code, done.out) == (2, "")
    assert message in done.err


@pytest.mark.parametrize("model", ["pairs", "labels"])
def test_training_takes_no_version_s_place_with_another_task(
    command: Any, table: Path, models: Any, model: str
) -> None:
    done = train(command, table, models[model], "--text", "one", "--task", "regress",
                 "--label", "price")  # fmt: skip
    assert done.code == 2
    assert "and a model of the task regress ('price') of text" in done.err
    assert "pass --allow-changes if all clients know" in done.err
    assert sorted(p.name for p in models[model].iterdir()) == ["1"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--task", "translate"], "--task must be a task that learns from a table: one of"),
        (["--task", "forecast"], "Received: --text and --task forecast"),
        (["--task", "label", "--target", "class"], "Received: --task label --target class"),
        (["--label", "price", "--task", "classify"], "Labels must be classes, not measurements"),
        (["--label", "price", "--task", "regress", "--class-weight", "balanced"],
         "--class-weight needs one class for each row. Leave it out."),
        (["--label", "two", "--task", "regress"], "'two'"),
    ],
)  # fmt: skip
def test_tasks_and_targets_that_do_not_fit(
    command: Any, table: Path, arguments: list[str], message: str
) -> None:
    done = train(command, table, table.parent / "none", "--text", "one", *arguments)
    assert (done.code, done.out) == (2, "")
    assert message in " ".join(done.err.split())
    assert not (table.parent / "none").exists()
