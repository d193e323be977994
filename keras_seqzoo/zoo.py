"""The registry: model cards by name, and `build_model`, the one way to a model.

Nothing heavy is imported here: naming, listing and describing models costs no TensorFlow.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from keras_seqzoo.checks import check_flag
from keras_seqzoo.quiet import import_tensorflow

if TYPE_CHECKING:
    import tensorflow as tf

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
        preprocessor: where the preprocessor that belongs to the weights comes from, if they are
            pretrained.
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
    preprocessor: str = ""
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    fixed: Mapping[str, Any] = field(default_factory=dict, repr=False)
    tiny: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def as_dict(self) -> dict[str, Any]:
        """Returns the card as a plain dict, ready for JSON."""
        return {k: v for k, v in asdict(self).items() if k not in ("options", "fixed", "tiny")}


_cards: dict[str, ModelCard] = {}
_builders: dict[str, Builder] = {}
_sources: list[tuple[Callable[[str], bool], Builder]] = []


def register(*cards: ModelCard) -> Callable[[Builder], Builder]:
    """Registers the decorated encoder builder under the name of each card.

    The builder is called as `builder(data, sequence_length=..., weights=..., **options)`, with the
    card's own options beside the user's, and with `task=...` where it takes that. It returns
    `keras_seqzoo.encoders.parts.EncoderParts`. A module that holds builders must import Keras
    inside the builder, so that listing models stays cheap.

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


def register_source(matches: Callable[[str], bool]) -> Callable[[Builder], Builder]:
    """Registers the decorated builder for names that are no models but lead to one.

    Such are handles, addresses and folders. The builder is called as `register` tells, with the
    name as `source`.

    Args:
        matches: whether a name is of this kind; it must cost next to nothing.
    """

    def decorate(builder: Builder) -> Builder:
        _sources.append((matches, builder))
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


def check_model(name: str) -> None:
    """Raises a ValueError where `build_model` knows no such name, at no cost."""
    _find(name)


def list_tasks() -> list[str]:
    """Lists the tasks that `build_model` takes: one module of `keras_seqzoo.tasks` each."""
    from keras_seqzoo import tasks

    return sorted(m.name for m in pkgutil.iter_modules(tasks.__path__) if m.name != "base")


def build_model(
    name: str,
    data: TextTable | TextStream | tf.data.Dataset | Sequence[str] | None = None,
    *,
    classes: Sequence[str] | None = None,
    task: str = "classify",
    weights: str | None = "pretrained",
    sequence_length: int | None = None,
    **options: Any,
) -> TextModel:
    """Builds a compiled functional Keras model that takes raw text.

    Args:
        name: a name of `list_models()`; or a TF Hub or Kaggle handle, a KerasHub preset, `hf://…`,
            or a local folder with a SavedModel of TF Hub's text-encoder API or a checkpoint of
            KerasHub or transformers. What lies there is loaded, and a SavedModel is a program:
            name only what you trust.
        data: the training data, from which the vocabulary and the classes are taken: a
            `TextTable`, a `TextStream`, or a sequence or `tf.data.Dataset` of strings together with
            `classes`. May be left out where `vocabulary` and `classes` are given.
        classes: class names in label order. Defaults to `data.classes`.
        task: what the model is for; one of `list_tasks()`.
        weights: `"pretrained"` (default) takes the card's pretrained weights, downloading them
            where they are not cached; the recurrent models have none and always start from
            scratch. `None` asks for that outright. A handle, preset or folder takes those instead.
            The path of a `.keras` file that this package wrote starts from that model's encoder
            and vocabulary, with a new head.
        sequence_length: most tokens read of a text, the rest is cut. Defaults to the encoder's
            own (512 for the recurrent ones).
        **options: options of the encoder (`units`, `dropout`, …) and of the task's head.

    Returns:
        A compiled `keras_seqzoo.tasks.base.TextModel`, which may be compiled again.

    Raises:
        ConnectionError: pretrained weights that can not be downloaded; never are random ones
            taken instead.
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
    card, builder = _find(str(name))
    if task not in list_tasks():
        raise ValueError(
            f"`task` must be one of {list_tasks()}. {_suggest(task, list_tasks())} "
            f"Received: task={task!r}"
        )
    _check_backend()
    task_module = importlib.import_module(f"keras_seqzoo.tasks.{task}")
    head_options, encoder_options = _share_options(card, builder, task_module, options)
    _check_sequence_length(sequence_length)
    if hasattr(data, "columns"):
        raise TypeError(
            "`data` must be a table, a stream or texts. Read a frame first: read_table(frame, "
            f"text=…, label=…). Received: data of type {type(data).__name__}"
        )
    if str(weights).endswith(".keras"):
        from keras_seqzoo.encoders.parts import saved_parts

        sizes = {k: v for k, v in encoder_options.items() if k not in head_options}
        if sizes or sequence_length:
            raise ValueError(
                "The encoder's size is that of the saved model. Leave its options out. "
                f"Received: sequence_length={sequence_length!r}, {sizes}"
            )
        parts = saved_parts(str(weights), card.name)
    else:
        for_task = {"task": task} if "task" in inspect.signature(builder).parameters else {}
        parts = builder(
            data,
            sequence_length=sequence_length,
            weights=weights,
            **{**card.options, **encoder_options, **card.fixed, **for_task},
        )
    parts.preprocessor.check_length()
    return task_module.build(parts, data, classes=classes, name=card.name, **head_options)


def check_options(name: str, options: Mapping[str, Any], task: str = "classify") -> None:
    """Raises a ValueError where `build_model(name, **options)` would, for names and flags.

    Other values are checked when the model is built.
    """
    card, builder = _find(name)
    _check_flags(builder, options)
    allowed = {*_options_of(builder), "sequence_length", "weights"} - set(card.fixed)
    if set(options) <= allowed:  # nothing heavy need be imported to see that
        return
    _check_backend()
    options = {k: v for k, v in options.items() if k not in ("sequence_length", "weights")}
    _share_options(card, builder, importlib.import_module(f"keras_seqzoo.tasks.{task}"), options)


def option_types(function: Callable[..., Any]) -> dict[str, set[str]]:
    """Returns the types that each argument of a function may have, such as `{"int", "None"}`.

    They are those of its annotation, or that of its default where it has no annotation.
    """
    found = {}
    for name, parameter in inspect.signature(function).parameters.items():
        kind = parameter.annotation
        if kind is parameter.empty:
            kind = type(parameter.default)
        text = kind if isinstance(kind, str) else inspect.formatannotation(kind)
        found[name] = {part.strip() for part in text.split("|")}
    return found


def encoder_option_types(name: str) -> dict[str, set[str]]:
    """Returns the types of the encoder's options of whatever `build_model` takes, by option."""
    return option_types(_find(name)[1])


