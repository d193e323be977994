"""Exports a model of every kind and task, with its answers; `check_artifacts.py` asks them again.

python tests/compatibility/make_artifacts.py FOLDER
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).parents[1]))

import keras
import numpy as np
from samples import NEGATIVE, POSITIVE
from trained import MODELS, TEXTS

import keras_seqzoo as sz

TABLE = sz.TextTable.from_texts(
    [*POSITIVE, *NEGATIVE], ["positive"] * len(POSITIVE) + ["negative"] * len(NEGATIVE)
)
WRITING = {"sequence_length": 128, "vocabulary_size": 300}


def models(folder: Path) -> dict[str, Any]:
    """Tiny untrained models from scratch, by the name of their folder."""
    keras.utils.set_random_seed(0)
    made = {}
    for name in MODELS:
        made[name] = sz.build_model(name, TABLE, weights=None, **sz.model_card(name).tiny)
    for task, names in {"embed": ("bert_base", "lstm"), "generate": ("gpt2", "gru")}.items():
        for name in names:
            options = {**sz.model_card(name).tiny, **(WRITING if task == "generate" else {})}
            made[f"{name}-{task}"] = sz.build_model(name, TABLE, task=task, weights=None, **options)
    path = str(folder / "lm.keras")
    made["gpt2-generate"].save(path)
    made["gpt2-prompt"] = sz.build_model(
        "gpt2", task="prompt", weights=path, classes=TABLE.classes, template="{text} {label}"
    )
    return made


def main(folder: Path) -> None:
    """Writes `folder/NAME/1` and `folder/expected.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    expected = {}
    for name, model in models(folder).items():
        model.sampler = "greedy"
        sz.export_model(model, folder / name, version=1, warmup=["a good film", *POSITIVE])
        if name.endswith("-generate"):
            written = model.generate(TEXTS)
            expected[name] = {"text": list(written)}
        elif name.endswith("-embed"):
            expected[name] = {"embedding": np.asarray(model.predict(TEXTS, verbose=0)).tolist()}
        else:
            expected[name] = {"probabilities": model.predict(TEXTS, verbose=0).tolist()}
    (folder / "expected.json").write_text(json.dumps({"texts": TEXTS, "answers": expected}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
