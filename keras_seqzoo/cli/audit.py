"""`keras-seqzoo audit`: would TensorFlow Serving serve this SavedModel?"""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from keras_seqzoo.cli.console import load_tensorflow, results
from keras_seqzoo.serving.versions import describe_card, find_version, read_card

if TYPE_CHECKING:
    from keras_seqzoo.serving.audit import Audit


class Format(StrEnum):
    """How the findings are written."""

    text = "text"
    json = "json"


def audit_command(
    path: Annotated[Path, typer.Argument(help="A version, or the folder of the versions.")],
    output: Annotated[Format, typer.Option("--format", help="How the findings are written.")] = (
        Format.text
    ),
) -> None:
    """Look a SavedModel over, load it as a server does, ask it; exit code 2 where it would fail."""
    version = find_version(path)
    load_tensorflow()
    from keras_seqzoo.serving.audit import audit

    found = audit(version)
    if output is Format.json:
        typer.echo(json.dumps(found.as_dict(), indent=2))
    else:
        _print(found)
    if not found.passed:
        raise typer.Exit(2)


def _print(found: Audit) -> None:
    results.print(str(found.path), style="bold")
    if card := read_card(found.path):
        results.print(describe_card(card), markup=False)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title in ("signature", "API", "takes", "gives"):
        table.add_column(title, overflow="fold")
    for name, signature in found.signatures.items():
        api = signature.method.rpartition("/")[2]
        table.add_row(name, api, _listed(signature.inputs), _listed(signature.outputs))
    if found.signatures:
        results.print(table)
    if found.sizes:
        sizes = ", ".join(f"{kind} {_bytes(size)}" for kind, size in found.sizes.items())
        results.print(f"sizes        {sizes}")
    results.print(f"variables    {found.variables}, {found.parameters:,} numbers")
    text = f", {len(found.text_ops)} of them TensorFlow Text's" if found.text_ops else ""
    results.print(f"ops          {found.ops} kinds{text}")
    results.print(f"warm-up      {found.warmup_requests} requests")
    for note in found.notes:
        results.print(f"note         {note}", markup=False)
    for problem in found.problems:
        results.print(f"problem      {problem}", style="bold red", markup=False)
    results.print(f"serving      {found.verdict}", style="green" if found.passed else "bold red")


def _listed(tensors: Mapping[str, str]) -> str:
    return "\n".join(f"{name}: {what}" for name, what in tensors.items())


def _bytes(size: float) -> str:
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
