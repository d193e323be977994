"""`Comparison`: the results of `compare`, as a table, a recommendation, a report and models."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import escape

from keras_seqzoo.comparison.baselines import BASELINES
from keras_seqzoo.comparison.store import ModelRecord, Store
from keras_seqzoo.evaluation import choose
from keras_seqzoo.evaluation.leaderboard import leaderboard
from keras_seqzoo.evaluation.results import Results

_COSTS = {
    "parameters": "{:,.0f}", "training_s": "{:,.1f}", "size_mb": "{:,.1f}", "p50_ms": "{:,.2f}",
    "p95_ms": "{:,.2f}", "texts_per_s": "{:,.0f}", "memory_mb": "{:,.0f}",
}  # fmt: skip


class Comparison:
    """The results of `compare`. `print` it, or use its `table`.

    Args:
        folder: the folder of a comparison; it may be an earlier one.

    Attributes:
        folder: the folder of the comparison.
        results: all results, run by run.

    Raises:
        FileNotFoundError: the folder has no comparison.
        ValueError: its files are damaged.
    """

    def __init__(self, folder: str | os.PathLike[str]):
        self.folder = Path(folder)
        self._store = Store(self.folder)
        self.results: Results = self._store.results()

    @cached_property
    def table(self) -> pd.DataFrame:
        """A row for each model, the best in the task's first metric first; see `leaderboard`."""
        return leaderboard(self.results)

    @cached_property
    def differences(self) -> list[choose.Difference]:
        """Whether the kept run of each model differs from that of the next one in the table."""
        return choose.neighbours(self.results)

    def recommend(
        self,
        *,
        max_latency_ms: float | None = None,
        max_size_mb: float | None = None,
        max_memory_mb: float | None = None,
        metric: str | None = None,
    ) -> choose.Recommendation:
        """Chooses the model with the best metric among those within the limits.

        Args:
            max_latency_ms: limit on the 95th percentile of the time for one text or window.
            max_size_mb: limit on the size of the SavedModel on disk.
            max_memory_mb: limit on the peak memory.
            metric: one of `results.task.metrics`, for classes such as `"macro_f1"` or `"log_loss"`;
                the first of them if None.

        Returns:
            A `Recommendation`: `model` and `reason`.

        Raises:
            ValueError: an unknown metric, a limit that is not above 0, or no model within them.
        """
        return choose.recommend(
            self.results,
            max_latency_ms=max_latency_ms,
            max_size_mb=max_size_mb,
            max_memory_mb=max_memory_mb,
            metric=metric,
        )

    def pareto_front(self, cost: str = "p95_ms", metric: str | None = None) -> list[str]:
        """The models that no other model beats in both cost and metric, by rising cost.

        Args:
            cost: a column of the table in which less is better.
            metric: as in `recommend`.

        Raises:
            ValueError: an unknown metric.
        """
        return choose.pareto_front(self.table, cost, self.results.task.metric(metric))

    def load(self, label: str, trust: bool = False) -> Any:
        """Loads the model of the kept run, to use, explain, train further or export.

        Args:
            label: its name in the table.
            trust: whether its file may hold a TensorFlow graph, like a file of a model with an
                encoder of TF Hub. A graph is a program: pass True for a comparison of your own.

        Returns:
            A trained model as `build_model` makes it. For a baseline, one of
            `comparison.baselines.BASELINES`, fitted again to the training rows.

        Raises:
            ValueError: no such model, a model whose training failed, or a graph that is not
                trusted.
        """
        model = self._kept(label)
        if model["candidate"]["model"] in BASELINES:
            baseline = BASELINES[model["candidate"]["model"]]()
            baseline.fit(self._store.part("train"), self._store.part("valid"))
            return baseline
        from keras_seqzoo.tasks.keras_file import load_keras_file

        return load_keras_file(self.file(label), trust)

    def file(self, label: str) -> Path:
        """The `.keras` file that `load` loads.

        Raises:
            ValueError: no such model, a baseline, or a model whose training failed.
        """
        model = self._kept(label)
        entry = next(e for e in self.results.entries if e.label == label)
        if entry.is_baseline:
            raise ValueError(
                "Only trained models have a file. A baseline has none: `load` fits it again. "
                f"Received: label={label!r}"
            )
        return self._store.inside(f"models/{model['folder']}/seed-{entry.kept.seed}.keras")

    def saved_model(self, label: str) -> Path:
        """The folder with the versions of a model's SavedModel, as TensorFlow Serving takes it.

        Raises:
            ValueError: no such model, a baseline, or a model whose training failed.
        """
        for model in self._store.story()["last"]["models"]:
            path = self._store.inside(f"models/{model['folder']}/saved_model")
            if model["candidate"]["label"] == label and path.is_dir():
                return path
        raise ValueError(
            "Only trained models have a SavedModel, and baselines have none. Name a trained model. "
            f"Received: label={label!r}"
        )

    def _kept(self, label: str) -> dict[str, Any]:
        """The entry of a model in the story, if its trained model was kept."""
        models = self._store.story()["last"]["models"]
        found = [model for model in models if model["candidate"]["label"] == label]
        if not found:
            raise ValueError(
                f"`label` must be a model of the comparison: {list(self.table.index)}. "
                f"Received: label={label!r}"
            )
        if not ModelRecord(self._store.inside(f"models/{found[0]['folder']}")).facts():
            missing = str(self.table["missing"][label])
            raise ValueError(
                f"No trained model was kept: {missing}. Run `compare` again. "
                f"Received: label={label!r}"
            )
        return dict(found[0])

    def to_html(self, path: str | os.PathLike[str]) -> Path:
        """Writes the report as one self-contained HTML file; makes the folder if needed.

        Raises:
            OSError: the file cannot be written.
        """
        from keras_seqzoo.files import check_page_path
        from keras_seqzoo.pages.page import write_page

        check_page_path(path)
        Path(path).absolute().parent.mkdir(parents=True, exist_ok=True)
        return write_page(self.results, path)

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Writes `report.html`, and its contents as CSV, JSON and PNG.

        Raises:
            OSError: the folder cannot be written to.
        """
        from keras_seqzoo.pages.output import write_data, write_figures

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.to_html(folder / "report.html")
        write_data(self.results, folder)
        write_figures(self.results, folder)
        return folder

    def __str__(self) -> str:
        """The table in two parts, which models differ, and what is missing."""
        parts = [self._metrics().to_string(), self._costs().to_string()]
        parts.append("\n".join(self._notes()))
        return "\n\n".join(part for part in parts if part)

    def __repr__(self) -> str:
        return f"Comparison({str(self.folder)!r}, {len(self.results.entries)} models)"

    def _repr_html_(self) -> str:
        """The same for a notebook."""
        lines = "".join(f"<li>{escape(line)}</li>" for line in self._notes())
        tables = self._metrics().to_html() + self._costs().to_html()
        return f"{tables}<ul>{lines}</ul>"

    def _notes(self) -> list[str]:
        """Which models differ, and what is missing."""
        missing = self.table["missing"].items()
        return [
            *map(str, self.differences),
            *([choose.about_tests(self.results)] if self.differences else []),
            *choose.unbeaten(self.results),
            *(f"{label}: not complete, {reason}" for label, reason in missing if reason),
        ]

    def _metrics(self) -> pd.DataFrame:
        """The metrics of the task as text, with intervals for those that have one."""
        shown: dict[str, Any] = {}
        for metric in self.results.task.metrics:
            name = metric.name
            shown[name] = _texts(self.table[name], f"{{:z.{metric.decimals}f}}")
            if metric.interval:
                low, high = (
                    _texts(self.table[f"{name}_{end}"], "{:z.3f}") for end in ("low", "high")
                )
                shown[f"95 % {name}"] = low.where(low == "", low + " to " + high)
        return pd.DataFrame(shown)

    def _costs(self) -> pd.DataFrame:
        """The costs of the models, as text."""
        return pd.DataFrame({n: _texts(self.table[n], form) for n, form in _COSTS.items()})


def _texts(values: pd.Series, form: str) -> pd.Series:
    return values.map(lambda value: "" if pd.isna(value) else form.format(value))
