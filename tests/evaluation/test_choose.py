from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest
from results_cases import answers, made
from sklearn import metrics

from keras_seqzoo.data.targets import AnyOf, Number, OneOf
from keras_seqzoo.evaluation.choose import (
    about_tests,
    differences,
    neighbours,
    pareto_front,
    recommend,
)
from keras_seqzoo.evaluation.leaderboard import leaderboard
from keras_seqzoo.evaluation.results import Costs, Entry, Results, Run
from keras_seqzoo.tasks.classify import Classify
from keras_seqzoo.tasks.label import Label
from keras_seqzoo.tasks.regress import Regress


def test_the_table_has_scikit_learns_metrics_averaged_over_the_runs():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 50)
    probabilities = rng.dirichlet(np.ones(3), (2, 50))
    runs = [Run(seed, p) for seed, p in enumerate(probabilities)]
    results = Results(
        "r", Classify(OneOf(("a", "b", "c"))), [""] * 50, labels, [Entry("m", runs=runs)]
    )
    row = leaderboard(results).loc["m"]
    said = probabilities.argmax(axis=2)
    assert row["accuracy"] == np.mean([metrics.accuracy_score(labels, s) for s in said])
    f1 = [metrics.f1_score(labels, s, average="macro") for s in said]
    assert row["macro_f1"] == np.mean(f1)
    assert (row["macro_f1_min"], row["macro_f1_max"]) == (min(f1), max(f1))
    assert row["macro_f1_low"] < row["macro_f1"] < row["macro_f1_high"]
    losses = [metrics.log_loss(labels, p) for p in probabilities]
    assert row["log_loss"] == pytest.approx(np.mean(losses), rel=1e-12)


def test_the_best_stands_first_and_what_failed_last_with_its_reason():
    results = made(poor=range(90), good=range(10))
    failed = Entry("failed", missing="it was killed")
    table = leaderboard(dataclasses.replace(results, entries=[failed, *results.entries]))
    assert list(table.index) == ["good", "poor", "failed"]
    assert table.at["failed", "missing"] == "it was killed"
    assert np.isnan(table.at["failed", "accuracy"])


def test_a_difference_is_shown_only_where_mcnemar_shows_it():
    # `b` errs in two rows more than `a`, `c` in fifty more than `b`.
    first, second = neighbours(made(a=range(10), b=range(12), c=range(62)))
    assert (first.better, first.worse, first.shown) == ("a", "b", False)
    assert "no difference shown" in str(first)
    assert (second.better, second.worse, second.shown) == ("b", "c", True)
    assert "b is right more often than c, as trained (accuracy" in str(second)
    # Two discordant rows, both against b: 2 * 0.5 ** 2. Of all three pairs b and c have the second
    # least p, so that Holm doubles it.
    assert first.p_value == pytest.approx(0.5)
    assert second.p_value == pytest.approx(2 * 2 * 0.5**50)


def test_a_pair_has_one_p_value_wherever_it_is_told():
    results = made(a=range(10), b=range(14), c=range(24), d=range(40))
    told = {frozenset((d.better, d.worse)): d.p_value for d in neighbours(results)}
    for d in differences(results, [("b", "a"), ("d", "c"), ("a", "d")]):
        assert told.get(frozenset((d.better, d.worse)), d.p_value) == d.p_value
    reason = recommend(results).reason
    named = re.search(r"(\w) takes .*p = ([\d.e-]+)\)", reason)
    assert named is not None
    pair = differences(results, [("a", named[1])])[0]
    assert named[2] == f"{pair.p_value:.2g}"


