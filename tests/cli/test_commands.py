"""The command line: what it prints, writes and returns, and that it never shows a traceback."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import modules
import pytest

from keras_seqzoo.cli.export import report_beside

SMALL = ["-o", "units=4", "-o", "embedding_dim=8"]


@pytest.fixture(scope="module")
def trained(reviews_csv: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export folder, made by the real command in a process of its own."""
    out = tmp_path_factory.mktemp("cli") / "reviews"
    done = subprocess.run(
        [sys.executable, "-m", "keras_seqzoo", "train", reviews_csv, "--model", "gru",
         "--text", "review", "--label", "sentiment", "--epochs", "8", "--learning-rate", "0.03",
         "--patience", "0", "--seed", "0", "--out", out, *SMALL],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (out / "stdout.txt").write_text(done.stdout)
    (out / "stderr.txt").write_text(done.stderr)
    return out


def test_train_reports_and_writes(trained: Path) -> None:
    out, err = (trained / "stdout.txt").read_text(), (trained / "stderr.txt").read_text()
    assert "64 texts to train on (negative 32, positive 32), 8 to validate, 8 to test" in err
    assert all(f"epoch {n}/8" in err for n in range(1, 9))
    assert "8 rows: accuracy 1.0000" in out
    assert str(trained / "1") in out
    assert (trained / "1" / "saved_model.pb").is_file()
    assert (trained / "1.keras").is_file()
    story = json.loads((trained / "1.json").read_text())
    assert story["test"]["accuracy"] == 1
    assert story["test"]["intervals"]["accuracy"][1] == 1
    card = json.loads((trained / "1" / "assets.extra" / "model_card.json").read_text())
    assert card["test"]["figures"]["accuracy"] == 1
    assert card["test"]["rows"] == 8
    assert len(story["history"]["val_loss"]) == 8
    assert story["command"].startswith("keras-seqzoo train")


def test_train_prints_nothing_of_tensorflow_s(trained: Path) -> None:
    err = (trained / "stderr.txt").read_text()
    assert "oneDNN" not in err
    assert "WARNING" not in err


@pytest.mark.parametrize("model", ["1.keras", pytest.param("1", marks=pytest.mark.slow), "."])
def test_evaluate(command: Any, trained: Path, reviews_csv: Path, model: str) -> None:
    columns = ["--text", "review", "--label", "sentiment"]
    done = command("evaluate", trained / model, reviews_csv, *columns, "--format", "json", "-q")
    assert done.code == 0
    assert done.err == ""
    assert json.loads(done.out)["accuracy"] > 0.95
    assert "confusion" in command("evaluate", trained / model, reviews_csv, *columns).out
    table = command("evaluate", trained / model, reviews_csv, *columns, "--format", "csv").out
    assert next(csv.reader(io.StringIO(table))) == ["class", "precision", "recall", "f1", "support"]


def test_predict_texts_from_arguments(command: Any, trained: Path) -> None:
    done = command("predict", trained, "a good film", "awful and dull", "--format", "csv", "-q")
    rows = list(csv.DictReader(io.StringIO(done.out)))
    assert [row["label"] for row in rows] == ["positive", "negative"]
    assert float(rows[0]["p_positive"]) == float(rows[0]["probability"]) > 0.5
    assert done.err == ""


def test_predict_lines_of_stdin(command: Any, trained: Path) -> None:
    stdin = "a good film\n\ncafé too\r\nawful and dull".encode()
    done = command("predict", trained / "1.keras", "--format", "jsonl", stdin=stdin)
    answers = [json.loads(line) for line in done.out.splitlines()]
    assert [a["text"] for a in answers] == ["a good film", "", "café too", "awful and dull"]
    assert answers[0]["label"] == "positive"
    assert answers[3]["probabilities"]["negative"] == answers[3]["probability"]


def test_predict_files(command: Any, trained: Path, reviews_csv: Path, tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("great fun\nI hated it\n")
    done = command("predict", trained, "-i", tmp_path / "texts.txt")
    assert [line.split()[0] for line in done.out.splitlines()[1:]] == ["positive", "negative"]
    for option in ([], ["--stream"]):
        table = ["--input", reviews_csv, "--text", "review", "--format", "csv", *option]
        assert len(command("predict", trained, *table).out.splitlines()) == 81


def test_predict_of_many_lines_has_one_header(command: Any, trained: Path) -> None:
    done = command("predict", trained, "--format", "csv", stdin=b"a good film\n" * 5000)
    assert len(done.out.splitlines()) == 5001


def test_export_makes_the_next_version(command: Any, trained: Path, tmp_path: Path) -> None:
    done = command("export", trained / "1.keras", tmp_path / "out", "--version", 4, "-q")
    assert done.out.strip() == str(tmp_path / "out" / "4")
    assert "Its test, 8 rows" in (tmp_path / "out" / "4" / "assets.extra" / "README.md").read_text()
    wrong = command("export", trained / "1.keras", tmp_path / "out", "--format", "tflite")
    assert wrong.code == 2
    assert "--format must be one of" in wrong.err
    again = command("export", trained / "1.keras", tmp_path / "out", "--version", 4)
    assert again.code == 2
    assert "never overwritten" in again.err


@pytest.mark.parametrize(
    ("written", "found"),
    [('{"test": {"f1": 1}}', {"f1": 1}), ('{"test": null}', None), ("[]", None), ("{", None)],
)
def test_the_test_beside_a_file_is_of_that_file(tmp_path: Path, written: str, found: Any) -> None:
    model, story = tmp_path / "1.keras", tmp_path / "1.json"
    model.touch()
    assert report_beside(model) is None
    story.write_text(written)
    assert report_beside(model) == found
    os.utime(story, (0, 0))
    assert report_beside(model) is None, "the file was saved anew since"


def test_train_takes_separate_tables_and_choices(
    command: Any, reviews_csv: Path, tmp_path: Path
) -> None:
    done = command(
        "train", reviews_csv, "--text", "review", "--label", "sentiment", *SMALL,
        "--valid-data", reviews_csv, "--test-data", reviews_csv, "--epochs", 1, "-m", "gru",
        "--schedule", "linear", "--class-weight", "balanced", "--sequence-length", 5,
        "--checkpoint", tmp_path / "best.keras", "--cache", tmp_path / "ids",
        "--out", tmp_path / "out",
    )  # fmt: skip
    assert done.code == 0
    assert "80 texts to train on (negative 40, positive 40), 80 to validate, 80 to test" in done.err
    assert (tmp_path / "best.keras").is_file()
    assert len(list((tmp_path / "ids").iterdir())) == 1


@pytest.mark.slow
def test_train_streams(command: Any, reviews_csv: Path, tmp_path: Path) -> None:
    done = command(
        "train", reviews_csv, "--text", "review", "--label", "sentiment", *SMALL, "--stream",
        "--epochs", 1, "--schedule", "plateau", "--out", tmp_path / "out", "--quiet",
    )  # fmt: skip
    assert done.code == 0
    assert done.err == ""
    assert (tmp_path / "out" / "1").is_dir()


@pytest.mark.slow
def test_hub_encoder_from_table_to_answer(command: Any, reviews_csv: Path, tmp_path: Path) -> None:
    encoder = modules.write_encoder(tmp_path / "tiny_bert", modules.write_vocabulary(tmp_path))
    columns = ["--text", "review", "--label", "sentiment"]
    done = command(
        "train", reviews_csv, *columns, "--model", encoder, "--epochs", 1, "--warmup", 0.2,
        "-o", "trainable=last:2", "-o", "pooling=mean", "--out", tmp_path / "out",
    )  # fmt: skip
    assert done.code == 0
    assert "tiny_bert: 661 parameters, 32 word pieces" in done.err
    answers = command("predict", tmp_path / "out", "a good film", "--format", "jsonl")
    assert json.loads(answers.out)["label"] in ("positive", "negative")
    file = tmp_path / "out" / "1.keras"
    refused = command("evaluate", file, reviews_csv, *columns)
    assert refused.code == 2
    assert "A graph is a program" in refused.err
    assert command("evaluate", file, reviews_csv, *columns, "--trust").code == 0
    assert command("export", file, tmp_path / "again", "--trust").code == 0
    assert command("evaluate", file, reviews_csv, *columns).code == 2, "trust is not for good"


@pytest.mark.slow
def test_file_without_header(command: Any, tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("".join(f'so "good {i}\t1\nbad {i}\t0\n' for i in range(20)))
    done = command(
        "train", tmp_path / "a.tsv", "--names", "text,label", "--quoting", "none", "--test", "0",
        "--read", "skiprows=2", *SMALL, "--epochs", "1", "--out", tmp_path / "out",
    )  # fmt: skip
    assert done.code == 0
    assert "34 texts to train on (0 17, 1 17), 4 to validate, 0 to test" in done.err
    assert "Test report" not in done.out


def test_list(command: Any) -> None:
    listed = command("list").out
    assert "bigru" in listed
    assert "tasks: classify, label, regress, tag, answer, forecast (by what the" in listed
    shown = command("list", "bilstm").out.split()
    assert shown[shown.index("bidirectional") + 1] == "True"
    assert "units (64)" in " ".join(command("train", "--help").out.split())
    cards = json.loads(command("list", "*gru", "--json").out)
    assert [card["name"] for card in cards] == ["bigru", "gru"]
    assert {"family", "parameters", "paper", "licence", "source", "size"} <= set(cards[0])


@pytest.mark.slow
def test_interrupted_training_keeps_what_was_learnt(reviews_csv: Path, tmp_path: Path) -> None:
    columns = ["--text", "review", "--label", "sentiment", *SMALL]
    out = ["--epochs", "100000", "--patience", "0", "--out", tmp_path / "out"]
    training = subprocess.Popen(
        [sys.executable, "-m", "keras_seqzoo", "train", reviews_csv, *columns, *out],
        stderr=subprocess.PIPE,
        text=True,
        # Started in the background, as by some CI, a process inherits that SIGINT is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert training.stderr is not None
    try:
        err = ""
        while "epoch 2/" not in err:
            line = training.stderr.readline()
            assert line, err
            err += line
        training.send_signal(signal.SIGINT)
        err += training.communicate(timeout=120)[1]
    finally:
        training.kill()
    assert training.returncode == 130
    kept = tmp_path / "out" / "interrupted-1.keras"
    assert f"What was learnt so far is kept in {kept}" in " ".join(err.split())
    assert "Traceback" not in err
    from keras_seqzoo.serving.saved import load_predictor

    assert load_predictor(kept).classes == ("negative", "positive")


def rows_file(folder: Path, *rows: str, header: str = "text,label") -> Path:
    path = folder / "data.csv"
    path.write_bytes("\n".join([header, *rows]).encode("utf-8", "surrogateescape"))
    return path


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "at least one row"),
        (["good,1"] * 20, "at least two classes"),
        (["good,1", ",0"] * 20, "--na drop"),
        (["good,1", "bad,"] * 20, "--na drop"),
        (["good,1", "bad,0", "nul \x00,0"] * 20, "NUL"),
        (["good,1"] * 20 + ["bad,0"], "Each class needs a row"),
    ],
)
def test_unsuitable_data_is_explained(
    command: Any, tmp_path: Path, rows: list[str], message: str
) -> None:
    done = command("train", rows_file(tmp_path, *rows), "--out", tmp_path / "out")
    assert done.code == 2
    assert done.err.splitlines()[-1].startswith("Error: ")
    assert message in done.err
    assert not (tmp_path / "out").exists()


def test_invalid_utf8_is_read_with_a_warning(command: Any, tmp_path: Path) -> None:
    data = rows_file(tmp_path, *(f"caf\udce9 {i},{i % 2}" for i in range(40)))
    arguments = ["train", data, *SMALL, "--epochs", 1, "--out", tmp_path / "out"]
    done = command(*arguments)
    assert done.code == 0
    assert "Warning:" in done.err
    assert "encoding" in done.err
    refused = command(*arguments, "--encoding", "utf-8")
    assert refused.code == 2
    assert "utf-8" in refused.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "missing.csv"], "No such file"),
        (["train", "{data}"], "text column must be in the table"),
        (["train", "{data}", "--text", "review"], "label column must be in the table"),
        (["train", "{data}", "-m", "lsmt"], "Did you mean 'lstm'"),
        (["train", "{data}", "{columns}", "--learning-rate", "0"], "must be above 0"),
        (["train", "{data}", "{columns}", "-o", "unit=3"], "Did you mean 'units'"),
        (["train", "{data}", "{columns}", "-o", "units"], "takes NAME=VALUE"),
        (["train", "{data}", "{columns}", "-o", "dtype=float99"], "dtype policy"),
        (["train", "{data}", "{columns}", "--sequence-length", "0"], "--sequence-length must"),
        (["train", "{data}", "{columns}", "--schedule", "spiral"], "--schedule must be one of"),
        (["train", "{data}", "{columns}", "--class-weight", "x"], "--class-weight must be"),
        (["train", "{data}", "{columns}", "--valid", "0.6", "--test", "0.6"], "valid and test"),
        (["train", "{data}", "{columns}", "--quoting", "some"], "--quoting must be one of"),
        (["train", "{data}", "{columns}", "--out", "{data}"], "reviews.csv"),
        (["evaluate", "missing.keras", "{data}"], "no such file"),
        (["evaluate", "missing", "{data}", "--format", "xml"], "--format must be"),
        (["predict", "missing", "text"], "no SavedModel"),
        (["predict", "missing", "text", "-i", "-"], "not both"),
        (["predict", "missing", "text", "--format", "xml"], "--format must be"),
        (["export", "missing.keras", "out"], "no such file"),
        (["list", "resnet*"], "No model has this name"),
        (["trane"], "No such command"),
    ],
)
def test_wrong_use_is_explained(
    command: Any, reviews_csv: Path, tmp_path: Path, arguments: list[str], message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    columns = ["--text", "review", "--label", "sentiment", *SMALL, "--epochs", "1"]
    filled: list[str] = []
    for argument in arguments:
        filled += columns if argument == "{columns}" else [argument.format(data=reviews_csv)]
    done = command(*filled)
    assert done.code == 2
    assert message in " ".join(done.err.split())
    assert list(tmp_path.iterdir()) == []


def test_defect_is_reported_without_a_traceback(
    command: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command("list")
    try:
        raise KeyError("surprise")
    except KeyError as error:
        sys.excepthook(KeyError, error, error.__traceback__)
    err = capsys.readouterr().err
    assert "This should not have happened: KeyError" in err
    assert "test_commands.py:" in err


def test_generate_writes_on(command: Callable[..., Any], tmp_path: Path, trained: Path) -> None:
    import keras_seqzoo as sz

    model = sz.build_model("gru", ["so it goes"], task="generate", units=4, embedding_dim=4)
    model.save(tmp_path / "lm.keras")
    done = command("generate", tmp_path / "lm.keras", "so", "it", "--max-length", 6, "--seed", 1)
    assert done.code == 0
    assert done.out.splitlines()[0].startswith("so")
    again = command("generate", tmp_path / "lm.keras", "so", "it", "--max-length", 6, "--seed", 1)
    assert again.out == done.out
    for arguments, message in (
        ((tmp_path / "lm.keras", "so", "--sampler", "best"), "--sampler must be one of"),
        ((tmp_path / "lm.keras", "so it goes", "--max-length", 1), "counts the tokens"),
        ((trained / "1.keras", "so"), "must hold a language model"),
        ((tmp_path / "none.keras", "so"), "no such file"),
    ):
        done = command("generate", *arguments)
        assert done.code == 2
        assert message in done.err
        assert not done.out
