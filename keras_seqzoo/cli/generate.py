"""`keras-seqzoo generate`: a language model writes on from prompts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from keras_seqzoo.cli.console import load_tensorflow
from keras_seqzoo.files import check_exists


def generate_command(
    model: Annotated[Path, typer.Argument(help="A .keras file of the task 'generate'.")],
    prompts: Annotated[list[str], typer.Argument(help="Texts to write on from.")],
    max_length: Annotated[
        int | None, typer.Option(min=1, help="Most tokens, the prompt's included.")
    ] = None,
    sampler: Annotated[
        str | None,
        typer.Option(help="'greedy', 'top_k', 'top_p', 'beam', 'contrastive' or 'random'."),
    ] = None,
    temperature: Annotated[
        float | None, typer.Option(help="Below 1 more sure, above 1 more daring.")
    ] = None,
    stop: Annotated[
        list[str] | None, typer.Option(help="A string before which the text ends.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Makes the draws repeatable.")] = None,
) -> None:
    """Write on from prompts with a language model; prints a text for each."""
    check_exists(model)
    load_tensorflow()
    from keras_seqzoo.tasks.generate import TextGenerator
    from keras_seqzoo.tasks.keras_file import load_keras_file

    loaded = load_keras_file(model)
    if not isinstance(loaded, TextGenerator):
        raise ValueError(
            "The file must hold a language model, built with task='generate'. "
            f"Received: {model} with a {type(loaded).__name__}"
        )
    for text in loaded.generate(
        prompts,
        max_length=max_length,
        sampler=sampler,
        temperature=temperature,
        seed=seed,
        stop=stop or (),
    ):
        typer.echo(text)
