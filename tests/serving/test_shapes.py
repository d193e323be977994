"""Whatever tensors a client sends, a signature answers or errs: no process ends by a signal."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import modules
import pytest
import tensorflow as tf

import keras_seqzoo as sz
from keras_seqzoo.serving.export import traced

SMALL = {"num_layers": 1, "num_heads": 1, "hidden_dim": 8, "intermediate_dim": 8}
SCRATCH = {"weights": None, "sequence_length": 16, "vocabulary_size": 300, **SMALL}


def models(table: Any, folder: Path) -> Iterator[tuple[str, Any]]:
    """Yields an untrained model of each kind of preprocessor, and of each task."""
    words = {"units": 4, "embedding_dim": 4}
    yield "words", sz.build_model("gru", table, **words)
    yield (
        "words_generate",
        sz.build_model("gru", list(table.texts), task="generate", max_length=8, **words),
    )
    yield "wordpiece_embed", sz.build_model("electra_small", table, task="embed", **SCRATCH)
    yield "pairs", sz.build_model("gpt2", table, **SCRATCH)
    language = sz.build_model("gpt2", list(table.texts), task="generate", **SCRATCH)
    yield "pairs_generate", language
    language.save(folder / "lm.keras")
    yield (
        "pairs_prompt",
        sz.build_model(
            "gpt2",
            table,
            task="prompt",
            weights=str(folder / "lm.keras"),
            template="{text} {label}",
        ),
    )
    yield "pieces", sz.build_model("deberta_v3_small", table, **SCRATCH)
    vocabulary = modules.write_vocabulary(folder)
    encoder = modules.write_encoder(folder / "encoder", vocabulary)
    odd = folder / "odd"
    tf.saved_model.save(modules.Preprocessor(vocabulary, odd=True), str(odd))
    yield "hub", sz.build_model(str(encoder), table, preprocessor=str(odd))


def save(model: Any, folder: Path) -> str:
    """Saves a model's signatures as an export does, without audit and warm-up."""
    module = tf.Module()
    signatures = traced(model, model.serving_functions())
    module.kept = [*(weight.value for weight in model.weights), *model.resources]
    tf.saved_model.save(module, str(folder), signatures=signatures)
    return str(folder)


def feed(*folders: str) -> list[list[str]]:
    """Asks in a process of its own; returns model, signature, way, case, expectation, outcome."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("feeder.py")), *folders],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stdout.splitlines()
    assert done.returncode == 0, f"{lines[-1:]}: {done.returncode}\n{done.stderr[-2000:]}"
    return [line.split("|") for line in lines]


def assert_answers(outcomes: list[list[str]]) -> None:
    """There are answers where there must be, and errors elsewhere where a shape is wrong."""
    assert [line for line in outcomes if line[4] != "any" and line[4] != line[5]] == []


def test_word_pieces_answer_or_err(tiny_table: Any, tmp_path: Path) -> None:
    """TensorFlow Text's tokenizer ends the process where it is given a scalar or a matrix."""
    model = sz.build_model("electra_small", tiny_table, **SCRATCH)
    outcomes = feed(save(model, tmp_path / "wordpiece"))
    assert {line[1] for line in outcomes} == {"serving_default", "classify", "tokens", "embed"}
    assert {line[2] for line in outcomes} == {"loaded", "session"}
    assert_answers(outcomes)


@pytest.mark.slow
def test_every_kind_and_task_answers_or_errs(tiny_table: Any, tmp_path: Path) -> None:
    kinds = dict(models(tiny_table, tmp_path))
    outcomes = feed(*(save(model, tmp_path / kind) for kind, model in kinds.items()))
    assert {line[0] for line in outcomes} == set(kinds)
    assert_answers(outcomes)
