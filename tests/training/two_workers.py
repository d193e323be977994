"""What each of two workers does in `test_multi_worker.py`; it prints a line of JSON a model."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import keras_seqzoo as sz

sys.path.insert(0, str(Path(__file__).parents[1]))
strategy = sz.distribution("auto", timeout=120)

import numpy as np  # noqa: E402
import replicas  # noqa: E402
import tensorflow as tf  # noqa: E402
from replicas import TABLE  # noqa: E402

# One kind of model does more than the others.
THOROUGHLY = "lstm"


def train(name: str, folder: Path) -> dict[str, Any]:
    """Does with a model what a user does."""
    model = replicas.build(name, strategy)
    history = replicas.fit(model, folder / f"{name}-best.keras")
    chief = model.is_chief
    if not chief:
        folder = folder / "not-the-chief"
    model.save(folder / f"{name}.keras")
    weights = np.concatenate([np.ravel(w) for w in model.get_weights()])
    found = {
        "name": name,
        "hash": hashlib.sha256(weights.tobytes()).hexdigest(),
        "weights": weights[:2000].tolist(),
        "history": history,
        "evaluated": model.evaluate(sz.make_dataset(TABLE, model, 8), verbose=0),
        "predicted": model.predict(TABLE.texts, verbose=0).tolist(),
    }
    return found | more(model, folder / name) if name == THOROUGHLY else found


def more(model: Any, folder: Path) -> dict[str, Any]:
    """Does what is the same code for every kind of model."""
    features = dict(model.preprocessor(TABLE.texts))
    plain = tf.data.Dataset.from_tensor_slices((features, TABLE.labels))
    return {
        "foreign": model.evaluate(plain.batch(8), verbose=0),
        "tested": model.evaluate(TABLE.texts, TABLE.labels, verbose=0),
        "accuracy": sz.evaluate(model, TABLE).to_dict()["accuracy"],
        "exported": str(sz.export_model(model, folder)),
    }


if __name__ == "__main__":
    folder, names = Path(sys.argv[1]), sys.argv[2:]
    worker = tf.distribute.cluster_resolver.TFConfigClusterResolver().task_id
    with (folder / f"worker-{worker}.jsonl").open("w") as file:
        for name in names:
            file.write(json.dumps(train(name, folder)) + "\n")