def test_what_is_told_is_of_the_trained_models_and_of_all_their_runs():
    labels = np.arange(200) % 2
    runs = [Run(0, answers(labels, range(10)), 0.1), Run(1, answers(labels, range(90)), 0.4)]
    entries = [Entry("m", runs=runs), Entry("n", runs=[Run(0, answers(labels, range(60)))])]
    results = Results("r", Classify(OneOf(("n", "y"))), [""] * 200, labels, entries)
    said = str(differences(results, [("m", "n")])[0])
    assert "m is right more often than n, as trained (accuracy of the kept runs +0.2500" in said
    assert "of all runs 0.5500 to 0.9500, and 0.7000 to 0.7000" in said
    assert "better" not in said
    assert "the mean of 2 trainings" in recommend(results).reason
    assert ", in one training" in recommend(made(a=range(10), b=range(12))).reason


def test_the_kept_run_is_that_of_the_lowest_validation_loss():
    labels = np.arange(200) % 2
    runs = [Run(0, answers(labels, range(50)), 0.6), Run(1, answers(labels, range(80)), 0.4)]
    results = Results("r", Classify(OneOf(("n", "y"))), [""] * 200, labels, [Entry("m", runs=runs)])
    assert results.report("m").accuracy == 0.6
    assert results.mean("m", "accuracy") == pytest.approx((0.75 + 0.6) / 2)


def test_the_pareto_front_has_what_no_other_beats():
    # dear, mid and cheap cost 100, 10 and 1 ms; mid is as poor as cheap.
    table = leaderboard(made(dear=range(10), mid=range(40), cheap=range(40)))
    assert pareto_front(table, "p95_ms", Classify.metrics[0]) == ["cheap", "dear"]
    assert pareto_front(table, "p95_ms", Classify().metric("log_loss")) == ["cheap", "dear"]


def test_the_best_within_the_limits_is_recommended_with_the_reason():
    results = made(dear=range(10), mid=range(40), cheap=range(80))
    assert recommend(results).model == "dear"
    chosen = recommend(results, max_latency_ms=50)
    assert chosen.model == "mid"
    assert "within 50 ms" in chosen.reason
    assert "10 ms" in chosen.reason
    alone = recommend(results, max_size_mb=5, metric="log_loss")
    assert alone.model == "cheap"
    assert "the only one within 5 MB" in alone.reason


def test_a_cheaper_model_that_is_not_shown_to_be_worse_is_named():
    reason = recommend(made(dear=range(10), cheap=range(12))).reason
    assert "cheap takes 10 ms, and as trained is not shown to be right less often" in reason
    assert "not shown" not in recommend(made(dear=range(10), cheap=range(90))).reason


def test_a_model_that_answers_one_class_is_no_cheaper_choice():
    # It errs in the odd rows; with so few of them nothing is shown against it.
    results = made(dear=range(0, 20, 2), alike=range(0, 200, 2))
    few = np.arange(20)
    entries = [
        dataclasses.replace(e, runs=[Run(0, e.kept.outputs[few], 0.5)]) for e in results.entries
    ]
    results = dataclasses.replace(results, labels=results.labels[few], entries=entries)
    assert not neighbours(results)[0].shown
    assert "not shown" not in recommend(results).reason


def test_figures_are_written_plainly():
    reason = recommend(made(dear=range(10), cheap=range(90)), max_memory_mb=1234.5).reason
    assert "within 1,234 MB of memory" in reason
    assert "1,000 MB of memory" in reason


def test_a_baseline_is_recommended_where_it_is_best_and_called_one():
    assert "no SavedModel" in recommend(made(base=range(5), model=range(60))).reason


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"metric": "f1"}, "`metric` must be one of"),
        ({"max_latency_ms": 0}, "`max_latency_ms` must be a number above 0"),
        ({"max_latency_ms": 0.1}, "The least that one has: p95_ms 10"),
        ({"max_latency_ms": 50, "max_size_mb": 1}, "No model is within these limits"),
    ],
)
def test_limits_that_can_not_be_met_are_refused(limits, message):
    with pytest.raises(ValueError, match=message):
        recommend(made(dear=range(10), cheap=range(12)), **limits)


