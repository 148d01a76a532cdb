"""The statistics, against values from tables and papers, and against simulated experiments."""

from __future__ import annotations

import random
from math import inf, isclose

import pytest
from tests.support.experiment_runs import Run

from interpose.core.experiment.best import probabilities_to_be_best
from interpose.core.experiment.design import Factor, Level, full_factorial
from interpose.core.experiment.distributions import beta_below, chi_square_tail, student_below, student_quantile
from interpose.core.experiment.effects import effects, holm
from interpose.core.experiment.ratio import sample_ratio
from interpose.core.experiment.sample import Interval, Sample, difference_interval, interval_of, welch_degrees
from interpose.core.experiment.sequential import always_valid_p, difference_sequence, half_width, is_ripe

share = Sample.of_share


def values(*given: float) -> Sample:
    return Sample(len(given), sum(given), sum(value * value for value in given), is_share=False)


@pytest.mark.parametrize(
    ("value", "degrees", "tail"),
    [(3.841458821, 1, 0.05), (6.634896601, 1, 0.01), (16.26623620, 3, 0.001), (18.30703805, 10, 0.05), (0.0, 4, 1.0),
     (2.0, 2, 0.36787944117), (124.3421134, 100, 0.05)],
)  # fmt: skip
def test_chi_square_is_that_of_the_tables(value: float, degrees: int, tail: float) -> None:
    assert isclose(chi_square_tail(value, degrees), tail, rel_tol=1e-7)


@pytest.mark.parametrize(
    ("degrees", "quantile"),
    [(1, 12.70620474), (2, 4.302652730), (10, 2.228138852), (30, 2.042272456), (120, 1.979930405)],
)
def test_student_s_t_is_that_of_the_tables(degrees: int, quantile: float) -> None:
    assert isclose(student_quantile(0.975, degrees), quantile, rel_tol=1e-8)
    assert isclose(student_below(-quantile, degrees), 0.025, rel_tol=1e-8)
    assert isclose(student_quantile(0.975, 1e9), 1.959963985, rel_tol=1e-8)


@pytest.mark.parametrize(
    ("a", "b", "x", "below"),
    [
        (1, 1, 0.3, 0.3),
        (2, 3, 0.5, 0.6875),
        (3, 2, 0.5, 0.3125),
        (2, 1, 0.4, 0.16),
        (5, 5, 0.5, 0.5),
        (1, 4, 0.1, 0.3439),
    ],
)
def test_the_beta_distribution_is_the_polynomial_that_it_is_for_whole_numbers(
    a: float, b: float, x: float, below: float
) -> None:
    assert isclose(beta_below(a, b, x), below, rel_tol=1e-12)


@pytest.mark.parametrize(
    ("converted", "units", "low", "high"),
    # R. G. Newcombe, "Two-sided confidence intervals for the single proportion" (1998), table 1, method 3
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_s_interval_is_that_of_the_paper(converted: int, units: int, low: float, high: float) -> None:
    found = interval_of(share(units, converted))
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)


@pytest.mark.parametrize(
    ("one", "other", "low", "high"),
    # R. G. Newcombe, "Interval estimation for the difference between independent proportions" (1998), method 10
    [(share(70, 56), share(80, 48), 0.0524, 0.3339), (share(10, 9), share(10, 3), 0.1705, 0.8090),
     (share(10, 10), share(10, 0), 0.6075, 1.0)],
)  # fmt: skip
def test_newcombe_s_interval_is_that_of_the_paper(one: Sample, other: Sample, low: float, high: float) -> None:
    found = difference_interval(one, other)
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)


def test_welch_s_interval_is_that_of_a_worked_example() -> None:
    # The extra sleep of Student's ten patients (1908) as two groups: R's t.test gives these.
    first = values(0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0)
    second = values(1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4)
    assert isclose(welch_degrees(first, second), 17.77647, rel_tol=1e-6)
    found = difference_interval(first, second)
    assert isclose(found.low, -3.3654832, rel_tol=1e-6)
    assert isclose(found.high, 0.2054832, rel_tol=1e-6)


def test_the_probability_to_be_best_is_that_of_the_closed_form() -> None:
    """For Beta posteriors with whole parameters P(B > A) is a finite sum (E. Miller, 2014); here by hand."""
    # A ~ Beta(2, 1), B ~ Beta(1, 1): P(B > A) is the integral of 2x(1 - x), one third
    best = probabilities_to_be_best([share(1, 1), share(0, 0)])
    assert isclose(best[1], 1 / 3, rel_tol=1e-6)
    assert isclose(sum(best), 1.0)
    assert isclose(probabilities_to_be_best([share(1, 1), share(0, 0)], less_is_better=True)[1], 2 / 3, rel_tol=1e-6)


def test_three_that_are_alike_are_best_equally_often_whatever_their_numbers() -> None:
    for sample in (share(0, 0), share(40, 3), share(1_000_000, 31_234), values(1, 2, 3, 9)):
        assert all(isclose(one, 1 / 3, rel_tol=1e-6) for one in probabilities_to_be_best([sample] * 3))


def test_the_narrow_and_the_wide_are_compared_rightly() -> None:
    chance = random.Random(5)
    wide, narrow = share(12, 3), share(100_000, 20_000)
    drawn = sum(chance.betavariate(4, 10) > chance.betavariate(20_001, 80_001) for _ in range(40_000)) / 40_000
    assert abs(probabilities_to_be_best([wide, narrow])[0] - drawn) < 0.01


