import numpy as np
import pytest

from cxrscreen.evaluate.audit.controls.held_out import (
    apart_from,
    audit_held_out_sources,
    audit_swapped_sources,
    held_out,
    two_halves,
)

SOURCES = {"a": (50, 50), "b": (50, 50), "c": (40, 40)}


def test_a_signal_that_all_sources_share_carries_over(make_bench):
    part = audit_held_out_sources(make_bench({**SOURCES, "single": (0, 60)}, lung_signal=25))
    assert part.passed is True
    names = [row[1] for row in part.tables[0].rows]
    assert names == ["a", "b", "c", "single (control)"]
    assert all(row[5].value > 0.9 for row in part.tables[0].rows)


def test_a_source_whose_signal_is_reversed_fails_when_held_out(make_bench):
    bench = make_bench(SOURCES, lung_signal=25, flipped=("c",))
    by_source = {item.source: item.figures for item in held_out(bench, "stage2")}
    assert by_source["c"]["external"].value < 0.2
    assert by_source["c"]["gap"].value == pytest.approx(
        by_source["c"]["internal"].value - by_source["c"]["external"].value
    )
    assert by_source["c"]["gap"].ci_low > 0.5
    assert audit_held_out_sources(bench).passed is False


def test_one_source_cannot_be_held_out(make_bench):
    part = audit_held_out_sources(make_bench({"a": (40, 40)}, lung_signal=25))
    assert part.passed is None
    assert "none can be held out" in part.finding


def test_sources_that_teach_nothing_pass_nothing(make_bench):
    bench = make_bench({"a": (40, 40), "b": (40, 40)}, seed=1)
    assert all(item.figures["internal"].ci_low < 0.5 for item in held_out(bench, "stage2"))
    assert audit_held_out_sources(bench).passed is None


def test_nothing_of_a_tested_group_trains():
    groups = np.array(["p", "p", "q", "r"])
    assert apart_from(groups, np.array([True, False, False, False])).tolist() == [False, False, True, True]


def test_the_swap_shows_a_reversed_half_and_the_range_of_its_seeds(make_bench):
    same = audit_swapped_sources(make_bench(SOURCES, lung_signal=25), seeds=2)
    assert same.passed is True
    row = same.tables[0].rows[0]
    assert row[4] <= row[3].value <= row[5]
    half = two_halves(make_bench(SOURCES).sets["stage2"])
    assert half is not None
    reversed_half = audit_swapped_sources(make_bench(SOURCES, lung_signal=25, flipped=half[0]), seeds=1)
    assert reversed_half.passed is False


def test_halves_are_even_and_hold_both_classes(make_bench):
    images = make_bench({"neg": (100, 0), "pos": (0, 100), "x": (40, 40), "y": (40, 40)}).sets["stage2"]
    halves = two_halves(images)
    assert halves is not None
    assert sorted([*halves[0], *halves[1]]) == ["neg", "pos", "x", "y"]
    # 140 of each class: no half holds more than the large source and one small one.
    for half in halves:
        rows = np.isin(images.column("source"), half)
        assert 40 <= images.truth[rows].sum() <= 100
        assert 40 <= (1 - images.truth[rows]).sum() <= 100
    assert two_halves(make_bench({"neg": (50, 0), "pos": (0, 50)}).sets["stage2"]) is None
