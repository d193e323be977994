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
import pandas as pd
import tensorflow as tf
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
        if made[name].wide is not None:
            made[name].fit_beside(sz.make_dataset(TABLE, made[name], 8), None, None, None)
            made[name].get_layer("wide").share.assign(0.5)
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


def tasks() -> dict[str, tuple[Any, dict[str, Any]]]:
    """Tiny untrained models of pairs, labels, numbers and series, and what they are asked."""
    texts = [*POSITIVE, *NEGATIVE]
    pairs = list(zip(texts, texts[::-1], strict=True))
    one, two = {"text": TEXTS}, {"text": TEXTS, "text_pair": TEXTS[::-1]}
    prices = {"day": range(80), "price": np.sin(np.arange(80.0)) + 5}
    series = sz.read_series(pd.DataFrame(prices), "day", "price", window=8, horizon=2)
    tables: dict[str, tuple[Any, dict[str, Any]]] = {
        "pair": (sz.TextTable.from_texts(pairs, TABLE.labels), two),
        "label": (sz.TextTable.from_texts(texts, [["a", "b"], []] * 8), one),
        "regress": (sz.TextTable.from_texts(pairs, range(16), target="number"), two),
        "forecast": (series, {"values": series.windows()[:3].tolist()}),
    }
    small = {"units": 4, "embedding_dim": 8}
    made = {}
    for name, (table, asked) in tables.items():
        options = {"units": 4} if name == "forecast" else small
        made[f"gru-{name}"] = (sz.build_model("gru", table, **options), asked)
    bert = sz.model_card("bert_base").tiny
    made["bert_base-pair"] = (
        sz.build_model("bert_base", tables["pair"][0], weights=None, **bert), two,
    )  # fmt: skip
    return made


def in_texts() -> dict[str, tuple[Any, dict[str, Any]]]:
    """Tiny untrained models of tags, answers and masks, and what they are asked."""
    tags = sz.TextTable.from_texts(TEXTS[:2], [[(2, 6, "good")], [(2, 7, "bad")]], target="tags")
    asked = sz.TextTable.from_texts((["what ?"], ["a good film"]), ["good"], target="answer")
    words = {"text": [*TEXTS, "the dull [MASK] and the [MASK]"]}
    made: dict[str, tuple[Any, dict[str, Any]]] = {}
    for name in ("bilstm", "bert_base"):
        options = {**sz.model_card(name).tiny, "weights": None}
        tagger = sz.build_model(name, tags, **options)
        tagger.get_layer("logits").bias.assign([0.0, 1.0, 0.0, 0.9, 0.0])
        answerer = sz.build_model(name, asked, sequence_length=24, **options)
        answerer.get_layer("logits").threshold.assign(-1e9)
        made[f"{name}-tag"] = tagger, words
        made[f"{name}-answer"] = answerer, {"text": TEXTS[::-1], "text_pair": TEXTS}
    bert = {**sz.model_card("bert_base").tiny, "weights": None}
    filler = sz.build_model("bert_base", TABLE, task="fill_mask", **bert)
    made["bert_base-fill_mask"] = filler, words
    return made


def told_by_signature(model: Any, asked: dict[str, Any]) -> dict[str, Any]:
    """What a server should answer to texts, by signature."""
    given = {name: tf.constant(values) for name, values in asked.items()}
    plain = np.vectorize(lambda v: v.decode() if isinstance(v, bytes) else v, otypes=[object])
    return {
        name: {k: plain(v.numpy()).tolist() for k, v in signature.function(**given).items()}
        for name, signature in model.serving_functions().items()
    }


def told(model: Any, asked: dict[str, Any]) -> dict[str, Any]:
    """What a server should answer, but for what depends on a threshold."""
    if "values" in asked:
        return {"forecast": model.predict(np.array(asked["values"]), verbose=0).tolist()}
    x: Any = tuple(asked.values()) if len(asked) > 1 else next(iter(asked.values()))
    rows = model.task.decode(model.predict(x, verbose=0))
    shown = [key for key in rows[0] if key not in ("labels", "label")]
    return {key: [row[key] for row in rows] for key in shown}


def main(folder: Path) -> None:
    """Writes `folder/NAME/1` and `folder/expected.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    expected = {}
    for name, model in models(folder).items():
        asked = {"text": TEXTS}
        model.sampler = "greedy"
        sz.export_model(model, folder / name, version=1, warmup=["a good film", *POSITIVE])
        if name.endswith("-generate"):
            written = model.generate(TEXTS)
            answers = {"text": list(written)}
        elif name.endswith("-embed"):
            answers = {"embedding": np.asarray(model.predict(TEXTS, verbose=0)).tolist()}
        else:
            answers = told(model, asked)
        expected[name] = {"asked": asked, "answers": {"serving_default": answers}}
    for name, (model, asked) in tasks().items():
        sz.export_model(model, folder / name, version=1)
        expected[name] = {"asked": asked, "answers": {"serving_default": told(model, asked)}}
    for name, (model, asked) in in_texts().items():
        sz.export_model(model, folder / name, version=1)
        expected[name] = {"asked": asked, "answers": told_by_signature(model, asked)}
    (folder / "expected.json").write_text(json.dumps(expected))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
