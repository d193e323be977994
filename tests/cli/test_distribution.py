"""The command line on several devices, as several workers, and after a crash."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

MODEL = ["train", "--text", "review", "--label", "sentiment", "--model", "gru",
         "-o", "units=4", "-o", "embedding_dim=8"]  # fmt: skip
TRAIN = [*MODEL, "--epochs", "2"]


def test_all_settings_together_train(
    command: Callable[..., Any], reviews_csv: Path, tmp_path: Path
) -> None:
    done = command(
        *TRAIN, reviews_csv, "--out", tmp_path / "out", "--devices", "CPU:0,CPU:1",
        "--precision", "mixed_float16", "--accumulate", "2", "--clip-norm", "0.5",
        "--steps-per-execution", "3",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "MirroredStrategy on CPU:0, CPU:1" in done.err
    assert (tmp_path / "out" / "1" / "saved_model.pb").is_file()
    assert list((tmp_path / "out" / ".recovery").iterdir()) == []


@pytest.mark.slow
def test_xla_trains(command: Callable[..., Any], reviews_csv: Path, tmp_path: Path) -> None:
    done = command(*TRAIN, reviews_csv, "--out", tmp_path / "out", "--xla")
    assert done.code == 0, done.err


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["--precision", "float8"], "--precision must be one of"),
        (["--clip-norm", "0"], "--clip-norm must be above 0"),
        (["--strategy", "horovod"], "must be one of"),
        (["--devices", "GPU:9"], "name devices of this machine"),
        (["--devices", "CPU:0,CPU:1", "--batch-size", "1"], "2 replicas"),
        (["--devices", "CPU:0,CPU:1", "--xla"], "XLA compiles the work of one device"),
        (["--resume"], "nothing to resume"),
        (["--resume", "--resume-or-start"], "Received: both"),
    ],
)
def test_wrong_options_are_explained(
    wrong: list[str], said: str, command: Callable[..., Any], reviews_csv: Path, tmp_path: Path
) -> None:
    done = command(*TRAIN, reviews_csv, "--out", tmp_path / "out", *wrong)
    assert done.code == 2
    assert done.err.splitlines()[-1].startswith("Error: ")
    assert said in done.err
    assert not (tmp_path / "out" / "1").exists()


def test_a_malformed_cluster_is_explained(
    command: Callable[..., Any], reviews_csv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TF_CONFIG", "{cluster: }")
    done = command(*TRAIN, reviews_csv)
    assert done.code == 2
    assert "TF_CONFIG must be JSON" in done.err


@pytest.mark.parametrize("setting", [["--xla"], ["--precision", "mixed_bfloat16"]])
def test_a_hub_graph_says_what_it_can_not(
    setting: list[str], command: Callable[..., Any], reviews_csv: Path, tmp_path: Path
) -> None:
    import modules

    vocabulary = tmp_path / "vocab.txt"
    vocabulary.write_text("\n".join(modules.PIECES))
    encoder = modules.write_encoder(tmp_path / "encoder", vocabulary)
    columns = ["--text", "review", "--label", "sentiment"]
    done = command("train", reviews_csv, *columns, "--model", encoder, *setting)
    assert done.code == 2
    assert "a fixed precision and fixed ops" in done.err


@pytest.mark.slow
def test_a_command_that_is_preempted_goes_on(reviews_csv: Path, tmp_path: Path) -> None:
    """SIGTERM after the first of many epochs, then the same with --resume."""
    arguments = [sys.executable, "-m", "keras_seqzoo", *MODEL, str(reviews_csv), "--patience", "0",
                 "--out", str(tmp_path / "out"), "--epochs"]  # fmt: skip
    with subprocess.Popen([*arguments, "2000"], stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr or ():
            if line.startswith("epoch 1/"):
                process.send_signal(signal.SIGTERM)
                break
        rest = process.stderr.read() if process.stderr else ""
    assert process.returncode == 175, rest
    assert "SIGTERM: the training is saved in" in rest
    again = subprocess.run(
        [*arguments, "3", "--resume"], capture_output=True, text=True, check=False
    )
    assert again.returncode == 0, again.stderr
    story = json.loads((tmp_path / "out" / "1.json").read_text())
    assert len(story["history"]["loss"]) >= 3, "those of the first run too"


def test_launch_ends_with_the_worst_code(capfd: pytest.CaptureFixture[str]) -> None:
    script = (
        "import json, os, sys\n"
        "task = json.loads(os.environ['TF_CONFIG'])\n"
        "print('one of', len(task['cluster']['worker']))\n"
        "sys.exit(3 * task['task']['index'])"
    )
    done = subprocess.run(
        [sys.executable, "-m", "keras_seqzoo", "launch", "--workers", "3", "--",
         sys.executable, "-c", script],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 6
    assert sorted(done.stdout.splitlines()) == [f"[worker {i}] one of 3" for i in range(3)]
    assert "Exit codes of the workers: 0, 3, 6" in done.stderr


def test_launch_explains_what_it_takes(command: Callable[..., Any]) -> None:
    done = command("launch", "--", "no-such-program")
    assert done.code == 2
    assert "After --, give a command" in done.err