def test_the_ratio_of_the_samples_is_suspicious_when_units_are_lost() -> None:
    assert sample_ratio([[(5_050, 0.5), (4_950, 0.5)]]).chi_square == 1.0
    assert not sample_ratio([[(5_050, 0.5), (4_950, 0.5)]]).is_suspicious
    lost = sample_ratio([[(5_000, 0.5), (4_600, 0.5)]])
    assert lost.is_suspicious
    assert lost.degrees == 1


def test_shares_that_were_changed_on_the_way_are_no_reason_for_suspicion() -> None:
    epochs = [[(500, 0.5), (500, 0.5)], [(900, 0.9), (100, 0.1)]]
    assert sample_ratio(epochs) == (0.0, 2, 1.0)
    assert sample_ratio([[(1_400, 0.5), (600, 0.5)]]).is_suspicious  # what it would be without regard to that


def test_too_few_units_are_not_judged() -> None:
    assert sample_ratio([[(4, 0.5), (0, 0.5)]]) == (0.0, 0, 1.0)


def test_holm_adjusts_each_by_how_many_are_left() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


def test_effects_are_taken_apart_into_what_each_does_and_what_they_do_together() -> None:
    factors = (Factor("a", (Level("0"), Level("1"))), Factor("b", (Level("0"), Level("1"))))
    means = {"a=0, b=0": 100, "a=0, b=1": 200, "a=1, b=0": 150, "a=1, b=1": 290}  # of 1,000
    samples = {variant.levels: share(1_000, means[variant.name]) for variant in full_factorial(factors)}
    found = {effect.of: effect for effect in effects(factors, samples)}
    a, b, both = (("a", "1"),), (("b", "1"),), (("a", "1"), ("b", "1"))
    assert {of: round(effect.estimate, 6) for of, effect in found.items()} == {a: 0.07, b: 0.12, both: 0.04}
    assert found[b].p < found[a].p < 0.001 < found[both].p
    assert isclose(found[both].error, 2 * found[a].error)


def test_what_was_never_tried_without_the_other_is_not_told_apart() -> None:
    factors = (Factor("a", (Level("0"), Level("1"))), Factor("b", (Level("0"), Level("1"))))
    tried = {(("a", "0"), ("b", "0")): share(100, 10), (("a", "1"), ("b", "1")): share(100, 20)}
    assert effects(factors, tried) == []


# --- looking again and again -----------------------------------------------------------------------------------------


def test_the_sequence_is_the_formula_by_hand() -> None:
    # V = 1, n = n*: c = 2 ln 20 + ln(2 ln 20 + 1) = 7.936151, half width sqrt((1 + 1/c)(2 ln 20 + ln(1 + c)))
    assert isclose(half_width(1.0, 500, alpha=0.05, planned_units=500), 3.03521, rel_tol=1e-6)


def test_it_is_narrowest_in_proportion_where_it_was_planned_to_be() -> None:
    widths = {n: half_width(1.0, n, alpha=0.05, planned_units=10_000) for n in (100, 1_000, 10_000, 100_000, 10**6)}
    assert min(widths, key=widths.__getitem__) == 10_000
    assert widths[100] > 2 * widths[10_000]


def test_the_p_value_and_the_sequence_say_the_same() -> None:
    control = share(2_000, 200)
    for converted in range(200, 330, 3):
        sample = share(2_000, converted)
        sure = difference_sequence(sample, control, alpha=0.05, planned_units=4_000)
        assert (sure.low > 0) is (always_valid_p(sample, control, alpha=0.05, planned_units=4_000) < 0.05), converted


def test_nothing_is_said_of_a_handful() -> None:
    assert not is_ripe(share(99, 50), share(10_000, 500))
    assert not is_ripe(share(5_000, 0), share(5_000, 9))
    assert is_ripe(share(5_000, 0), share(5_000, 10))
    assert not is_ripe(share(150, 50), share(150, 50), least_units=200)
    assert difference_sequence(share(0, 0), share(0, 0), alpha=0.05, planned_units=10) == Interval(-inf, inf)
    sure = difference_sequence(share(200, 0), share(200, 0), alpha=0.05, planned_units=400)
    assert sure.low < -0.005  # none of two hundred is not never


@pytest.mark.parametrize("rate", [0.05, 0.5])
def test_who_looks_a_hundred_times_names_a_winner_of_equals_no_more_often_than_stated(rate: float) -> None:
    """A small version of `script/soak`'s. The binomial's 99.9 % point for 200 runs at 5 % is 21."""
    run, chance = Run(), random.Random(11)
    wrong = sum(run.ends(chance, rate, rate, run.sequentially) > 0 for _ in range(200))
    assert wrong <= 10
    naive = sum(run.ends(chance, rate, rate, run.naively) > 0 for _ in range(60))
    assert naive > 12, "the interval of who looks once would have done as well, and this test shows nothing"


def test_a_difference_that_is_there_is_seen_before_all_units_have_come() -> None:
    run, chance = Run(units=3_000, looks=60), random.Random(12)
    ends = [run.ends(chance, 0.10, 0.15, run.sequentially) for _ in range(40)]
    assert sum(end > 0 for end in ends) >= 39
    assert sorted(ends)[20] < 1_500
