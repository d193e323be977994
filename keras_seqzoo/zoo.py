"""The zoo: models by name, and `build_model`, which builds every model.

This module imports nothing heavy: naming, listing and describing models needs no TensorFlow.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from keras_seqzoo import names
from keras_seqzoo.encoders import ENCODERS
from keras_seqzoo.encoders.registry import MODELS, SOURCES, ModelCard, Registered, register
from keras_seqzoo.hub.resolve import plain_handle, public_source
from keras_seqzoo.options import Option, check_flags, options_of
from keras_seqzoo.quiet import import_tensorflow
from keras_seqzoo.tasks import TASK_OF_TARGET, TASKS, task_module

if TYPE_CHECKING:
    import tensorflow as tf

    from keras_seqzoo.data.stream import TextStream
    from keras_seqzoo.data.table import TextTable
    from keras_seqzoo.tasks.model import TextModel

__all__ = ["ModelCard", "build_model", "list_models", "list_tasks", "model_card", "register"]

for _module in ENCODERS.values():
    importlib.import_module(_module)


def list_models(pattern: str = "*") -> list[str]:
    """Lists the registered model names, sorted.

    Args:
        pattern: shell-style pattern, such as `"bi*"`.

    Returns:
        The names that match; an empty list if none does.
    """
    return sorted(name for name in MODELS if fnmatchcase(name, pattern))


def model_card(name: str) -> ModelCard:
    """Returns the card of a registered model.

    Raises:
        ValueError: no model has that name; the message lists close matches.
    """
    return _registered(name).card


def find_model(name: str) -> Registered:
    """Returns the encoder for a name that `build_model` takes: a model, handle, preset or folder.

    Raises:
        ValueError: no such name.
    """
    if name not in MODELS:
        for matches, builder in SOURCES:
            if matches(name):
                return Registered(_card_of_source(name), builder)
    return _registered(name)


def list_tasks() -> list[str]:
    """Lists the tasks that `build_model` takes."""
    return sorted(TASKS)


def build_model(
    name: str,
    data: TextTable | TextStream | tf.data.Dataset | Sequence[str] | None = None,
    *,
    classes: Sequence[str] | None = None,
    task: str | None = None,
    inputs: str | None = None,
    weights: str | None = "pretrained",
    sequence_length: int | None = None,
    **options: Any,
) -> TextModel:
    """Builds a compiled functional Keras model that takes raw text.

    Args:
        name: a name of `list_models()`; or a TF Hub or Kaggle handle, a KerasHub preset, `hf://…`,
            or a local folder with a SavedModel of TF Hub's text-encoder API or a checkpoint of
            KerasHub or transformers. The model there is loaded, and a SavedModel is a program: name
            only sources that you trust.
        data: the training data, which set the vocabulary and the classes: a `TextTable`, a
            `TextStream`, or a sequence or `tf.data.Dataset` of strings together with `classes`.
            May be left out if `vocabulary` and `classes` are given.
        classes: class names in label order. Defaults to `data.classes`.
        task: the task of the model, one of `list_tasks()`. By default the task for the target of
            `data`, or `"classify"` if it has none.
        inputs: what the model reads: `"text"`, or `"pair"` for pairs of texts. Defaults to the
            inputs of `data`.
        weights: `"pretrained"` (default) takes the card's pretrained weights, downloading them if
            they are not cached; the recurrent models have none and always start from scratch.
            `None` always starts from scratch. A handle, preset or folder takes those instead. The
            path of a `.keras` file that this package wrote starts from that model's encoder and
            vocabulary, with a new head.
        sequence_length: most tokens to read from each text; the rest is cut off. Defaults to the
            encoder's own (512 for the recurrent ones).
        **options: options of the encoder (`units`, `dropout`, …) and of the task's head.

    Returns:
        A compiled `keras_seqzoo.tasks.model.TextModel`, which may be compiled again.

    Raises:
        ConnectionError: pretrained weights cannot be downloaded; random ones never replace them.
        FileNotFoundError: no such folder.
        TypeError: data of another kind.
        ValueError: an unknown name, task or option, or a value out of its range.

    Example:
        >>> import keras_seqzoo as sz
        >>> model = sz.build_model(
        ...     "gru", ["good film", "bad film"], classes=["negative", "positive"], units=8)
        >>> model.predict(["good"], verbose=0).shape
        (1, 2)
    """
    found = find_model(str(name))
    card = found.card
    task = task or TASK_OF_TARGET.get(
        getattr(getattr(data, "target", None), "kind", ""), "classify"
    )
    _check_task(task)
    if hasattr(data, "columns") or isinstance(data, Mapping):
        raise TypeError(
            "`data` must be a table, a stream or texts. Read a frame first: read_table(frame, "
            "text=…, label=…); of the parts of a split pass one, data['train']. "
            f"Received: data of type {type(data).__name__}"
        )
    pair = _is_pair(data, inputs)
    given = getattr(getattr(data, "inputs", None), "name", "text")
    if given not in card.reads:
        others = ", ".join(repr(m) for m in list_models() if given in MODELS[m].card.reads)
        raise ValueError(
            f"A model reads what its family can: {', '.join(card.reads)}. Build one of {others} "
            f"for this table. Received: name={name!r}, {data!r}"
        )
    _check_backend()
    home = task_module(task)
    head, encoder = _share_options(found, task, options)
    _check_sequence_length(sequence_length)
    if str(weights).endswith(".keras"):
        from keras_seqzoo.tasks.keras_file import saved_parts

        sizes = {k: v for k, v in encoder.items() if k not in head}
        if sizes or sequence_length:
            raise ValueError(
                "The encoder's size is that of the saved model. Leave its options out. "
                f"Received: sequence_length={sequence_length!r}, {sizes}"
            )
        parts = saved_parts(str(weights), card.name)
    else:
        own = {"sequence_length": sequence_length, "weights": weights, **encoder}
        if str(own.get("vectors")).endswith(".keras"):
            from keras_seqzoo.tasks.keras_file import load_keras_file

            own["vectors"] = load_keras_file(str(own["vectors"]))
        kind = home.TASK
        parts = found.build(kind.corpus(data), own, task=task, pair=pair, letters=kind.letters)
    preprocessor: Any = parts.preprocessor
    if pair:
        preprocessor.pair = True
    preprocessor.check_length()
    built = home.build(parts, data, home.OPTIONS(**head), classes=classes, name=card.name)
    if isinstance(parts.source, str):
        built.source = public_source(parts.source)
    elif parts.source is not None:
        built.source = parts.source.source  # the source of the file's model
    return built


def check_options(name: str, options: Mapping[str, Any], task: str = "classify") -> None:
    """Raises a ValueError if `build_model(name, **options)` would, for names and flags.

    `build_model` checks other values.
    """
    found = find_model(name)
    check_flags(found.options, options)
    if options.keys() <= found.options.keys():  # this check imports nothing heavy
        return
    _check_backend()
    _share_options(found, task, options)


def head_options(task: str) -> dict[str, Option]:
    """Returns the options of a task's head; imports its module."""
    return options_of(task_module(task).OPTIONS)


