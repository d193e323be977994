"""The model card of an export, and the list of what a server must have."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from keras_seqzoo import zoo
from keras_seqzoo.data.targets import OneOf
from keras_seqzoo.features import FEATURES
from keras_seqzoo.names import shown_names
from keras_seqzoo.serving.audit import Audit
from keras_seqzoo.serving.readme import readme
from keras_seqzoo.serving.versions import CARD, SAVED_MODEL
from keras_seqzoo.tasks import task_from_dict
from keras_seqzoo.tasks.base import Task
from keras_seqzoo.tasks.classify import Classify
from keras_seqzoo.tasks.model import TextModel
from keras_seqzoo.version import __version__

# The oldest TensorFlow whose loaders our exports are checked in (`make test-tf2.20`).
OLDEST_CHECKED = "2.20"


_PAIR = ("Lovely, and not too long.", "I would go back tomorrow.")
_QUESTION = ("Who found us a table?", "The woman at the desk found us a table at once.")
_INT8 = (
    "- An x86-64 processor, and a TensorFlow built with oneDNN, such as those on PyPI: the model "
    "multiplies 8-bit integers.\n"
)


def told(model: TextModel, format: str, inputs: Iterable[str]) -> dict[str, Any]:
    """Returns the part of the model card that clients rely on."""
    inputs = list(inputs)
    signatures = ["tokens" if inputs == list(FEATURES) else "serving_default"]
    if format == SAVED_MODEL:
        signatures = sorted(model.serving_functions())
    return {
        "format": format,
        "task": model.task.as_dict(),
        "inputs": inputs,
        "classes": list(model.classes),
        "signatures": signatures,
    }


def describe(
    model: TextModel, found: Audit, optimized: Mapping[str, Any] | None = None, test: Any = None
) -> dict[str, Any]:
    """Returns the model card: what the model is, what it answers, and what it needs.

    Args:
        model: the model.
        found: the audit of its SavedModel.
        optimized: what `serving.optimize.optimized` yields.
        test: what `figures_of` returned, if there was a test.
    """
    serving = {
        "tensorflow_serving": f">={OLDEST_CHECKED}",
        "tensorflow_text_ops": list(found.text_ops),
        "bytes": found.sizes["total"],
        "warmup_requests": found.warmup_requests,
    }
    card = facts(model, SAVED_MODEL, model.served_inputs, test)
    return {**card, "optimized": optimized, "serving": serving}


def facts(model: TextModel, format: str, inputs: Iterable[str], test: Any = None) -> dict[str, Any]:
    """Returns the entries that model cards of every format have."""
    known = model.name in zoo.list_models()
    is_module = any(graph is not model.preprocessor for graph in model.graphs)
    return {
        "model": model.name,
        "module_graph": is_module,  # whether it runs on a TF Hub module's own graph
        **told(model, format, inputs),
        "parameters": model.count_params(),
        "sequence_length": model.preprocessor.sequence_length,
        "columns": list(getattr(model, "columns", ())),
        "vocabulary_size": len(model.preprocessor.vocabulary),
        "preprocessor": type(model.preprocessor).__name__,
        "preprocessor_fingerprint": model.preprocessor.fingerprint(),
        "card": zoo.model_card(model.name).as_dict() if known else None,
        "example": _example(model),
        "source": model.source,
        "epochs": len(getattr(getattr(model, "history", None), "epoch", ())) or None,
        "test": test,
        "exported": datetime.now(UTC).isoformat(timespec="seconds"),
        "written_with": {
            "keras_seqzoo": __version__,
            "keras": keras.__version__,
            "tensorflow": tf.__version__,
        },
    }


def write(card: Mapping[str, Any], path: Path, name: str) -> None:
    """Writes the model card of an export, for programs and for readers.

    Args:
        card: the model card.
        path: the folder of the export.
        name: name of the model.
    """
    (path / CARD).parent.mkdir(exist_ok=True)
    text = json.dumps(card, indent=2, ensure_ascii=False)
    (path / CARD).write_text(text + "\n", encoding="utf-8")
    text = readme(card, name)
    (path / CARD).with_name("README.md").write_text(text, encoding="utf-8")


def _example(model: TextModel) -> dict[str, Any]:
    row = _QUESTION if model.task.name == "answer" else _PAIR if model.pair else _PAIR[:1]
    columns = model.samples([row])
    return {
        name: [v.decode() for v in column[:1]]
        if column.dtype == object
        else column[:1].astype(float).round(3).tolist()
        for name, column in columns.items()
    }


def task_of_card(card: Mapping[str, Any]) -> Task | None:
    """The task in a model card; None if a model's answers cannot be compared with a truth."""
    task = card.get("task")
    if isinstance(task, Mapping):
        return task_from_dict(task)
    # Older cards have only the classes.
    return Classify(OneOf(tuple(card["classes"]))) if card.get("classes") else None


def requirements(card: Mapping[str, Any]) -> str:
    """Returns the requirements of a server, in Markdown.

    Args:
        card: the model card.
    """
    task = task_from_dict(card["task"])
    names = f", whose {task.noun} are {shown_names(task.names, 20)}" if task.names else ""
    ops = card["serving"]["tensorflow_text_ops"]
    ops_line = (
        f"TensorFlow's own ops and TensorFlow Text's {', '.join(f'`{op}`' for op in ops)}"
        if ops
        else "TensorFlow's own ops only"
    )
    return (
        "# What a server must have\n\n"
        f"- Requests with {' and '.join(f'`{name}`' for name in card['inputs'])}. It answers "
        f"for the task `{task.name}`{names}. Signatures: "
        f"{', '.join(f'`{name}`' for name in card['signatures'])}.\n"
        f"- TensorFlow Serving {OLDEST_CHECKED} or newer: exports of this package are checked in "
        f"TensorFlow {OLDEST_CHECKED} and {'.'.join(tf.__version__.split('.')[:2])}. Older ones "
        "may work, but were not tested.\n"
        f"- Ops: {ops_line}. The stock server has them; no Python, Keras or custom op is needed.\n"
        f"{_INT8 if card['optimized'] else ''}"
        f"- Room for {card['serving']['bytes'] / 1e6:,.1f} MB on disk.\n"
        f"- {card['serving']['warmup_requests']} warm-up requests are sent before the version "
        "becomes available.\n\n"
        f"Written with TensorFlow {card['written_with']['tensorflow']} and keras_seqzoo "
        f"{card['written_with']['keras_seqzoo']}.\n"
    )
