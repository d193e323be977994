"""`keras-seqzoo list`: the models and their cards, without importing TensorFlow."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from keras_seqzoo import zoo
from keras_seqzoo.cli.console import results


def list_command(
    pattern: Annotated[str, typer.Argument(help="Names to list, such as 'bi*'.")] = "*",
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole cards as JSON.")] = False,
) -> None:
    """List the models."""
    cards = [zoo.model_card(name) for name in zoo.list_models(pattern)]
    if not cards:
        raise ValueError(
            f"No model has such a name. There are: {', '.join(zoo.list_models())}. "
            f"Received: {pattern!r}"
        )
    if as_json:
        typer.echo(json.dumps([card.as_dict() for card in cards], indent=2, ensure_ascii=False))
        return
    from rich.table import Table

    table = Table("model", "parameters", "weights", "architecture", box=None)
    for column in table.columns[:3]:
        column.no_wrap = True
    table.columns[1].justify = "right"
    for card in sorted(cards, key=_order):
        table.add_row(card.name, f"{card.parameters:,}", _weights(card), card.description)
    results.print(table)


def _weights(card: zoo.ModelCard) -> str:
    if "tfhub.dev" in card.source:
        return "TF Hub"
    return "KerasHub" if card.source.startswith("KerasHub") else "from scratch"


def _order(card: zoo.ModelCard) -> tuple[bool, str, int]:
    return (card.family != "recurrent", card.family, card.parameters)
