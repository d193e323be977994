"""`keras-seqzoo serving-config` writes the files and prints a command that uses them."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]


@pytest.fixture
def saved_models(tmp_path: Path) -> Path:
    """A folder, its name with a space, of `reviews` 1 and 2 and `topics` 1."""
    for version in ("reviews/1", "reviews/2", "topics/1"):
        folder = tmp_path / "saved models" / version
        folder.mkdir(parents=True)
        (folder / "saved_model.pb").touch()
    return tmp_path / "saved models"


def words(printed: str) -> list[str]:
    """A printed command as a shell takes it apart."""
    return shlex.split(printed.replace("\\\n", " "))


def test_it_writes_three_files_and_prints_the_container(
    command: Command, saved_models: Path
) -> None:
    ran = command("serving-config", saved_models, "--label", "reviews:stable=1", "--threads", "2")
    assert ran.code == 0
    files = {path.name for path in (saved_models / "serving").iterdir()}
    assert files == {"models.config", "batching.config", "monitoring.config"}
    assert ran.err.count("written") == 3
    printed = words(ran.out)
    assert printed[:3] == ["docker", "run", "--rm"]
    assert f"type=bind,source={saved_models},target=/models,readonly" in printed
    assert f"type=bind,source={saved_models / 'serving'},target=/config,readonly" in printed
    assert "127.0.0.1:8501:8501" in printed
    named = {word.rpartition("/config/")[2] for word in printed if "=/config/" in word}
    assert named == files
    assert "--allow_version_labels_for_unavailable_models=true" in printed
    assert "--tensorflow_inter_op_parallelism=2" in printed


def test_one_model_s_folder_is_mounted_under_its_name(command: Command, saved_models: Path) -> None:
    ran = command("serving-config", saved_models / "reviews", "-q")
    assert (ran.code, ran.err) == (0, "")
    mount = f"type=bind,source={saved_models / 'reviews'},target=/models/reviews,readonly"
    assert mount in words(ran.out)


@pytest.mark.parametrize("given", ["", "reviews"])
def test_paths_of_this_machine_need_no_container(
    command: Command, saved_models: Path, tmp_path: Path, given: str
) -> None:
    out = tmp_path / "etc"
    ran = command("serving-config", saved_models / given, "--base-path", saved_models, "--out", out)
    printed = words(ran.out)
    assert printed[0] == "tensorflow_model_server"
    assert "--rest_api_port=8501" in printed
    assert f"--model_config_file={out}/models.config" in printed
    assert f'base_path: "{saved_models}/reviews"' in (out / "models.config").read_text()


def test_models_in_a_bucket_are_not_mounted(command: Command, saved_models: Path) -> None:
    ran = command("serving-config", saved_models, "--base-path", "gs://bucket/zoo")
    assert words(ran.out)[0] == "tensorflow_model_server"


def test_two_versions_at_a_time_tell_who_answers_unlabelled_requests(
    command: Command, saved_models: Path
) -> None:
    labels = ["--label", "reviews:stable=1", "--label", "reviews:canary=2"]
    assert "answered by version 2" in command("serving-config", saved_models, *labels).err
    single = command("serving-config", saved_models, *labels[:2], "--force")
    assert "answered by version" not in single.err


def test_force_replaces_and_nothing_else_does(command: Command, saved_models: Path) -> None:
    models = saved_models / "serving" / "models.config"
    command("serving-config", saved_models)
    before = models.read_text()
    ran = command("serving-config", saved_models, "--label", "reviews:stable=1")
    assert (ran.code, ran.out) == (2, "")
    assert "--force" in ran.err
    assert models.read_text() == before
    ran = command("serving-config", saved_models, "--label", "reviews:stable=1", "--force")
    assert ran.code == 0
    assert "replaced" in ran.err
    assert "kept" not in ran.err  # the other two say what they would say anyway
    assert "stable" in models.read_text()


def test_a_refused_move_is_warned_of(command: Command, saved_models: Path) -> None:
    command("serving-config", saved_models, "--label", "reviews:stable=1")
    ran = command("serving-config", saved_models, "--label", "reviews:stable=2", "--force")
    assert ran.code == 0
    assert "Warning: A running server refuses this file" in ran.err
    assert "--label reviews:next=2" in ran.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--label", "reviews:stable=3"], "Received: reviews:stable=3"),
        (["--label", "stable=1"], "MODEL:LABEL=VERSION"),
        (["--label", "reviews:a=1", "--label", "reviews:a=2"], "pass it once"),
        (["--base-path", "saved_models"], "Received: 'saved_models'"),
        (["--threads", "0"], "--threads"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_written(
    command: Command, saved_models: Path, arguments: list[str], message: str
) -> None:
    ran = command("serving-config", saved_models, *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err
    assert not (saved_models / "serving").exists()


def test_a_folder_without_models_is_said(command: Command, tmp_path: Path) -> None:
    ran = command("serving-config", tmp_path)
    assert ran.code == 2
    assert f"Received: {tmp_path}" in ran.err


def test_it_needs_no_tensorflow(saved_models: Path) -> None:
    script = (
        "import sys\n"
        "sys.argv = ['keras-seqzoo', 'serving-config', *sys.argv[1:]]\n"
        "from keras_seqzoo.cli.main import main\n"
        "try:\n    main()\n"
        "finally:\n    print({'tensorflow', 'keras'} & set(sys.modules), file=sys.stderr)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script, str(saved_models), "-q"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stderr == "set()\n"
    assert (saved_models / "serving" / "models.config").is_file()
