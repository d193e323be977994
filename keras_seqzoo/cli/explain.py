"""`keras-seqzoo explain`: which words of texts made a classifier say what it says."""

from __future__ import annotations

import json
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from keras_seqzoo.cli import inputs as i
from keras_seqzoo.cli import options as o
from keras_seqzoo.cli.console import load_tensorflow, messages, results, say
from keras_seqzoo.files import check_page_path
from keras_seqzoo.serving.versions import check_model_path

if TYPE_CHECKING:
    from keras_seqzoo.explanation.counterfactual import Counterfactual
    from keras_seqzoo.explanation.explanations import Explanations

_FORMATS = ("csv", "json", "text")


def explain_command(
    model: Annotated[Path, typer.Argument(help="A .keras file or an export folder.")],
    texts: i.Texts = None,
    source: i.Source = None,
    method: Annotated[
        str, typer.Option(help="'occlusion', 'shapley' or 'integrated_gradients'.")
    ] = "occlusion",
    target: Annotated[
        str | None, typer.Option(help="The class to explain; by default the model's answer.")
    ] = None,
    unit: Annotated[str, typer.Option(help="'word', or 'token' for the model's own.")] = "word",
    samples: Annotated[int, typer.Option(help="Most random orders of 'shapley'.")] = 200,
    seed: Annotated[int, typer.Option(help="Of the random orders.")] = 0,
    counterfactual: Annotated[
        bool,
        typer.Option("--counterfactual", help="Find the smallest deletion that flips the answer."),
    ] = False,
    global_view: Annotated[
        bool, typer.Option("--global", help="Print the words that push each class instead.")
    ] = False,
    html: Annotated[Path | None, typer.Option(help="Write a page to look at, too.")] = None,
    rows: Annotated[int | None, typer.Option(min=1, help="Explain so many texts at most.")] = None,
    output: Annotated[str, typer.Option("--format", help="'text', 'json' or 'csv'.")] = "text",
    text: i.TextColumn = None,
    names: o.Names = None,
    separator: o.Separator = None,
    quoting: o.Quoting = None,
    encoding: o.Encoding = None,
    missing: o.Missing = "error",
    read: o.ReadOption = None,
    batch_size: o.BatchSize = 256,
    trust: o.Trust = False,
    quiet: o.Quiet = False,
) -> None:
    """Explain a classifier's answers: which words of texts speak for them, and which against."""
    if output not in _FORMATS:
        raise ValueError(f"--format must be one of {_FORMATS}. Received: {output!r}")
    if counterfactual and output == "csv":
        raise ValueError(
            "A deletion is no row of a table of words. Take --format json or text. "
            "Received: --counterfactual --format csv"
        )
    if html is not None:
        check_page_path(html)
    reading = o.Reading(text, None, names, separator, quoting, encoding, missing, further=read)
    blocks = i.read_blocks(texts, source, reading, quiet)
    check_model_path(model)
    strings = list(islice(chain.from_iterable(block for block, _ in blocks), rows))
    load_tensorflow()
    from keras_seqzoo.explanation.counterfactual import counterfactual as smallest_deletion
    from keras_seqzoo.explanation.explain import explain
    from keras_seqzoo.serving.saved import load_predictor

    classifier = load_predictor(model, trust)
    explanations = explain(
        classifier,
        strings,
        method,
        target=target,
        unit=unit,
        samples=samples,
        batch_size=batch_size,
        seed=seed,
        progress=not quiet and messages.is_terminal,
    )
    if html is not None:
        explanations.to_html(html)
        say(f"Wrote {html}", quiet)
    if global_view:
        _write_frame(explanations.global_view(), output)
        return
    if output == "csv":
        _write_frame(explanations.to_frame(), output)
        return
    for number, explanation in enumerate(explanations):
        deletion = None
        if counterfactual:
            deletion = smallest_deletion(
                classifier, explanation.text, unit=unit, batch_size=batch_size
            )
        if output == "json":
            answer = explanation.as_dict()
            if counterfactual:
                answer["counterfactual"] = None if deletion is None else deletion.as_dict()
            typer.echo(json.dumps(answer))
        else:
            _print_text(explanations, number, counterfactual, deletion)


def _print_text(
    explanations: Explanations, number: int, asked: bool, deletion: Counterfactual | None
) -> None:
    results.print(explanations[number])
    if asked:
        results.print(
            "No deletion changes the answer." if deletion is None else str(deletion), markup=False
        )
    if number + 1 < len(explanations):
        results.print()


def _write_frame(frame: Any, output: str) -> None:
    if output == "csv":
        typer.echo(frame.to_csv(index=False), nl=False)
    elif output == "json":
        typer.echo(frame.to_json(orient="records", force_ascii=False))
    elif frame.empty:
        typer.echo("No word pushes a class.")
    else:
        typer.echo(frame.to_string(index=False, float_format=lambda v: f"{v:+.4f}"))
