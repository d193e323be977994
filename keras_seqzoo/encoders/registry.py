"""The registry of encoders: cards and builders by name, and builders for addresses and folders.

This module imports nothing heavy: naming, listing and describing models needs no TensorFlow.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from keras_seqzoo.options import Option, options_of

if TYPE_CHECKING:
    from keras_seqzoo.encoders.parts import EncoderParts

Builder = Callable[..., Any]
_B = TypeVar("_B", bound=Builder)

# Arguments of a builder that are not options of the user.
_CONTEXT = ("data", "task", "pair", "letters")


@dataclass(frozen=True)
class ModelCard:
    """What to know about a model before building it.

    Attributes:
        name: the name `build_model` takes.
        family: the architecture family, such as `"recurrent"`.
        description: the architecture, in one line.
        parameters: number of weights at the default size, including a head for two classes.
        size: the default size, option by option.
        source: where the weights come from.
        paper: the paper that introduced the architecture.
        licence: licence of the weights; for a model trained from scratch, that of its code.
        preprocessor: where the preprocessor of pretrained weights comes from.
        reads: names of the inputs that it is built for.
        options: defaults of options that differ for this name.
        fixed: arguments of `build` that define this model; users cannot set them.
        tiny: options of the smallest useful model, for tests and trials.
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
    reads: tuple[str, ...] = ("text", "pair")
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    fixed: Mapping[str, Any] = field(default_factory=dict, repr=False)
    tiny: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def as_dict(self) -> dict[str, Any]:
        """Returns the card as a plain dict, ready for JSON."""
        return {k: v for k, v in asdict(self).items() if k not in ("options", "fixed", "tiny")}


@dataclass(frozen=True)
class Registered:
    """A card with the dataclass or function that builds its encoder; see `register`."""

    card: ModelCard
    builder: Builder

    @property
    def options(self) -> dict[str, Option]:
        """The options that a user may set, with the defaults for this name."""
        own = {**self.card.size, **self.card.options}
        hidden = (*_CONTEXT, *self.card.fixed)
        return {
            name: replace(found, default=own[name], told="") if name in own else found
            for name, found in options_of(self.builder).items()
            if name not in hidden
        }

    def build(self, data: Any, options: Mapping[str, Any], **context: Any) -> EncoderParts:
        """Builds the encoder.

        Args:
            data: the training data.
            options: the options that the user set.
            **context: what the model is for; the builder receives the arguments it accepts.
        """
        given = {**self.card.options, **options}
        build = self.builder
        if isinstance(build, type):
            build, given = build(**given).build, {}
        takes = inspect.signature(build).parameters
        context = {name: value for name, value in context.items() if name in takes}
        return build(data, **given, **self.card.fixed, **context)


MODELS: dict[str, Registered] = {}
SOURCES: list[tuple[Callable[[str], bool], Builder]] = []


def register(*cards: ModelCard) -> Callable[[_B], _B]:
    """Registers the decorated encoder under the name of each card.

    An encoder is a frozen dataclass whose fields are its options, with `sequence_length` and
    `weights` among them. Its method `build(data, …)` returns
    `keras_seqzoo.encoders.parts.EncoderParts`. It receives the card's `fixed` by name, and `task`,
    `pair` and `letters` if it accepts them. A function
    `builder(data, *, sequence_length, weights, …)` works, too; its keywords are the options. A
    module of encoders must import Keras inside `build`, so that listing models stays cheap.

    Args:
        *cards: one card for each name.

    Raises:
        ValueError: a name is already registered.
    """

    def decorate(builder: _B) -> _B:
        for card in cards:
            if card.name in MODELS:
                raise ValueError(
                    f"A model name can be registered only once. Choose another name than "
                    f"{card.name!r}. Received: card={card!r}"
                )
            MODELS[card.name] = Registered(card, builder)
        return builder

    return decorate


def register_source(matches: Callable[[str], bool]) -> Callable[[_B], _B]:
    """Registers the decorated encoder for names from which a model is loaded.

    These are handles, addresses and folders. `register` describes how an encoder is built; this one
    also receives the name as `source`.

    Args:
        matches: whether a name is of this kind; it must be cheap.
    """

    def decorate(builder: _B) -> _B:
        SOURCES.append((matches, builder))
        return builder

    return decorate
