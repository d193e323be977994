"""How `export_model(optimize=…)` changes a model while its signatures are traced."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import tensorflow as tf

from keras_seqzoo.hub import int8
from keras_seqzoo.serving import warmup as warmup_requests
from keras_seqzoo.serving.versions import SAVED_MODEL
from keras_seqzoo.tasks.model import TextModel

OPTIMIZATIONS = ("int8",)
_MOST_TEXTS = 256
_CALLS = 5  # calls of each model, to measure the speed
_BATCH = 32


def check(model: TextModel, optimize: str | None, format: str) -> None:
    """Checks that a model can be optimized in this way in exports of a format.

    Raises:
        ValueError: it cannot, or `optimize` is unknown.
    """
    if optimize is None:
        return
    if optimize not in OPTIMIZATIONS:
        raise ValueError(
            f"`optimize` must be one of {OPTIMIZATIONS}, or left out. "
            f"Received: optimize={optimize!r}"
        )
    if format != SAVED_MODEL:
        raise ValueError(
            "Other runtimes quantise models with their own tools. Leave `optimize` "
            f"out, or `format`. Received: optimize={optimize!r}, format={format!r}"
        )
    if not int8.encoders(model.encoder):
        raise ValueError(
            "`optimize='int8'` takes transformers on this package's own graph: TF Hub's BERT and "
            "ELECTRA, and KerasHub's BERT, DistilBERT, ELECTRA and RoBERTa, without native=False. "
            f"Leave it out. Received: optimize='int8' with {model.name}"
        )


@contextmanager
def optimized(
    model: TextModel, optimize: str | None, texts: Any
) -> Iterator[dict[str, Any] | None]:
    """Optimizes a model in functions that are traced inside the context.

    Args:
        model: the model.
        optimize: a value that `check` accepts.
        texts: typical texts, as `predict` takes them; None or empty for the package's own.

    Yields:
        Entries for the model card: the number of `texts`, the `largest_difference` between numbers
        in the answers to them, and how many `times_as_fast` this machine answered.
    """
    if optimize is None:
        yield None
        return
    rows = warmup_requests.choose(texts or None, model.pair, _MOST_TEXTS)
    given = {name: tf.constant(values) for name, values in model.samples(rows).items()}
    before = _answering(model)
    with int8.eight_bits(model.encoder, model.read_served(given)):
        after = _answering(model)
        yield {
            "optimize": optimize,
            "texts": len(rows),
            "largest_difference": round(
                max(_difference(before(**part), after(**part)) for part in _batches(given)), 6
            ),
            "times_as_fast": round(_gain(before, after, given), 2),
        }


def _batches(given: Mapping[str, tf.Tensor]) -> list[dict[str, tf.Tensor]]:
    """Batches of 32 rows; as texts are sorted by length, each has texts of similar length."""
    count = len(next(iter(given.values())))
    return [{k: v[i : i + _BATCH] for k, v in given.items()} for i in range(0, count, _BATCH)]


def _answering(model: TextModel) -> Any:
    asked = model.serving_functions()["serving_default"]
    return tf.function(asked.function).get_concrete_function(**asked.inputs)


def _difference(before: Mapping[str, tf.Tensor], after: Mapping[str, tf.Tensor]) -> float:
    """The largest difference at the same place; outputs whose shape changed are left out."""
    return max(
        (
            float(tf.reduce_max(tf.abs(value - after[name])))
            for name, value in before.items()
            if value.dtype.is_floating and value.shape == after[name].shape and tf.size(value)
        ),
        default=0.0,
    )


def _gain(before: Any, after: Any, given: Mapping[str, tf.Tensor]) -> float:
    batches = _batches(given)
    asked = batches[len(batches) // 2]  # of middle length
    ratios = []
    for number in range(_CALLS + 1):
        times = []
        for function in (before, after):
            begun = time.perf_counter()
            function(**asked)
            times.append(time.perf_counter() - begun)
        if number:  # the first prepares
            ratios.append(times[0] / times[1])
    return statistics.median(ratios)
