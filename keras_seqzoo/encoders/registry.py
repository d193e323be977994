"""The registry of encoders: cards and builders by name, and those of what leads to a model.

Nothing heavy is imported here: naming, listing and describing models costs no TensorFlow.
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

# What a function that builds is given beside a user's options.
_CONTEXT = ("data", "task", "pair", "letters")


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
        reads: names of the inputs that it is built for.
        options: what this name changes in the defaults of its options.
        fixed: arguments of `build` that make this model what it is; no user sets them.
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
    reads: tuple[str, ...] = ("text", "pair")
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    fixed: Mapping[str, Any] = field(default_factory=dict, repr=False)
    tiny: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def as_dict(self) -> dict[str, Any]:
        """Returns the card as a plain dict, ready for JSON."""
        return {k: v for k, v in asdict(self).items() if k not in ("options", "fixed", "tiny")}


@dataclass(frozen=True)
class Registered:
    """A card, and the dataclass or function that builds its encoder; see `register`."""

    card: ModelCard
    builder: Builder

    @property
    def options(self) -> dict[str, Option]:
        """The options that a user may set, with the defaults of this name."""
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
            options: what the user gave.
            **context: what the model is for; the builder gets of it what it takes.
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

    It is a frozen dataclass whose fields are the options, `sequence_length` and `weights` among
    them, with a method `build(data, …)` that returns `keras_seqzoo.encoders.parts.EncoderParts`
    and is given the card's `fixed` by name, and `task`, `pair` and `letters` where it takes them.
    A function `builder(data, *, sequence_length, weights, …)` does too, its keywords being the
    options. A module that holds encoders must import Keras inside `build`, so that listing models
    stays cheap.

    Args:
        *cards: one card a name.

    Raises:
        ValueError: a name is registered already.
    """

    def decorate(builder: _B) -> _B:
        for card in cards:
            if card.name in MODELS:
                raise ValueError(
                    f"A model name can be registered once. Choose another name than "
                    f"{card.name!r}. Received: card={card!r}"
                )
            MODELS[card.name] = Registered(card, builder)
        return builder

    return decorate


def register_source(matches: Callable[[str], bool]) -> Callable[[_B], _B]:
    """Registers the decorated encoder for names that are no models but lead to one.

    Such are handles, addresses and folders. It is built as `register` tells, with the name as
    `source`.

    Args:
        matches: whether a name is of this kind; it must cost next to nothing.
    """

    def decorate(builder: _B) -> _B:
        SOURCES.append((matches, builder))
        return builder

    return decorate