def _share_options(
    found: Registered, task: str, options: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Splits options into those of the task's head and those of the encoder."""
    of_head, of_encoder = head_options(task), found.options
    unknown = {k: v for k, v in options.items() if k not in of_head and k not in of_encoder}
    if unknown:
        first = next(iter(unknown))
        others = [repr(other) for other in list_tasks() if first in head_options(other)]
        told = f" for the task {task!r}. {' and '.join(others)} has it. " if others else ". "
        told += "" if others else names.choose_one(first, [*of_encoder, *of_head])
        raise ValueError(
            f"{found.card.name!r} has no such option{told}"
            f"Received: {', '.join(f'{k}={v!r}' for k, v in unknown.items())}"
        )
    # An option of both, such as the dropout, applies to both.
    head = {k: v for k, v in options.items() if k in of_head}
    encoder = {k: v for k, v in options.items() if k in of_encoder}
    check_flags(of_encoder, encoder)
    check_flags(of_head, head)
    return head, encoder


def _registered(name: str) -> Registered:
    if name not in MODELS:
        raise ValueError(
            f"`name` must be a registered model. {names.choose_one(name, MODELS)}"
            f"Received: name={name!r}"
        )
    return MODELS[name]


def _card_of_source(source: str) -> ModelCard:
    source = plain_handle(source)
    return ModelCard(
        name=re.sub(r"[^A-Za-z0-9_.-]", "_", names.last_part(source)),
        family="given by its source",
        description="given by its source",
        parameters=0,
        size={},
        source=source,
        paper="",
        licence="",
        fixed={"source": source},
    )


def _check_task(task: str) -> None:
    if task not in TASKS:
        raise ValueError(
            f"`task` must be one of {list_tasks()}. {names.choose_one(task, TASKS)}"
            f"Received: task={task!r}"
        )


def _is_pair(data: Any, inputs: str | None) -> bool:
    from keras_seqzoo.data.inputs import INPUTS  # pandas is not needed to list models

    of_data = getattr(getattr(data, "inputs", None), "name", None)
    if isinstance(data, tuple) and len(data) == 2 and not isinstance(data[0], str):
        of_data = "pair"
    if inputs not in (None, *INPUTS) or (inputs and of_data and inputs != of_data):
        raise ValueError(
            f"`inputs` must be one of {tuple(INPUTS)}, and what the data has. Leave it out if "
            f"you pass a table. Received: inputs={inputs!r}, data of {of_data or 'texts'}"
        )
    return (inputs or of_data) == "pair"


def _check_backend() -> None:
    import_tensorflow()
    import keras

    if keras.config.backend() != "tensorflow":
        raise RuntimeError(
            "keras_seqzoo runs on the TensorFlow backend of Keras. Set the environment variable "
            "KERAS_BACKEND=tensorflow before Keras is imported. "
            f"Received: backend={keras.config.backend()!r}"
        )


def _check_sequence_length(sequence_length: object) -> None:
    if sequence_length is None:
        return
    if not isinstance(sequence_length, int) or sequence_length < 1:
        raise ValueError(
            "`sequence_length` must be a whole number of tokens, at least 1, or None for the "
            f"encoder's default. Received: sequence_length={sequence_length!r}"
        )
