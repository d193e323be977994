"""`log_model`: logs an exported model as an MLflow model, and its test figures as metrics."""

from __future__ import annotations

import importlib
import os
import tempfile
from contextlib import nullcontext
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd

from keras_seqzoo.serving.export import export_model
from keras_seqzoo.serving.readme import figures_of
from keras_seqzoo.serving.versions import SAVED_MODEL, find_version, read_card
from keras_seqzoo.tasks.model import TextModel


def log_model(
    model: TextModel | str | os.PathLike[str],
    name: str = "model",
    *,
    report: Any = None,
    **options: Any,
) -> Any:
    """Logs a model to MLflow, as a model that takes a frame and returns a frame.

    `mlflow.pyfunc.load_model(info.model_uri).predict(frame)` does not need this package. It needs
    TensorFlow, pandas, and TensorFlow Text if the model has its operations. The frame has the
    column `text`, for pairs also `text_pair`, or for series `values`, a window `(steps, columns)`
    as lists. The answers have the columns of the model's own `predict(as_frame=True)`; vectors and
    texts have those of its `serving_default`. Signature, input example and requirements are
    logged, too.

    Args:
        model: a model of `build_model`, which is exported first, or the folder of an export.
        name: name of the model in MLflow.
        report: the result of `evaluate`, or figures by name: they are logged as metrics of the run
            and of the model, with their 95 % intervals as `<name>_low` and `<name>_high`.
        **options: options of `mlflow.pyfunc.log_model`, such as `registered_model_name`.

    Returns:
        MLflow's `ModelInfo`. If no run is active, one is started and ended.

    Raises:
        FileNotFoundError: the folder has no export.
        ModuleNotFoundError: MLflow is missing.
        TypeError: `report` is not a report.
        ValueError: the export is in another format, or not of this package.
    """
    if find_spec("mlflow") is None:
        raise ModuleNotFoundError(
            'Models are logged by MLflow. Run pip install "keras-seqzoo[mlflow]". '
            "Received: log_model without the package mlflow",
            name="mlflow",
        )
    test = figures_of(report)
    with tempfile.TemporaryDirectory() as folder:
        if isinstance(model, TextModel):
            path = export_model(model, Path(folder) / name, report=report)
        else:
            path = find_version(Path(model))
        return _log(path, name, test, options)


def _log(path: Path, name: str, test: dict[str, Any] | None, options: dict[str, Any]) -> Any:
    import mlflow

    card = read_card(path)
    if card.get("format") != SAVED_MODEL or "example" not in card:
        raise ValueError(
            "The export must be a SavedModel of this version of keras_seqzoo. Export "
            "the model again, as one, or pass the model itself. "
            f"Received: {path} in the format {card.get('format', 'unknown')}"
        )
    code = importlib.import_module("keras_seqzoo.tracking.served")
    served = code.ServedModel()
    served.load(path)
    asked = pd.DataFrame(card["example"])
    packages = ["tensorflow", "pandas", "numpy"]
    packages += ["tensorflow-text"] * bool(card["serving"]["tensorflow_text_ops"])
    with nullcontext() if mlflow.active_run() else mlflow.start_run():
        info = mlflow.pyfunc.log_model(
            name=name,
            python_model=str(code.__file__),
            artifacts={"saved_model": str(path)},
            **{
                "signature": mlflow.models.infer_signature(asked, served.predict(None, asked)),
                "input_example": asked,
                "pip_requirements": [f"{package}=={version(package)}" for package in packages],
                **options,
            },
        )
        if test:
            metrics = dict(test["figures"])
            for figure, (low, high) in test["intervals"].items():
                metrics |= {f"{figure}_low": low, f"{figure}_high": high}
            mlflow.log_metrics(metrics, model_id=info.model_id)
    return info
