"""What figures were measured on is told without loading it."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import pytest

import keras_seqzoo as sz
from keras_seqzoo.evaluation import environment


def test_versions_and_processors() -> None:
    found = environment.environment()
    assert found["keras_seqzoo"] == sz.__version__
    assert found["Keras"] == version("keras")
    assert found["Python"] == ".".join(map(str, sys.version_info[:3]))
    assert int(found["processors"]) >= 1


def test_tensorflow_under_another_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def only_cpu(name: str) -> str:
        if name != "tensorflow-cpu":
            raise environment.PackageNotFoundError(name)
        return "2.20.0"

    monkeypatch.setattr(environment, "version", only_cpu)
    found = environment.environment()
    assert found["TensorFlow"] == "2.20.0"
    assert found["Keras"] == "not installed"


def test_nothing_here_imports_tensorflow() -> None:
    script = (
        "import sys\n"
        "from keras_seqzoo.evaluation import data_summary, environment, results, scores\n"
        "environment.environment()\n"
        "print({'tensorflow', 'keras'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr
