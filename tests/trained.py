"""Models that tests share: each kind is trained, saved and exported once a run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from filelock import FileLock

import keras_seqzoo as sz

TEXTS = [
    "a good film",
    "I hated the dull story, and the awful cast, and the bad book",
    "",
    "   ",
    "never seen words, 日本語 😀 <br /> it's",
    b"invalid \xff\xfe bytes and a \x00 byte".decode("latin-1"),
]

# Rates at which forty passes over sixteen texts are enough.
RATES = {"recurrent": 0.02, "static vectors": 0.05}


def _essence(name: str) -> str:
    """What a model is when it is built tiny and from scratch."""
    card = sz.model_card(name)
    elsewhere = ("source", "size", "uncased")
    fixed = {k: v for k, v in card.fixed.items() if k not in elsewhere}
    return repr((card.family, sorted(card.tiny.items()), card.options, fixed))


# One name of each kind: the others differ in default size or in pretrained weights alone.
MODELS = list({_essence(name): name for name in reversed(sz.list_models())}.values())


def few(names: Iterable[str], but: str) -> list[Any]:
    """Parameters of which `make test` leaves out those that begin with a pattern.

    They share their code with others that it takes; `make test-slow` takes them all.
    """
    slow = pytest.mark.slow
    return [pytest.param(n, marks=slow) if re.match(but, n) else n for n in names]


@dataclass
class Trained:
    """A trained model with what was saved of it.

    Attributes:
        model: the model, or the one that was loaded from its file where another process trained it.
        history: the loss of each epoch.
        answers: the probabilities of `TEXTS`, by the model as it was before it was saved.
        keras_file: its `.keras` file.
        exported: the version that was exported.
    """

    model: Any
    history: list[float]
    answers: np.ndarray
    keras_file: Path
    exported: Path


class Artefacts:
    """Every kind of model by its name, made when it is first asked for.

    Args:
        folder: where files are kept; processes that are given the same share them.
        table: what the models learn.
    """

    def __init__(self, folder: Path, table: sz.TextTable):
        self._folder, self._table = folder, table
        self._models: dict[str, Trained] = {}

    def __getitem__(self, name: str) -> Trained:
        if name not in self._models:
            self._models[name] = self._get(name)
        return self._models[name]

    def _get(self, name: str) -> Trained:
        file, facts = (self._folder / f"{name}.{end}" for end in ("keras", "json"))
        with FileLock(self._folder / f"{name}.lock"):
            if facts.is_file():
                model: Any = keras.models.load_model(file)
                found = json.loads(facts.read_text())
            else:
                model, history = self._train(name)
                model.save(file)
                answers = model.predict(TEXTS, verbose=0).tolist()
                exported = str(sz.export_model(model, self._folder / name))
                found = {"history": history, "answers": answers, "exported": exported}
                facts.write_text(json.dumps(found))
        answers, exported = np.array(found["answers"], "float32"), Path(found["exported"])
        return Trained(model, found["history"], answers, file, exported)

    def _train(self, name: str) -> tuple[Any, list[float]]:
        keras.utils.set_random_seed(1)
        model = sz.build_model(name, self._table, weights=None, **sz.model_card(name).tiny)
        data = sz.make_dataset(self._table, model, batch_size=8, shuffle=True, seed=0)
        model.optimizer.learning_rate = RATES.get(sz.model_card(name).family, 0.005)
        return model, model.fit(data, epochs=40, verbose=0).history["loss"]
