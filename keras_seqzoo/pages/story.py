"""The first sentences of the page: which model is best, how certain that is, and what it beats."""

from __future__ import annotations

import pandas as pd
from markupsafe import Markup

from keras_seqzoo.evaluation.choose import Difference, differences, unbeaten
from keras_seqzoo.evaluation.results import Results
from keras_seqzoo.pages.by_task import sections_of
from keras_seqzoo.pages.formats import (
    bold,
    gap,
    interval,
    is_worse,
    listed,
    metric_text,
    number,
    p_value,
)
from keras_seqzoo.pages.frames import best_baseline
from keras_seqzoo.tasks.base import Metric


def summary(results: Results, table: pd.DataFrame, tested: list[Difference]) -> list[Markup]:
    """Returns the sentences about the outcome.

    Args:
        results: the data of the page.
        table: their leaderboard.
        tested: `neighbours(results)`.
    """
    answering = [str(label) for label in table.index if label in results.reports]
    if not answering:
        return [Markup("No model has answers; the table says why.")]
    if len(results.entries) == 1:
        return sections_of(results.task).about_one(results, table, answering[0])
    metric = results.task.metric()
    sentences = [_best(table, answering, tested, metric), *_baseline(results, table, metric)]
    sentences += [Markup('<span class="losing">{}</span>').format(s) for s in unbeaten(results)]
    absent = [bold(entry.label) for entry in results.entries if not entry.runs]
    if absent:
        verb = "is" if len(absent) == 1 else "are"
        names = Markup(listed(absent))
        sentences.append(Markup("{} {} missing; the table says why.").format(names, verb))
    return sentences


def _best(
    table: pd.DataFrame, answering: list[str], tested: list[Difference], metric: Metric
) -> Markup:
    best, word = answering[0], "lowest" if metric.lower_is_better else "highest"
    score = number(table, best, metric.name)
    tied = [label for label in answering if number(table, label, metric.name) == score]
    if len(tied) > 1:
        names = Markup(listed([bold(label) for label in tied]))
        return Markup("{} have the {} {}, {} each.").format(
            names, word, metric.title, metric_text(metric, score)
        )
    start = Markup("{} has the {} {}, {}{}").format(
        bold(best), word, metric.title, metric_text(metric, score), interval(table, best, metric)
    )
    if not tested:
        return start + "."
    first = tested[0]
    second = Markup("{} ({})").format(
        bold(first.worse), metric_text(metric, number(table, first.worse, metric.name))
    )
    p = p_value(first.p_value)
    if not first.shown:
        end = Markup("; no difference to the next, {}, is shown ({}).").format(second, p)
    elif first.leader == best:
        end = Markup("; as trained, it {} the next, {} ({}).").format(first.beats, second, p)
    else:
        end = Markup("; yet the next, {}, as trained {} it ({}).").format(second, first.beats, p)
    return start + end


def _baseline(results: Results, table: pd.DataFrame, metric: Metric) -> list[Markup]:
    baseline = best_baseline(table)
    models = [
        str(label)
        for label in table.index
        if label in results.reports and not number(table, label, "baseline")
    ]
    if baseline is None:
        return []
    if not models:
        return [Markup("Only the baselines have answers.")]
    good, bad = ("below", "above") if metric.lower_is_better else ("above", "below")
    scores = table[metric.name].astype(float)
    limit = scores[baseline]
    below = [m for m in models if is_worse(metric, scores[m], limit)]
    best = models[0]
    distance = gap(metric, scores[best] - limit)
    if best in below:
        text = Markup('<span class="losing">{} is a baseline, and {} {} {}.</span>')
        if len(models) == 1:
            return [text.format(bold(baseline), bold(best) + " stays", distance, f"{bad} it")]
        closest = Markup("no model beats it: the closest, {}, stays").format(bold(best))
        return [text.format(bold(baseline), closest, distance, bad)]
    test = differences(results, [(best, baseline)])[0]
    sentence = Markup("{} is {} {} the best baseline, {} ({})").format(
        bold(best), distance, good, bold(baseline), metric_text(metric, limit)
    )
    if not test.shown:
        sentence += Markup(", but no difference to it is shown ({})").format(p_value(test.p_value))
    if below:
        names = Markup(listed([bold(m) for m in below]))
        verb = "stands" if len(below) == 1 else "stand"
        losing = Markup('; <span class="losing">{} {} {} that baseline</span>')
        sentence += losing.format(names, verb, bad)
    return [sentence + "."]
