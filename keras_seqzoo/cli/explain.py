"""`keras-seqzoo explain`: which words of texts made a model say what it says."""

from __future__ import annotations

import json
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
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


@o.reads("label", "drop_duplicates", "task", "target", "label_separator", "stream")
def explain_command(
    model: Annotated[Path, typer.Argument(help="A .keras file or an export folder.")],
    reading: o.Reading,
    texts: i.Texts = None,
    source: i.Source = None,
    method: Annotated[
        str, typer.Option(help="'occlusion', 'shapley' or 'integrated_gradients'.")
    ] = "occlusion",
    target: Annotated[
        str | None,
        typer.Option(
            help="The class, label or number to explain; by default the likeliest, or the first "
            "number."
        ),
    ] = None,
    span: Annotated[
        str | None,
        typer.Option(
            metavar="START:END",
            help="The piece of one text to explain, by its characters, for a model that tags; or "
            "the answer in one context.",
        ),
    ] = None,
    unit: Annotated[
        str, typer.Option(help="'word', or 'token' for the model's own tokens.")
    ] = "word",
    samples: Annotated[int, typer.Option(help="Most random orders for 'shapley'.")] = 200,
    seed: Annotated[int, typer.Option(help="Random seed of the orders.")] = 0,
    counterfactual: Annotated[
        bool,
        typer.Option(
            "--counterfactual",
            help="Find the smallest deletion that changes the answer, or that of --target.",
        ),
    ] = False,
    change: Annotated[
        float | None,
        typer.Option(
            help="How far --counterfactual must move a number; a standard deviation by default."
        ),
    ] = None,
    global_view: Annotated[
        bool, typer.Option("--global", help="Print the words that push each answer instead.")
    ] = False,
    html: Annotated[Path | None, typer.Option(help="Also write an HTML page.")] = None,
    rows: Annotated[
        int | None,
        typer.Option(min=1, help="Most texts to explain, or number of last windows."),
    ] = None,
    output: Annotated[str, typer.Option("--format", help="'text', 'json' or 'csv'.")] = "text",
    batch_size: o.BatchSize = 256,
    trust: o.Trust = False,
    quiet: o.Quiet = False,
) -> None:
    """Explain a model's answers: which words of texts, or steps of series, speak for them."""
    if output not in _FORMATS:
        raise ValueError(f"--format must be one of {_FORMATS}. Received: {output!r}")
    if counterfactual and output == "csv":
        raise ValueError(
            "--counterfactual has no CSV output. Take --format json or text. "
            "Received: --counterfactual --format csv"
        )
    if change is not None and not counterfactual:
        raise ValueError(
            "--change works only with --counterfactual. Add that, or leave --change out. "
            f"Received: --change {change:g}"
        )
    place = None if span is None else _place(span)
    if html is not None:
        check_page_path(html)
    if i.reads_series(model):
        of_texts = {
            "--method": method != "occlusion",
            "--span": span is not None,
            "--unit": unit != "word",
            "--counterfactual": counterfactual,
            "--global": global_view,
            "--html": html is not None,
            "texts as arguments": bool(texts),
        }
        given = [name for name, is_given in of_texts.items() if is_given]
        if given:
            raise ValueError(
                "The model reads windows of a series, whose steps are explained by occlusion. Pass "
                "a file with --input, and leave out the options for texts. Received: "
                f"{', '.join(given)}"
            )
        _explain_series(model, source, reading, target, rows or 1, output, batch_size, trust)
        return
    blocks = i.read_blocks(texts, source, reading, quiet)
    check_model_path(model)
    load_tensorflow()
    from keras_seqzoo.explanation.counterfactual import counterfactual as smallest_deletion
    from keras_seqzoo.explanation.explain import explain
    from keras_seqzoo.serving.saved import load_predictor

    predictor = load_predictor(model, trust)
    read_of = i.for_model(blocks, predictor, texts, source, reading)
    asked = chain.from_iterable(block for block, _ in read_of)
    explanations = explain(
        predictor,
        list(islice(asked, rows)),
        method,
        target=target,
        span=place,
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
        _write_frame(explanations.global_view(), output, explanations[0].decimals + 1)
        return
    if output == "csv":
        _write_frame(explanations.to_frame(), output, explanations[0].decimals + 1)
        return
    for number, explanation in enumerate(explanations):
        deletion = None
        if counterfactual:
            deletion = smallest_deletion(
                predictor,
                explanation.pieces.whole,
                unit=unit,
                target=target,
                change=change,
                batch_size=batch_size,
            )
        if output == "json":
            answer = explanation.as_dict()
            if counterfactual:
                answer["counterfactual"] = None if deletion is None else deletion.as_dict()
            typer.echo(json.dumps(answer))
        else:
            _print_text(explanations, number, counterfactual, deletion)


def _place(span: str) -> tuple[int, int]:
    start, colon, end = span.partition(":")
    if not (colon and start.isdecimal() and end.isdecimal()):
        raise ValueError(
            "--span must be two whole numbers, the first character of a piece and the one after "
            f"its last, such as 13:21. Received: --span {span}"
        )
    return int(start), int(end)


def _explain_series(
    model: Path,
    source: str | None,
    reading: o.Reading,
    target: str | None,
    rows: int,
    output: str,
    batch_size: int,
    trust: bool,
) -> None:
    """Explains what is forecast from the last windows of a file."""
    load_tensorflow()
    import pandas as pd

    from keras_seqzoo.explanation.steps import explain_steps
    from keras_seqzoo.serving.saved import load_predictor

    predictor = load_predictor(model, trust)
    table = i.read_windows(reading, source or "-", predictor, asked=False)
    table = table.last_windows() if rows == 1 else table.take(np.arange(len(table))[-rows:])
    found = explain_steps(predictor, table, target, batch_size=batch_size)
    if output == "text":
        told = zip(table.keys, found, strict=True)
        typer.echo("\n\n".join(f"{key}, {e}".removeprefix(", ") for key, e in told))
        return
    frames = [e.to_frame().assign(target=e.target) for e in found]
    for frame, key, after in zip(frames, table.keys, table.times, strict=True):
        if any(table.keys):
            frame.insert(0, "key", key)
        frame.insert(0, "after", after)
    whole = pd.concat(frames, ignore_index=True)
    if output == "csv":
        typer.echo(whole.to_csv(index=False), nl=False)
    else:
        typer.echo(whole.to_json(orient="records", date_format="iso", double_precision=6))


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


def _write_frame(frame: Any, output: str, decimals: int) -> None:
    if output == "csv":
        typer.echo(frame.to_csv(index=False), nl=False)
    elif output == "json":
        typer.echo(frame.to_json(orient="records", force_ascii=False))
    elif frame.empty:
        typer.echo("No word pushes an answer.")
    else:
        typer.echo(frame.to_string(index=False, float_format=f"{{:+.{decimals}f}}".format))
