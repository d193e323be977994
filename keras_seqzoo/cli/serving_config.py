"""`keras-seqzoo serving-config`: TensorFlow Serving's files for the models of a folder."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from keras_seqzoo.cli import options as o
from keras_seqzoo.cli.console import say

if TYPE_CHECKING:
    from keras_seqzoo.serving.config import ServingConfig


def serving_config_command(
    saved_models: Annotated[
        Path, typer.Argument(help="Folder of the models, or of one model's versions.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="Folder of the files; SAVED_MODELS/serving by default.")
    ] = None,
    base_path: Annotated[
        str, typer.Option(help="Where the server sees the models: an absolute path or a URI.")
    ] = "/models",
    label: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODEL:LABEL=VERSION",
            help="Serve this version under a label, and no versions of the model without one.",
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(min=1, help="Cores the server may use; by default it counts the host's."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace files with other content.")
    ] = False,
    quiet: o.Quiet = False,
) -> None:
    """Write TensorFlow Serving's configuration; prints the command that starts the server.

    A batching.config or monitoring.config that is there is yours to tune, and is kept; --threads
    asks for a new batching.config.
    """
    from keras_seqzoo.serving.config import parse_labels, write_serving_config

    labels = parse_labels(label or [])
    written = write_serving_config(
        saved_models, out, base_path=base_path, labels=labels, threads=threads, force=force
    )
    for path, what in written.files.items():
        say(f"{what:10} {path}", quiet)
    for name, of_model in labels.items():
        if len(set(of_model.values())) > 1:
            say(
                f"{name}: requests that name neither a label nor a version are answered by version "
                f"{max(of_model.values())}, the latest that is loaded",
                quiet,
            )
    typer.echo(_command(written, saved_models, threads))


def _command(written: ServingConfig, saved_models: Path, threads: int | None) -> str:
    from keras_seqzoo.serving.config import IMAGE, server_flags

    out = next(iter(written.files)).parent.resolve()
    base = written.base_path.rstrip("/")
    here = all(Path(base, m.name).resolve() == m.folder.resolve() for m in written.models)
    if here or "://" in base:
        flags = ["--port=8500", "--rest_api_port=8501", *server_flags(str(out), threads)]
        return " \\\n    ".join(["tensorflow_model_server", *map(shlex.quote, flags)])
    one = written.models[0].folder == saved_models
    mounts = {
        f"{base}/{written.models[0].name}" if one else base: saved_models.resolve(),
        "/config": out,
    }
    lines = ["docker run --rm --init -p 127.0.0.1:8501:8501"]
    for target, source in mounts.items():
        mount = f"type=bind,source={source},target={target},readonly"
        lines.append(f"--mount {shlex.quote(mount)}")
    return " \\\n    ".join([*lines, IMAGE, *server_flags("/config", threads)])
