"""The first sentences of the page: which model is best, how sure that is, and what it beats."""

from __future__ import annotations

import numpy as np
import pandas as pd
from markupsafe import Markup

from keras_seqzoo.evaluation.choose import Difference, differences
from keras_seqzoo.evaluation.results import Results
from keras_seqzoo.pages.files import best_baseline
from keras_seqzoo.pages.formats import count, listed, number, p_value, points
from keras_seqzoo.pages.frames import frequent_confusions

_MOST_TIED = 3


def summary(results: Results, table: pd.DataFrame, tested: list[Difference]) -> list[Markup]:
    """Returns the sentences that tell the outcome.

    Args:
        results: what the page is made of.
        table: their leaderboard.
        tested: `neighbours(results)`.
    """
    answering = [str(label) for label in table.index if label in results.reports]
    if not answering:
        return [Markup("No model has answers; the table says why.")]
    if len(results.entries) == 1:
        return _of_one(results, table)
    sentences = [_best(table, answering, tested), *_baseline(results, table)]
    absent = [_name(entry.label) for entry in results.entries if not entry.runs]
    if absent:
        verb = "is" if len(absent) == 1 else "are"
        names = Markup(listed(absent))
        sentences.append(Markup("{} {} missing; the table says why.").format(names, verb))
    return sentences


def _name(label: str) -> Markup:
    return Markup("<bdi><b>{}</b></bdi>").format(label)


def _best(table: pd.DataFrame, answering: list[str], tested: list[Difference]) -> Markup:
    best = answering[0]
    score = number(table, best, "macro_f1")
    tied = [label for label in answering if number(table, label, "macro_f1") == score]
    if len(tied) > 1:
        names = Markup(listed([_name(label) for label in tied]))
        return Markup("{} have the highest macro-F1, {:.3f} each.").format(names, score)
    start = Markup("{} has the highest macro-F1, {:.3f}{}").format(
        _name(best), score, _interval(table, best, "macro_f1")
    )
    if not tested:
        return start + "."
    first = tested[0]
    second = Markup("{} ({:.3f})").format(
        _name(first.worse), number(table, first.worse, "macro_f1")
    )
    p = p_value(first.p_value)
    if not first.shown:
        end = Markup("; no difference to the next, {}, is shown ({}).").format(second, p)
    elif first.difference > 0:
        end = Markup("; as trained, it is right more often than the next, {} ({}).").format(
            second, p
        )
    else:
        end = Markup("; yet the next, {}, as trained is right more often ({}).").format(second, p)
    return start + end


def _interval(table: pd.DataFrame, label: str, metric: str) -> Markup:
    low, high = (number(table, label, f"{metric}{end}") for end in ("_low", "_high"))
    if not np.isfinite(low):
        return Markup("")
    return Markup(" (95&nbsp;% interval {:.3f} to {:.3f})").format(low, high)


def _baseline(results: Results, table: pd.DataFrame) -> list[Markup]:
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
    limit = number(table, baseline, "macro_f1")
    below = [m for m in models if number(table, m, "macro_f1") < limit]
    if models[0] in below:
        gap = points(limit - number(table, models[0], "macro_f1")).lstrip("+")
        text = Markup(
            '<span class="losing">{} is a baseline, and {} {} points of macro-F1 {}.</span>'
        )
        if len(models) == 1:
            return [text.format(_name(baseline), _name(models[0]) + " stays", gap, "below it")]
        closest = Markup("no model beats it: the closest, {}, stays").format(_name(models[0]))
        return [text.format(_name(baseline), closest, gap, "below")]
    best = models[0]
    test = differences(results, [(best, baseline)])[0]
    gain = points(number(table, best, "macro_f1") - limit).lstrip("+")
    sentence = Markup("{} is {} points of macro-F1 above the best baseline, {} ({:.3f})").format(
        _name(best), gain, _name(baseline), limit
    )
    if not test.shown:
        sentence += Markup(", but no difference to it is shown ({})").format(p_value(test.p_value))
    if below:
        names = Markup(listed([_name(m) for m in below]))
        verb = "stands" if len(below) == 1 else "stand"
        losing = Markup('; <span class="losing">{} {} below that baseline</span>')
        sentence += losing.format(names, verb)
    return [sentence + "."]


def _of_one(results: Results, table: pd.DataFrame) -> list[Markup]:
    label = results.entries[0].label
    report = results.report(label)
    start = Markup(
        "{} answers {} of {} right, an accuracy of {:.3f}{}, with a macro-F1 of {:.3f}."
    ).format(
        _name(label),
        f"{int(report.confusion.to_numpy().diagonal().sum()):,}",
        count(len(results.labels), "text"),
        report.accuracy,
        _interval(table, label, "accuracy"),
        report.macro_f1,
    )
    confused = frequent_confusions(results, label, most=len(results.classes) ** 2)
    if confused.empty:
        return [start, Markup("It makes no mistake here.")]
    top = confused[confused["rows"] == confused["rows"].max()]
    shown = [
        Markup("<bdi>“{}”</bdi> for <bdi>“{}”</bdi>").format(c["true"], c["predicted"])
        for _, c in top.head(_MOST_TIED).iterrows()
    ]
    if len(top) > _MOST_TIED:
        shown.append(Markup("{:,} more").format(len(top) - _MOST_TIED))
    texts = count(int(top["rows"].iloc[0]), "text")
    if len(top) == 1:
        share = f"{top['share'].iloc[0]:.0%}"
        end = Markup("Its commonest mistake is to take {}: {}, {} of that class.").format(
            shown[0], texts, share
        )
    else:
        end = Markup("Its commonest mistakes, {} each, are to take {}.").format(
            texts, Markup(listed(shown))
        )
    return [start, end]