def test_a_model_whose_cost_is_unknown_is_not_within_a_limit():
    results = made(a=range(10), b=range(20))
    first, second = results.entries
    results = dataclasses.replace(
        results, entries=[dataclasses.replace(first, costs=Costs()), second]
    )
    assert recommend(results, max_latency_ms=1000).model == "b"


def test_no_answers_no_choice():
    results = made(a=range(10))
    with pytest.raises(ValueError, match="No model has answers"):
        recommend(dataclasses.replace(results, entries=[Entry("a", missing="crashed")]))


def of_numbers(**errors):
    """Results of a model each, with the errors of its answers to twenty rows."""
    labels = np.arange(20.0).reshape(20, 1)
    task = Regress(Number(("stars",)), (9.5,), (5.0,))
    entries = [
        Entry(label, runs=[Run(0, labels + np.resize(e, (20, 1)))], costs=Costs(p95_ms=9.0 / 3**i))
        for i, (label, e) in enumerate(errors.items())
    ]
    return Results("made", task, [""] * 20, labels, entries)


def test_of_numbers_the_least_error_stands_first():
    table = leaderboard(of_numbers(poor=[2.0, -3.0], good=[0.5, -1.0]))
    assert list(table.index) == ["good", "poor"]
    row = table.loc["good"]
    assert row["mae"] == pytest.approx(0.75)
    assert row["mae_low"] < row["mae"] < row["mae_high"]
    assert (row["r2_min"], row["r2_max"]) == (row["r2"], row["r2"])
    assert [name for name in table if name in ("mae", "rmse", "r2", "pearson", "spearman")] == [
        metric.name for metric in Regress.metrics
    ]


def test_differences_of_numbers_are_of_the_error():
    results = of_numbers(good=[0.5, -1.0], next=[0.4, -1.2], poor=[2.0, -3.0])
    first, second = neighbours(results)
    assert (first.shown, second.shown) == (False, True)
    assert str(second) == (
        "next errs less than poor, as trained (mae of the kept runs -1.7000, p = "
        f"{second.p_value:.2g})"
    )
    assert "paired permutation test" in about_tests(results)
    chosen = recommend(results)
    assert "the lowest mae of 3, 0.750" in chosen.reason
    assert "next takes 3 ms, and as trained is not shown to err more (paired perm" in chosen.reason
    assert recommend(results, metric="pearson").model in ("good", "next")
    with pytest.raises(ValueError, match=r"`metric` must be one of \('mae', "):
        recommend(results, metric="macro_f1")
    assert pareto_front(leaderboard(results), "p95_ms", results.task.metric()) == [
        "poor", "next", "good",
    ]  # fmt: skip


def test_a_model_that_answers_one_number_is_no_cheaper_choice():
    results = of_numbers(good=[0.1, -0.1])
    mean = Entry("mean", runs=[Run(0, np.full((20, 1), 9.5))], costs=Costs(p95_ms=0.1))
    few = np.arange(2)
    entries = [
        dataclasses.replace(e, runs=[Run(0, e.kept.outputs[few])]) for e in (*results.entries, mean)
    ]
    results = dataclasses.replace(results, labels=results.labels[few], entries=entries)
    assert not neighbours(results)[0].shown
    assert "not shown" not in recommend(results).reason


def test_each_run_of_labels_is_scored_by_its_own_thresholds():
    labels = np.resize([[1.0, 0], [0, 1]], (40, 2))
    task = Label(AnyOf(("a", "b")))
    low = dataclasses.replace(task, thresholds=(0.2, 0.2))
    unsure = labels * 0.3
    entries = [Entry("own", runs=[Run(0, unsure, task=low)]), Entry("none", runs=[Run(0, unsure)])]
    results = Results("made", task, [""] * 40, labels, entries)
    table = leaderboard(results)
    assert table["macro_f1"].to_dict() == {"own": 1.0, "none": 0.0}
    assert table.at["own", "subset_accuracy_low"] == 1
    assert "own answers better than none, as trained (sample_f1" in str(neighbours(results)[0])
