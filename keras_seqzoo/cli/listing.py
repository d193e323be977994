"""`keras-seqzoo list`: models, cards and options, without importing TensorFlow."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from keras_seqzoo import zoo
from keras_seqzoo.cli.console import results
from keras_seqzoo.cli.options import TARGET_OF_TASK
from keras_seqzoo.encoders.registry import MODELS, Builder
from keras_seqzoo.options import options_of
from keras_seqzoo.tasks import TASKS


def list_command(
    pattern: Annotated[
        str, typer.Argument(help="Names to list, such as 'bi*'; one name shows its options.")
    ] = "*",
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole cards as JSON.")] = False,
) -> None:
    """List the models."""
    cards = [zoo.model_card(name) for name in zoo.list_models(pattern)]
    if not cards:
        raise ValueError(
            f"No model has this name. The models are: {', '.join(zoo.list_models())}. "
            f"Received: {pattern!r}"
        )
    if as_json:
        typer.echo(json.dumps([card.as_dict() for card in cards], indent=2, ensure_ascii=False))
        return
    if len(cards) == 1:
        _print_one(cards[0])
        return
    from rich.table import Table

    table = Table("model", "parameters", "weights", "architecture", box=None)
    for column in table.columns[:3]:
        column.no_wrap = True
    table.columns[1].justify = "right"
    for card in sorted(cards, key=_order):
        table.add_row(card.name, f"{card.parameters:,}", _weights(card), card.description)
    results.print(table)
    others = [name for name in TASKS if name not in TARGET_OF_TASK]
    results.print(
        f"\ntasks: {', '.join(TARGET_OF_TASK)} (by what the table's labels are, or train --task); "
        f"in Python also {', '.join(others)}"
    )


def options_help() -> str:
    """What `--help` says of the options that models take, as an epilog: a paragraph a family."""
    families: dict[Builder, list[str]] = {}
    for name, model in MODELS.items():
        families.setdefault(model.builder, []).append(name)
    paragraphs = []
    for builder, names in families.items():
        more = f" and {len(names) - 4} more" if len(names) > 4 else ""
        told = [o.name + (o.shown and f" ({o.shown})") for o in options_of(builder).values()]
        paragraphs.append(f"Options of {', '.join(names[:4])}{more}: {', '.join(told)}.")
    return "\n\n".join([*paragraphs, "What they mean: keras-seqzoo list NAME."])


def _print_one(card: zoo.ModelCard) -> None:
    from rich.markup import escape
    from rich.table import Table

    results.print(
        f"{card.name}: {card.description}, {card.parameters:,} parameters\n"
        f"weights: {card.source} ({card.licence})\n{card.paper}\n",
        highlight=False,
    )
    table = Table("option", "default", "", box=None)
    table.columns[0].no_wrap = True
    # An option of both, such as the dropout, is meant for both.
    for option in {**zoo.head_options("classify"), **zoo.find_model(card.name).options}.values():
        table.add_row(option.name, escape(option.shown), escape(option.help))
    results.print(table)


def _weights(card: zoo.ModelCard) -> str:
    if "tfhub.dev" in card.source:
        return "TF Hub"
    return "KerasHub" if card.source.startswith("KerasHub") else "from scratch"


def _order(card: zoo.ModelCard) -> tuple[bool, str, int]:
    return (card.family != "recurrent", card.family, card.parameters)
