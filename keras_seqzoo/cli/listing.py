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

    table = Table("model", "family", "architecture", "parameters", "weights", box=None)
    table.columns[3].justify = "right"
    for card in cards:
        table.add_row(card.name, card.family, card.description, f"{card.parameters:,}", card.source)
    results.print(table)
