"""Fixtures that all tests share. Nothing here needs the network."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import wrapt
from samples import NEGATIVE, POSITIVE

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")


@wrapt.when_imported("tensorflow")
def _two_cpus(tf: Any) -> None:
    """Two logical CPUs stand in for two GPUs; this must come before TensorFlow runs an op.

    Tests of tables, pages and clients import no TensorFlow, and need not wait for it.
    """
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
    )


ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"


@pytest.fixture(scope="session")
def shared() -> Callable[..., Path]:
    """Finds a part of the shared data beside the clone; skips the test where there is none."""

    def find(*parts: str) -> Path:
        path = SHARED.joinpath(*parts)
        if not path.exists():
            pytest.skip(f"needs {'/'.join(('../shared', *parts))} beside the clone")
        return path

    return find


@pytest.fixture
def registry() -> Iterator[None]:
    """What a test registers is gone after it."""
    from keras_seqzoo.encoders.registry import MODELS

    with mock.patch.dict(MODELS):
        yield


@pytest.fixture(scope="session")
def tiny_table() -> Any:
    """Sixteen short texts of two classes."""
    from keras_seqzoo import TextTable

    labels = ["positive"] * len(POSITIVE) + ["negative"] * len(NEGATIVE)
    return TextTable.from_texts(POSITIVE + NEGATIVE, labels)


@pytest.fixture(scope="session")
def tiny_model(tiny_table: Any) -> Any:
    """A small GRU that has learnt the tiny table."""
    import keras

    from keras_seqzoo import build_model

    keras.utils.set_random_seed(0)
    model = build_model("gru", tiny_table, units=8, embedding_dim=16, dropout=0.0)
    model.optimizer.learning_rate = 0.05
    model.fit(tiny_table, batch_size=8, epochs=30, verbose=0)
    return model


@pytest.fixture(scope="session")
def tiny_export(tiny_model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The version `reviews/1` of the small GRU; a test that changes it takes a copy."""
    from keras_seqzoo import export_model

    return export_model(tiny_model, tmp_path_factory.mktemp("tiny_export") / "reviews")


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny_table: Any) -> Any:
    """Every kind of model, trained once for all tests of all workers; see `trained.py`."""
    from trained import Artefacts

    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    folder = folder / "trained"
    folder.mkdir(exist_ok=True)
    return Artefacts(folder, tiny_table)


@pytest.fixture(scope="session")
def reviews_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small CSV with more rows than the tiny table, for the command line."""
    path = tmp_path_factory.mktemp("reviews") / "reviews.csv"
    rows = [f'"{text}, {i}",{label}' for i in range(5)
            for texts, label in ((POSITIVE, "positive"), (NEGATIVE, "negative"))
            for text in texts]  # fmt: skip
    path.write_text("review,sentiment\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return path
