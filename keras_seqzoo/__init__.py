"""keras_seqzoo: a zoo of text models for TensorFlow and Keras 3, from a table to TF Serving.

In the order in which data passes through:

1. `data`: `read_table` → labelled texts, split; `read_series` → windows of numbers in time;
   `data.inputs`: the inputs of a row, `data.targets`: the right answers.
2. `hub`: finds and opens modules of TF Hub and checkpoints.
3. `preprocessing`: text → ids, one graph for training, `predict` and serving.
4. `batches`: `make_dataset` → batches of ids, bucketed by length.
5. `decoding`, `layers`: parts of models; `training`: schedules, optimizers, `distribution`
   over devices and workers, `Recovery`.
6. `encoders`: ids → vectors, one file for each family.
7. `tasks`: vectors → answers, one file for each task; `metrics`: how good the answers are.
8. `zoo`: `list_models`, `model_card`, `build_model` = an encoder and a task; `estimator`:
   `TextEstimator`, the same for scikit-learn.
9. `serving`: `export_model` → a versioned SavedModel that takes text, and passed the `audit`;
   `ServingClient` sends requests to a server, `config` writes TensorFlow Serving's files, and
   `server` is a local one for development; `push_to_hub` and `from_hub` share models.
10. `tracking`: `log_model` → a model in MLflow.
11. `explanation`: `explain` → which words led to the answer; `counterfactual`.
12. `distillation`: `distill` → a small model that has learnt the answers of a large one.
13. `evaluation`: scores, leaderboard and choice; `summarise` → problems of the data.
14. `pages`: all these as one HTML file; `reports`: `evaluate` and its page; `decide`.
15. `comparison`: `compare` → several models trained and measured in the same way, and the best.
16. `cli`: the same functions as the `keras-seqzoo` command.

No layer imports from one further down the list (`lint-imports`, part of `make lint`).
Importing the package imports no TensorFlow; the first use of a model does.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from wrapt import register_post_import_hook

from keras_seqzoo.version import __version__
from keras_seqzoo.zoo import ModelCard, build_model, list_models, list_tasks, model_card, register

if TYPE_CHECKING:
    from keras_seqzoo.batches.pipeline import make_dataset
    from keras_seqzoo.comparison.compare import compare
    from keras_seqzoo.comparison.comparison import Comparison
    from keras_seqzoo.data.series import SeriesTable, read_series
    from keras_seqzoo.data.stream import TextStream
    from keras_seqzoo.data.table import TextTable, read_table, stream_table
    from keras_seqzoo.distillation.distill import distill
    from keras_seqzoo.estimator import TextEstimator
    from keras_seqzoo.evaluation.suspects import most_uncertain, suspects
    from keras_seqzoo.explanation.counterfactual import counterfactual
    from keras_seqzoo.explanation.explain import explain
    from keras_seqzoo.explanation.explanation import Explanation
    from keras_seqzoo.explanation.explanations import Explanations
    from keras_seqzoo.explanation.faithfulness import faithfulness
    from keras_seqzoo.explanation.steps import explain_steps
    from keras_seqzoo.reports.decide import decide
    from keras_seqzoo.reports.report import Report, evaluate
    from keras_seqzoo.serving.audit import audit
    from keras_seqzoo.serving.client import AsyncServingClient, ServingClient, ServingError
    from keras_seqzoo.serving.export import export_model
    from keras_seqzoo.serving.share import from_hub, push_to_hub
    from keras_seqzoo.tasks.embed import embed
    from keras_seqzoo.tracking.log import log_model
    from keras_seqzoo.training.callbacks import fit_settings
    from keras_seqzoo.training.recovery import Recovery
    from keras_seqzoo.training.strategy import distribution


_homes = {
    "SeriesTable": "data.series",
    "read_series": "data.series",
    "TextStream": "data.stream",
    "TextTable": "data.table",
    "read_table": "data.table",
    "stream_table": "data.table",
    "make_dataset": "batches.pipeline",
    "Comparison": "comparison.comparison",
    "compare": "comparison.compare",
    "distill": "distillation.distill",
    "TextEstimator": "estimator",
    "counterfactual": "explanation.counterfactual",
    "explain": "explanation.explain",
    "Explanation": "explanation.explanation",
    "Explanations": "explanation.explanations",
    "explain_steps": "explanation.steps",
    "faithfulness": "explanation.faithfulness",
    "most_uncertain": "evaluation.suspects",
    "suspects": "evaluation.suspects",
    "decide": "reports.decide",
    "Report": "reports.report",
    "evaluate": "reports.report",
    "fit_settings": "training.callbacks",
    "Recovery": "training.recovery",
    "distribution": "training.strategy",
    "audit": "serving.audit",
    "AsyncServingClient": "serving.client",
    "ServingClient": "serving.client",
    "ServingError": "serving.client",
    "export_model": "serving.export",
    "from_hub": "serving.share",
    "push_to_hub": "serving.share",
    "embed": "tasks.embed",
    "log_model": "tracking.log",
}

__all__ = [
    "AsyncServingClient",
    "Comparison",
    "Explanation",
    "Explanations",
    "ModelCard",
    "Recovery",
    "Report",
    "SeriesTable",
    "ServingClient",
    "ServingError",
    "TextEstimator",
    "TextStream",
    "TextTable",
    "__version__",
    "audit",
    "build_model",
    "compare",
    "counterfactual",
    "decide",
    "distill",
    "distribution",
    "embed",
    "evaluate",
    "explain",
    "explain_steps",
    "export_model",
    "faithfulness",
    "fit_settings",
    "from_hub",
    "list_models",
    "list_tasks",
    "log_model",
    "make_dataset",
    "model_card",
    "most_uncertain",
    "push_to_hub",
    "read_series",
    "read_table",
    "register",
    "stream_table",
    "suspects",
]


def __getattr__(name: str) -> Any:
    if name not in _homes:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_homes[name]}"), name)


def __dir__() -> list[str]:
    return __all__


# Modules of classes that a `.keras` file may name, besides those of the tasks.
_CLASSES = (
    "hub.backbone",
    "hub.encoder",
    "hub.transformer",
    "layers.answers",
    "layers.excerpts",
    "layers.labels",
    "layers.losses",
    "layers.pairs",
    "layers.pooling",
    "layers.recurrent",
    "layers.tags",
    "layers.temperature",
    "layers.thresholds",
    "layers.wide",
    "preprocessing.bytepair",
    "preprocessing.hub",
    "preprocessing.placed",
    "preprocessing.prompt",
    "preprocessing.sentencepiece",
    "preprocessing.windows",
    "preprocessing.wordpiece",
    "preprocessing.words",
    "tasks.few_shot",
    "tasks.head",
    "tasks.series",
    "training.optimizers",
)


def _register_classes(keras: Any) -> None:
    """Makes the package's layers known to `keras.models.load_model`, which finds them by name."""
    if keras.config.backend() == "tensorflow":
        for task in list_tasks():
            importlib.import_module(f"{__name__}.tasks.{task}")
        for module in _CLASSES:
            importlib.import_module(f"{__name__}.{module}")


# Runs only if something imports Keras, so that listing models stays cheap.
register_post_import_hook(_register_classes, "keras")
