"""The figures that a run is judged by: medians, ratios, verdicts, and what the tables say of a peer that is absent."""

from __future__ import annotations

import pytest
from bench.report import Bar, Table, Verdict, judge, markdown, ratio, shown, tables, verdict
from bench.results import Measurement, Results, Series, from_json


def _results(**costs_by_peer: list[float]) -> Results:
    series = {peer: Series([Measurement(cost=cost) for cost in costs]) for peer, costs in costs_by_peer.items()}
    return Results("2024-05-06 07:08 UTC", "a machine", {"rounds": 3}, {}, {"gateway-1k": series})


@pytest.mark.parametrize(
    ("rounds", "median"),
    [([2.0], 2.0), ([9.0, 1.0, 2.0], 2.0), ([1.0, 3.0], 2.0), ([], None)],
)
def test_the_median_of_the_rounds_counts(rounds: list[float], median: float | None) -> None:
    assert Series([Measurement(cost=cost) for cost in rounds]).median("cost") == median


def test_rounds_without_a_figure_do_not_take_part_in_its_median() -> None:
    rounds = [Measurement(cost=1.0, p50_us=100.0), Measurement(cost=1.0), Measurement(cost=1.0, p50_us=300.0)]
    assert Series(rounds).median("p50_us") == 200.0


def test_a_ratio_is_one_median_over_the_other() -> None:
    results = _results(interpose=[30e-6, 90e-6, 20e-6], nginx=[10e-6, 20e-6, 60e-6])
    assert ratio(results, "gateway-1k", "interpose", "nginx") == pytest.approx(1.5)


def test_notes_that_differ_in_their_numbers_only_are_said_once() -> None:
    rounds = [
        Measurement(1.0, notes=["3 connections broke"]),
        Measurement(1.0),
        Measurement(1.0, notes=["7 connections broke"]),
    ]
    assert Series(rounds).notes() == ["3 connections broke (2 of 3 rounds)"]


@pytest.mark.parametrize("subject", ["interpose", "absent"])
def test_there_is_no_ratio_to_what_was_not_measured(subject: str) -> None:
    results = _results(interpose=[30e-6], nginx=[])
    assert ratio(results, "gateway-1k", subject, "nginx") is None


@pytest.mark.parametrize(
    ("figure", "hope", "expected"),
    [
        (None, 1.0, Verdict.UNKNOWN),
        (0.99, 1.0, Verdict.HOPE_MET),
        (1.0, 1.0, Verdict.HOPE_MET),
        (1.01, 1.0, Verdict.MET),
        (1.8, 1.0, Verdict.MET),
        (1.81, 1.0, Verdict.MISSED),
        (0.1, None, Verdict.MET),
        (1.81, None, Verdict.MISSED),
    ],
)
def test_a_verdict_compares_with_the_bar_and_the_hope(
    figure: float | None, hope: float | None, expected: Verdict
) -> None:
    assert verdict(figure, bar=1.8, hope=hope) is expected


def test_a_bar_without_a_peer_judges_the_cost_in_the_unit_of_the_workload() -> None:
    results = _results()
    results.workloads = {"idle": {"interpose": Series([Measurement(cost=4.5 * 1024)])}}
    (judged,) = judge(results, [Bar("idle", None, bar=5, hope=3)])
    assert (judged.figure, judged.verdict) == (4.5, Verdict.MET)


def test_a_bar_may_judge_another_figure_of_another_subject() -> None:
    results = _results()
    two = Series([Measurement(cost=1.0, largest_share=share) for share in (0.5, 0.7, 0.66)])
    results.workloads = {"workers": {"interpose-2": two}}
    (judged,) = judge(results, [Bar("workers", None, bar=0.65, subject="interpose-2", figure="largest_share")])
    assert (judged.figure, judged.verdict) == (0.66, Verdict.MISSED)


def test_only_the_bars_of_workloads_that_ran_are_judged() -> None:
    bars = [Bar("gateway-1k", "nginx", bar=1.8), Bar("tls-1k", "nginx", bar=1.8)]
    results = _results(interpose=[30e-6], nginx=[20e-6])
    assert [judged.bar.workload for judged in judge(results, bars)] == ["gateway-1k"]


def test_a_peer_that_was_skipped_stands_in_the_table_with_its_reason() -> None:
    results = _results(nginx=[20e-6])
    results.workloads["gateway-1k"]["haproxy"] = Series(skipped="not installed")
    table = next(tables(results))
    assert table.columns == ["peer", "µs CPU / request", "notes"]
    assert table.rows == [["nginx", "20", ""], ["haproxy", "", "skipped: not installed"]]


def test_a_table_without_rows_of_its_own_figures_has_no_column_for_them() -> None:
    (table, *_) = tables(_results(interpose=[30e-6, 40e-6, 20e-6], nginx=[20e-6, 20e-6, 20e-6]))
    assert table.columns == ["peer", "µs CPU / request", "lowest-highest", "Interpose is"]
    assert table.rows == [["interpose", "30", "20-40", ""], ["nginx", "20", "20-20", "1.5 x"]]


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (0.0213, "0.0213"), (1.0, "1"), (1.234, "1.23"), (99.94, "99.9"), (1234.5, "1234")],
)
def test_figures_are_shown_with_three_digits(value: float | None, text: str) -> None:
    assert shown(value) == text


def test_a_markdown_table_is_aligned() -> None:
    assert markdown(Table("Title", ["a", "long"], [["wide cell", "1"]])) == (
        "### Title\n\n| a         | long |\n| --------- | ---- |\n| wide cell | 1    |\n"
    )


def test_results_come_back_from_json_as_they_were() -> None:
    results = _results(nginx=[20e-6, 21e-6])
    results.workloads["gateway-1k"]["haproxy"] = Series([Measurement(1.0, notes=["odd"])], skipped="ended")
    assert from_json(results.to_json()) == results


def test_results_of_another_schema_are_refused() -> None:
    with pytest.raises(ValueError, match="schema 1"):
        from_json('{"schema": 2}')
