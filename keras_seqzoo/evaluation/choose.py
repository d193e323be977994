"""Which model to take: tests of differences, the Pareto front, a choice within limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np
import pandas as pd

from keras_seqzoo.evaluation.leaderboard import leaderboard
from keras_seqzoo.evaluation.results import Results
from keras_seqzoo.metrics.statistics import holm, paired_tests
from keras_seqzoo.tasks.base import Metric

LEVEL = 0.05


def about_tests(results: Results) -> str:
    """Describes the test behind the p values of a comparison."""
    return (
        f"p: {results.paired_test} of two trained models on these test rows, corrected by Holm for "
        "all pairs. One training is no sample of trainings: what another would give is not tested."
    )


@dataclass(frozen=True)
class Difference:
    """Whether the kept runs of two models differ in how good their answers are.

    The test is about these two sets of weights on these test rows. Another training of either
    model may differ; only the ranges over several seeds hint at that.

    Attributes:
        better: the model that is higher in the table.
        worse: the other model.
        difference: `metric` of the first less that of the second, of their kept runs.
        p_value: p value of the task's paired test (for classes, the exact McNemar test; else
            `metrics.statistics.paired_tests`), corrected for the number of all pairs of models
            with answers (Holm), whichever pairs you look at.
        shown: whether `p_value` is below 0.05.
        ranges: lowest and highest `metric` over the runs of the first, and of the second.
        metric: the figure whose rows are compared, such as `"accuracy"`.
        leader: the model whose answers are better over the rows.
        beats: the words for its lead, if that is shown.
    """

    better: str
    worse: str
    difference: float
    p_value: float
    shown: bool
    ranges: tuple[tuple[float, float], tuple[float, float]]
    metric: str
    leader: str
    beats: str

    def __str__(self) -> str:
        figures = f"{self.metric} of the kept runs {self.difference:+.4f}, p = {self.p_value:.2g}"
        if any(low < high for low, high in self.ranges):
            first, second = (f"{low:.4f} to {high:.4f}" for low, high in self.ranges)
            figures += f"; of all runs {first}, and {second}"
        if not self.shown:
            return f"{self.better} and {self.worse}: no difference shown ({figures})"
        other = self.worse if self.leader == self.better else self.better
        return f"{self.leader} {self.beats} {other}, as trained ({figures})"


@dataclass(frozen=True)
class Recommendation:
    """A recommended model, and the reason.

    Attributes:
        model: its label.
        reason: the reason in one or two sentences.
    """

    model: str
    reason: str

    def __str__(self) -> str:
        return f"{self.model}: {self.reason}"


def neighbours(results: Results) -> list[Difference]:
    """Tests each model of the table against the next one below it.

    Returns:
        A `Difference` for each pair, in the order of the table.
    """
    ranked = [label for label in leaderboard(results).index if label in results.reports]
    return differences(results, list(pairwise(ranked)))


def differences(results: Results, pairs: Sequence[tuple[str, str]]) -> list[Difference]:
    """Tests pairs of models; the p value of a pair does not depend on the other pairs given."""
    task = results.task
    kept = {label: results.report(label) for label in results.reports}
    scores = {k: r.task.row_scores(results.labels, r.outputs) for k, r in kept.items()}
    every = list(combinations(scores, 2))
    corrected = holm(paired_tests([scores[a] - scores[b] for a, b in every], blocks=results.blocks))
    p_values = dict(zip(map(frozenset, every), map(float, corrected), strict=True))
    metric = task.compared or task.metric().name
    figures = {k: [report.figures[metric] for report in v] for k, v in results.reports.items()}
    ranges = {k: (min(v), max(v)) for k, v in figures.items()}
    return [
        Difference(
            a,
            b,
            kept[a].figures[metric] - kept[b].figures[metric],
            p := p_values[frozenset((a, b))],
            p < LEVEL,
            (ranges[a], ranges[b]),
            metric,
            a if scores[a].mean() >= scores[b].mean() else b,
            task.beats,
        )
        for a, b in pairs
    ]


def unbeaten(results: Results) -> list[str]:
    """Lists the models that are not shown to beat the task's simplest baseline, `Task.must_beat`.

    Returns:
        A sentence for each, in the order of the table; none if the task has no such baseline.
    """
    if not (free := results.task.must_beat):
        return []
    ranked = [label for label in leaderboard(results).index if label in results.reports]
    models = [e.label for e in results.entries if e.label in ranked and not e.is_baseline]
    if free not in ranked:
        return []
    found = []
    metric = results.task.metric()
    for d in differences(results, [(m, free) for m in ranked if m in models]):
        ours, its = (results.mean(label, metric.name) for label in (d.better, free))
        figures = f"{metric.title} {ours:.{metric.decimals - 1}f} and {its:.{metric.decimals - 1}f}"
        if (ours >= its) if metric.lower_is_better else (ours <= its):
            found.append(f"{d.better} does not beat {free}, which costs nothing ({figures}).")
        elif not (d.shown and d.leader == d.better):
            found.append(
                f"{d.better} is not shown to beat {free} ({figures}, p = {d.p_value:.2g})."
            )
    return found


def pareto_front(table: pd.DataFrame, cost: str, metric: Metric) -> list[str]:
    """The models that no other model beats in both cost and metric.

    Args:
        table: a table from `leaderboard`.
        cost: a column in which less is better.
        metric: a metric of the task.

    Returns:
        Labels, by rising cost. Models without a known cost or metric are left out.
    """
    sign = 1 if metric.lower_is_better else -1
    known = table[[cost, metric.name]].dropna().astype(float)
    known["loss"] = sign * known[metric.name]
    front, best = [], np.inf
    for label, row in known.sort_values([cost, "loss"], kind="stable").iterrows():
        if row["loss"] < best:
            front.append(str(label))
            best = row["loss"]
    return front


def recommend(
    results: Results,
    *,
    max_latency_ms: float | None = None,
    max_size_mb: float | None = None,
    max_memory_mb: float | None = None,
    metric: str | None = None,
) -> Recommendation:
    """Chooses the model with the best metric among those within the limits.

    Args:
        results: the comparison.
        max_latency_ms: limit on the 95th percentile of the time for one text or window.
        max_size_mb: limit on the size of the export on disk.
        max_memory_mb: limit on the peak memory.
        metric: a metric of the task; its first if None.

    Raises:
        ValueError: an unknown metric, a limit that is not above 0, or no model within the limits.
    """
    by = results.task.metric(metric)
    metric = by.name
    limits = {
        "p95_ms": ("max_latency_ms", max_latency_ms, "ms"),
        "size_mb": ("max_size_mb", max_size_mb, "MB"),
        "memory_mb": ("max_memory_mb", max_memory_mb, "MB of memory"),
    }
    given = {c: (name, v, unit) for c, (name, v, unit) in limits.items() if v is not None}
    for name, limit, _ in given.values():
        if not isinstance(limit, (int, float)) or not limit > 0:
            raise ValueError(f"`{name}` must be a number above 0. Received: {name}={limit!r}")
    table = leaderboard(results)
    table = table[table[metric].notna()]
    fitting = table
    for column, (_, limit, _) in given.items():
        fitting = fitting[fitting[column].astype(float) <= limit]
    if fitting.empty:
        _raise_none_fits(table, given)
    by_metric = fitting.sort_values(metric, ascending=by.lower_is_better, kind="stable")
    best = str(by_metric.index[0])
    value = float(by_metric[metric].iloc[0])
    bounds = "within " + " and ".join(
        f"{_figure(limit)} {unit}" for _, limit, unit in given.values()
    )
    if len(by_metric) == 1:
        reason = f"the only one {bounds if given else 'there is'}, {metric} {value:.3f}"
    else:
        word = "lowest" if by.lower_is_better else "highest"
        among = f"of the {len(fitting)} {bounds}" if given else f"of {len(fitting)}"
        reason = f"the {word} {metric} {among}, {value:.3f}"
    if not by_metric["baseline"].iloc[0]:
        runs = int(by_metric["runs"].iloc[0])
        reason += ", in one training" if runs == 1 else f", the mean of {runs} trainings"
    known = by_metric[list(limits)].iloc[0].astype(float).dropna()
    figures = ", ".join(f"{_figure(known[c])} {limits[c][2]}" for c in known.index)
    reason += f" ({figures})." if figures else "."
    return Recommendation(best, reason + _cheaper(results, fitting, best) + _hint(results, best))


def _raise_none_fits(table: pd.DataFrame, given: Mapping[str, tuple[str, float, str]]) -> None:
    if table.empty:
        raise ValueError(
            "No model has answers to choose by. See the column `missing` of the table. "
            "Received: 0 models"
        )
    least = {column: table[column].astype(float).min() for column in given}
    raise ValueError(
        "No model is within these limits. The least that one has: "
        + ", ".join(f"{column} {_figure(value)}" for column, value in least.items())
        + f". Raise a limit. Received: {', '.join(f'{n}={v!r}' for n, v, _ in given.values())}"
    )


def _cheaper(results: Results, fitting: pd.DataFrame, best: str) -> str:
    """Names the fastest model not shown to be worse, if it is at least twice as fast.

    It never names a model that gives all rows the same answer, even if few test rows show no
    difference.
    """
    times = fitting["p95_ms"].astype(float)
    others = [
        str(other)
        for other in fitting.index[times * 2 <= times[best]]
        if results.task.only_answer(results.report(str(other))) is None
    ]
    tested = differences(results, [(best, other) for other in others])
    equal = [d for d in tested if not (d.shown and d.leader == best)]
    if not equal:
        return ""
    found = min(equal, key=lambda d: times[d.worse])
    return (
        f" {found.worse} takes {_figure(times[found.worse])} ms, and as trained is not shown to "
        f"{results.task.is_worse} ({results.paired_test}, p = {found.p_value:.2g})."
    )


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _hint(results: Results, best: str) -> str:
    entry = next(e for e in results.entries if e.label == best)
    return " It is a baseline: no SavedModel." if entry.is_baseline else ""