def card_of(name: str) -> ModelCard:
    """Returns the card of whatever `build_model` takes; of a handle or folder it tells little."""
    return _find(name)[0]


def home_module(name: str) -> str:
    """Returns the module in which a model's builder is defined."""
    return _find(name)[1].__module__


def _share_options(
    card: ModelCard, builder: Builder, task_module: Any, options: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options of the task's head, and those of the encoder."""
    head = {k: options[k] for k in options if k in _options_of(task_module.build)}
    # An option of both, such as the dropout, is meant for both.
    allowed = [o for o in _options_of(builder) if o not in card.fixed]
    encoder = {k: options[k] for k in options if k in allowed or k not in head}
    _check_options(card.name, encoder, allowed, _options_of(task_module.build))
    _check_flags(builder, encoder)
    _check_flags(task_module.build, head)
    return head, encoder


def _check_flags(function: Callable[..., Any], options: Mapping[str, Any]) -> None:
    """Refuses what would pass for true, such as `"false"`, for an option that is a flag."""
    types = option_types(function)
    for name, value in options.items():
        kinds = types.get(name, set())
        is_none = value is None and "None" in kinds
        if "bool" not in kinds or is_none or isinstance(value, bool):
            continue
        if kinds <= {"bool", "None"}:
            check_flag(**{name: value})
        # Where lists do too, as for `calibrate`, a string would be one of letters; an option that
        # takes strings reads them itself.
        elif isinstance(value, (str, int, float)) and "str" not in kinds:
            raise ValueError(
                f"`{name}` must be True or False, or hold its values in a list. "
                f"Received: {name}={value!r}"
            )


def _find(name: str) -> tuple[ModelCard, Builder]:
    """The card and the builder of a model's name, or of what leads to a model."""
    _import_encoders()
    if name not in _cards:
        for matches, builder in _sources:
            if matches(name):
                return _card_of_source(name), builder
    card = model_card(name)
    return card, _builders[name]


def _card_of_source(source: str) -> ModelCard:
    from keras_seqzoo.hub.resolve import plain_handle

    source = plain_handle(source)
    parts = [part for part in source.split("/") if part] or [source]
    # The last part of a handle is its version: https://tfhub.dev/google/electra_small/2
    last = parts[-2] if parts[-1].isdecimal() and len(parts) > 1 else parts[-1]
    return ModelCard(
        name=re.sub(r"[^A-Za-z0-9_.-]", "_", last),
        family="given by its source",
        description="given by its source",
        parameters=0,
        size={},
        source=source,
        paper="",
        licence="",
        fixed={"source": source},
    )


def _import_encoders() -> None:
    from keras_seqzoo import encoders

    for module in pkgutil.iter_modules(encoders.__path__):
        if module.name != "parts":
            importlib.import_module(f"{encoders.__name__}.{module.name}")


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


def _options_of(builder: Callable[..., Any]) -> list[str]:
    reserved = {"sequence_length", "weights", "classes", "name", "task"}
    return [
        p.name
        for p in inspect.signature(builder).parameters.values()
        if p.kind is p.KEYWORD_ONLY and p.name not in reserved
    ]


def _check_options(
    name: str, options: Mapping[str, Any], allowed: Sequence[str], head: Sequence[str]
) -> None:
    unknown = [o for o in options if o not in allowed]
    if unknown:
        raise ValueError(
            f"{name!r} has no such option. {_suggest(unknown[0], [*allowed, *head])} "
            f"Received: {', '.join(f'{o}={options[o]!r}' for o in unknown)}"
        )


def _suggest(name: str, known: Sequence[str] | Mapping[str, Any]) -> str:
    names = sorted(set(known))
    close = get_close_matches(str(name), names, n=3, cutoff=0.5)
    if close:
        return f"Did you mean {' or '.join(repr(c) for c in close)}?"
    return f"Choose one of: {', '.join(names)}."
