"""The registry: model cards by name, and `build_model`, the one way to a model.

Nothing heavy is imported here: naming, listing and describing models costs no TensorFlow.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keras_seqzoo.data.stream import TextStream
    from keras_seqzoo.data.table import TextTable
    from keras_seqzoo.encoders.parts import EncoderParts
    from keras_seqzoo.tasks.base import TextModel

Builder = Callable[..., "EncoderParts"]


@dataclass(frozen=True)
class ModelCard:
    """What a person wants to know of a model before building it.

    Attributes:
        name: the name `build_model` takes.
        family: the architecture family, such as `"recurrent"`.
        description: the architecture, in a line.
        parameters: number of weights at the default size, head for two classes included.
        size: the default size, option by option.
        source: where the weights come from.
        paper: the paper that introduced the architecture.
        licence: licence of the weights; for a model trained from scratch, of its code.
        options: what this name changes in the defaults of its builder.
        fixed: arguments of the builder that make this model what it is; no user sets them.
        tiny: options of the smallest model worth having: for tests and trials.
    """

    name: str
    family: str
    description: str
    parameters: int
    size: Mapping[str, Any]
    source: str
    paper: str
    licence: str
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    fixed: Mapping[str, Any] = field(default_factory=dict, repr=False)
    tiny: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def as_dict(self) -> dict[str, Any]:
        """Returns the card as a plain dict, ready for JSON."""
        return {k: v for k, v in asdict(self).items() if k not in ("options", "fixed", "tiny")}


_cards: dict[str, ModelCard] = {}
_builders: dict[str, Builder] = {}


def register(*cards: ModelCard) -> Callable[[Builder], Builder]:
    """Registers the decorated encoder builder under the name of each card.

    The builder is called as `builder(data, sequence_length=..., weights=..., **options)`, with the
    card's own options beside the user's, and returns `keras_seqzoo.encoders.parts.EncoderParts`. A
    module that holds builders must import Keras inside the builder, so that listing models stays
    cheap.

    Args:
        *cards: one card a name.

    Raises:
        ValueError: a name is registered already.
    """

    def decorate(builder: Builder) -> Builder:
        for card in cards:
            if card.name in _cards:
                raise ValueError(
                    f"A model name can be registered once. Choose another name than "
                    f"{card.name!r}. Received: card={card!r}"
                )
            _cards[card.name] = card
            _builders[card.name] = builder
        return builder

    return decorate


def list_models(pattern: str = "*") -> list[str]:
    """Lists the registered model names, sorted.

    Args:
        pattern: shell-style pattern, such as `"bi*"`.

    Returns:
        The names that match; an empty list where none does.
    """
    _import_encoders()
    return sorted(name for name in _cards if fnmatchcase(name, pattern))


def model_card(name: str) -> ModelCard:
    """Returns the card of a registered model.

    Raises:
        ValueError: no model has that name; the message lists close matches.
    """
    _import_encoders()
    if name not in _cards:
        raise ValueError(
            f"`name` must be a registered model. {_suggest(name, _cards)} Received: name={name!r}"
        )
    return _cards[name]


def list_tasks() -> list[str]:
    """Lists the tasks that `build_model` takes: one module of `keras_seqzoo.tasks` each."""
    from keras_seqzoo import tasks

    return sorted(m.name for m in pkgutil.iter_modules(tasks.__path__) if m.name != "base")


def build_model(
    name: str,
    data: TextTable | TextStream | Sequence[str] | None = None,
    *,
    classes: Sequence[str] | None = None,
    task: str = "classify",
    weights: str | None = "pretrained",
    sequence_length: int | None = None,
    **options: Any,
) -> TextModel:
    """Builds a compiled functional Keras model that takes raw text.

    Args:
        name: a name of `list_models()`.
        data: the training data, from which the vocabulary and the classes are taken: a
            `TextTable`, a `TextStream`, or a sequence of strings together with `classes`. May be
            left out where `vocabulary` and `classes` are given.
        classes: class names in label order. Defaults to `data.classes`.
        task: what the model is for; one of `list_tasks()`.
        weights: `"pretrained"` (default) takes the card's pretrained weights; the recurrent
            models have none and always start from scratch. `None` asks for that outright. The
            path of a `.keras` file that this package wrote starts from that model's encoder and
            vocabulary, with a new head.
        sequence_length: most tokens read of a text, the rest is cut. Defaults to the encoder's
            own (512 for the recurrent ones).
        **options: options of the encoder (`units`, `dropout`, …) and of the task's head.

    Returns:
        A compiled `keras_seqzoo.tasks.base.TextModel`, which may be compiled again.

    Raises:
        ValueError: an unknown name, task or option, or a value out of its range.

    Example:
        >>> import keras_seqzoo as sz
        >>> model = sz.build_model(
        ...     "gru", ["good film", "bad film"], classes=["negative", "positive"], units=8)
        >>> model.predict(["good"], verbose=0).shape
        (1, 2)
    """
    card = model_card(name)
    if task not in list_tasks():
        raise ValueError(
            f"`task` must be one of {list_tasks()}. {_suggest(task, list_tasks())} "
            f"Received: task={task!r}"
        )
    _check_backend()
    task_module = importlib.import_module(f"keras_seqzoo.tasks.{task}")
    head_options = {k: options.pop(k) for k in list(options) if k in _options_of(task_module.build)}
    _check_options(card, options, task_module.build)
    _check_sequence_length(sequence_length)
    if str(weights).endswith(".keras"):
        from keras_seqzoo.encoders.parts import saved_parts

        if options or sequence_length:
            raise ValueError(
                "The encoder's size is that of the saved model. Leave its options out. "
                f"Received: sequence_length={sequence_length!r}, {options}"
            )
        parts = saved_parts(str(weights), name)
    else:
        parts = _builders[name](
            data,
            sequence_length=sequence_length,
            weights=weights,
            **{**card.options, **options, **card.fixed},
        )
    return task_module.build(parts, data, classes=classes, name=name, **head_options)


def _import_encoders() -> None:
    from keras_seqzoo import encoders

    for module in pkgutil.iter_modules(encoders.__path__):
        if module.name != "parts":
            importlib.import_module(f"{encoders.__name__}.{module.name}")


def _check_backend() -> None:
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


def _options_of(builder: Callable[..., Any]) -> list[str]:
    reserved = {"sequence_length", "weights", "classes", "name"}
    return [
        p.name
        for p in inspect.signature(builder).parameters.values()
        if p.kind is p.KEYWORD_ONLY and p.name not in reserved
    ]


def _check_options(card: ModelCard, options: Mapping[str, Any], head: Callable[..., Any]) -> None:
    allowed = [o for o in _options_of(_builders[card.name]) if o not in card.fixed]
    unknown = [o for o in options if o not in allowed]
    if unknown:
        allowed += _options_of(head)
        raise ValueError(
            f"{card.name!r} has no such option. {_suggest(unknown[0], allowed)} "
            f"Received: {', '.join(f'{o}={options[o]!r}' for o in unknown)}"
        )


def _suggest(name: str, known: Sequence[str] | Mapping[str, Any]) -> str:
    close = get_close_matches(str(name), list(known), n=3, cutoff=0.5)
    if close:
        return f"Did you mean {' or '.join(repr(c) for c in close)}?"
    return f"Choose one of: {', '.join(sorted(known))}."
