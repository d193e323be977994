"""The command's entry point: its subcommands, and what becomes of errors."""

from __future__ import annotations

import sys
from types import TracebackType

import typer

from keras_seqzoo.cli import (
    audit,
    check,
    compare,
    decide,
    distill,
    evaluate,
    explain,
    export,
    generate,
    launch,
    listing,
    predict,
    serve,
    serving_config,
    train,
)
from keras_seqzoo.cli.command import Command
from keras_seqzoo.cli.console import problem
from keras_seqzoo.version import __version__

INTERRUPTED = 130

app = typer.Typer(
    name="keras-seqzoo",
    help="Models of texts and series for TensorFlow and Keras 3: from a table to TF Serving.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("list", cls=Command)(listing.list_command)
app.command("check", cls=Command)(check.check_command)
app.command("train", cls=Command, epilog=listing.options_help())(train.train_command)
app.command("distill", cls=Command, epilog=listing.options_help())(distill.distill_command)
app.command("launch", cls=Command, context_settings={"ignore_unknown_options": True})(
    launch.launch_command
)
app.command("evaluate", cls=Command)(evaluate.evaluate_command)
app.command("decide", cls=Command)(decide.decide_command)
app.command("compare", cls=Command)(compare.compare_command)
app.command("explain", cls=Command)(explain.explain_command)
app.command("predict", cls=Command)(predict.predict_command)
app.command("generate", cls=Command)(generate.generate_command)
app.command("export", cls=Command)(export.export_command)
app.command("audit", cls=Command)(audit.audit_command)
app.command("serving-config", cls=Command)(serving_config.serving_config_command)
app.command("serve", cls=Command)(serve.serve_command)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Print the version."
    ),
) -> None:
    pass


def main() -> None:
    """Runs the command.

    Exit codes: 0 done, 2 bad input or wrong usage, 130 interrupted, 175 stopped but to be resumed
    (after SIGTERM, or where a worker was lost or did not come), 1 an error of our own.
    """
    sys.excepthook = _report_defect
    try:
        # Calling `app` itself would put Typer's excepthook in the place of ours.
        typer.main.get_command(app)()
    except KeyboardInterrupt:
        problem("Interrupted.")
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # The reader of a pipe, such as `head`, has had enough.
        sys.stderr.close()
        sys.exit(0)


def _report_defect(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    problem(
        f"This should not have happened: {kind.__name__}: {error}\n"
        "Please report it, with the command and this line: "
        f"{_last_line(traceback)}"
    )


def _last_line(traceback: TracebackType | None) -> str:
    if traceback is None:
        return "(no line known)"
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return f"{traceback.tb_frame.f_code.co_filename}:{traceback.tb_lineno}"
