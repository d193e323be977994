"""`keras-seqzoo distill`: `train` with a teacher."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Annotated, Any

import typer

from keras_seqzoo.cli.train import train_command

Teacher = Annotated[
    Path,
    typer.Argument(help="A .keras file or export folder of the same task and names."),
]


def distill_command(**given: Any) -> None:
    """Train a model to answer a table's texts as another model does.

    The same as `train DATA --teacher TEACHER`, with all of its options.
    """
    train_command(**given)


_own = inspect.signature(train_command).parameters
_parameters = [
    _own["teacher"].replace(annotation=Teacher, default=inspect.Parameter.empty),
    *(parameter for name, parameter in _own.items() if name != "teacher"),
]
distill_command.__signature__ = inspect.Signature(_parameters)  # type: ignore[attr-defined]
distill_command.__annotations__ = {p.name: p.annotation for p in _parameters}
