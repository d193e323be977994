"""Asks the exports of `make_artifacts.py` in another TensorFlow, with nothing else installed.

    python tests/compatibility/check_artifacts.py FOLDER

They must give the same answers, to 1e-5, through `tf.saved_model.load`, through the loader of
TensorFlow 1, and with their recorded warm-up requests there.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
import tensorflow_text  # noqa: F401 - its ops


def by_object(path: Path, asked: dict[str, Any], signature: str) -> dict[str, Any]:
    """Answers of the functions that `tf.saved_model.load` gives."""
    answer = tf.saved_model.load(str(path)).signatures[signature]
    given = {name: tf.constant(values) for name, values in asked.items()}
    return {name: value.numpy() for name, value in answer(**given).items()}


def by_session(path: Path, asked: dict[str, Any], signature: str) -> dict[str, Any]:
    """Answers of the graph in a session, which is how a server runs it."""
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        meta = tf.compat.v1.saved_model.load(session, ["serve"], str(path))
        told = meta.signature_def[signature]
        fetches = {name: info.name for name, info in told.outputs.items()}
        feeds = {told.inputs[name].name: values for name, values in asked.items()}
        return session.run(fetches, feeds)


def same(answer: Any, expected: Any) -> bool:
    """Whether numbers are equal to 1e-5, and strings exactly."""
    if answer.dtype == object:
        return [t.decode("utf-8", "replace") for t in answer.flat] == np.ravel(expected).tolist()
    return np.allclose(answer, expected, atol=1e-5)


def main(folder: Path) -> int:
    """Prints a line a model, and returns how many differ."""
    for package in ("keras_seqzoo", "keras_hub"):
        assert importlib.util.find_spec(package) is None, f"{package} is installed"
    record = json.loads((folder / "expected.json").read_text())
    failed = 0
    for name, told in record.items():
        path = folder / name / "1"
        assert (path / "assets.extra" / "tf_serving_warmup_requests").is_file()
        wrong = [
            f"{how.__name__} {signature} {output}"
            for how in (by_object, by_session)
            for signature, expected in told["answers"].items()
            for answer in [how(path, told["asked"], signature)]
            for output, values in expected.items()
            if not same(answer[output], values)
        ]
        failed += bool(wrong)
        verdict = f"DIFFERS {wrong}" if wrong else "same"
        print(f"TensorFlow {tf.__version__}  {name:24} {verdict}")
    return failed


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
