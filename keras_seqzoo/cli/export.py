"""`keras-seqzoo export`: a `.keras` file to the next version of an export."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from keras_seqzoo.cli import options as o
from keras_seqzoo.cli.console import load_tensorflow, say
from keras_seqzoo.cli.inputs import read_lines
from keras_seqzoo.files import check_exists


def export_command(
    model: Annotated[Path, typer.Argument(help="A .keras file.")],
    directory: Annotated[Path, typer.Argument(help="Folder of the versions.")],
    version: Annotated[
        int | None, typer.Option(min=1, help="Version number; by default the next free one.")
    ] = None,
    warmup: Annotated[
        Path | None,
        typer.Option(
            help="File of texts for the warm-up requests, one on each line, or two separated by a "
            "tab for pairs; built-in texts by default."
        ),
    ] = None,
    optimize: Annotated[
        str | None,
        typer.Option(
            help="int8: a transformer multiplies whole numbers of 8 bits, up to twice as fast on "
            "x86 processors, with slightly other answers. The texts of --warmup, up to 256, "
            "should be like those that the server will get."
        ),
    ] = None,
    format: Annotated[
        str, typer.Option(help="saved_model, or onnx, openvino or litert for other runtimes.")
    ] = "saved_model",
    allow_changes: o.AllowChanges = False,
    trust: o.Trust = False,
    quiet: o.Quiet = False,
) -> None:
    """Export a model for TensorFlow Serving or another runtime; prints the new version's folder.

    Its model card has the test's figures where `train` has left them beside, as 1.json of 1.keras.
    """
    check_exists(model)
    if warmup is not None:
        check_exists(warmup)
    load_tensorflow()
    from keras_seqzoo.serving.export import export_model
    from keras_seqzoo.serving.versions import CARD
    from keras_seqzoo.tasks.keras_file import load_keras_file

    say(f"Exporting {model}, and asking it as a server will", quiet)
    loaded = load_keras_file(model, trust)
    if warmup is not None and "text" not in loaded.served_inputs:
        raise ValueError(
            "--warmup takes texts, and this model reads windows of numbers. Leave it out. "
            "Received: "
            f"--warmup {warmup}, a model of series"
        )
    texts = None if warmup is None else read_lines(warmup, loaded.pair)
    made = export_model(
        loaded,
        directory,
        version,
        warmup=texts,
        allow_changes=allow_changes,
        optimize=optimize,
        format=format,
        report=report_beside(model),
    )
    if optimize is not None:
        gained = json.loads((made / CARD).read_text("utf-8"))["optimized"]
        say(
            f"{gained['times_as_fast']} times as fast here; on {gained['texts']} texts no number "
            f"of an answer moved by more than {gained['largest_difference']:.2g}",
            quiet,
        )
    typer.echo(made)


def report_beside(model: Path) -> Any:
    """The test that `train` has written of a file; None where the file was saved anew since."""
    try:
        if model.with_suffix(".json").stat().st_mtime < model.stat().st_mtime:
            return None
        story = json.loads(model.with_suffix(".json").read_text("utf-8"))
    except (OSError, ValueError):
        return None
    test = story.get("test") if isinstance(story, dict) else None
    return test if isinstance(test, dict) else None
