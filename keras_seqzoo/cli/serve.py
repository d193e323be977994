"""`keras-seqzoo serve`: a local server with TensorFlow Serving's REST interface."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from keras_seqzoo.cli.console import load_tensorflow, problem

if TYPE_CHECKING:
    from keras_seqzoo.serving.server.sources import Sources

LIMITS = "Limits"


def serve_command(
    directory: Annotated[
        Path | None,
        typer.Argument(help="Folder of models, or of one model's versions.", show_default=False),
    ] = None,
    model_config_file: Annotated[
        Path | None,
        typer.Option(help="TensorFlow Serving's models.config, in place of a folder."),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 picks a free one.")] = 8501,
    poll_seconds: Annotated[
        float, typer.Option(min=0.01, help="Seconds between checks for new versions.")
    ] = 1.0,
    max_body_mb: Annotated[
        float, typer.Option(min=0.001, help="Largest size of a request.", rich_help_panel=LIMITS)
    ] = 4.0,
    max_batch: Annotated[
        int, typer.Option(min=1, help="Most rows of a request.", rich_help_panel=LIMITS)
    ] = 1024,
    threads: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Requests answered at the same time, each on its share of the CPUs. As many as "
            "CPUs by default, and then each on all.",
            rich_help_panel=LIMITS,
        ),
    ] = None,
    max_queue: Annotated[
        int,
        typer.Option(min=0, help="Most requests that wait for a thread.", rich_help_panel=LIMITS),
    ] = 128,
    timeout: Annotated[
        float, typer.Option(min=0.001, help="Most seconds for a request.", rich_help_panel=LIMITS)
    ] = 30.0,
    playground: Annotated[bool, typer.Option(help="Show a page to try the models at /.")] = True,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Do not write a line for each request.")
    ] = False,
) -> None:
    """Serve exported models on this machine, for development and tests; Ctrl-C stops it.

    It answers as TensorFlow Serving does, which is what production should run.
    """
    for library in ("prometheus_client", "starlette", "uvicorn"):
        if find_spec(library) is None:
            raise ValueError(
                "The server needs libraries that are not installed. Run "
                f"pip install 'keras-seqzoo[server]'. Received: no {library}"
            )
    sources = _find_sources(directory, model_config_file)
    load_tensorflow()
    from keras_seqzoo.pages.playground import playground_page
    from keras_seqzoo.serving.server.app import Limits
    from keras_seqzoo.serving.server.run import serve
    from keras_seqzoo.serving.session import divide_cores

    limits = Limits(
        max_body_bytes=max(1, int(max_body_mb * 2**20)),
        max_batch=max_batch,
        threads=threads or os.cpu_count() or 1,
        max_queue=max_queue,
        timeout=timeout,
        parts=divide_cores(threads) if threads else 1,
    )
    origin = str(directory or model_config_file)
    page = playground_page() if playground else None
    log = None if quiet else _log
    serve(sources, origin, (host, port), limits, poll_seconds, problem, log, page)


def _find_sources(directory: Path | None, config: Path | None) -> Sources:
    from keras_seqzoo.serving.server.sources import in_config, in_folder

    if directory is not None and config is None:
        return in_folder(directory)
    if config is not None and directory is None:
        return in_config(config)
    raise ValueError(
        "Name a folder of models, or a models.config with --model-config-file, and not both. "
        f"Received: {directory} and {config}"
    )


def _log(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
