from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxrscreen.service.pages.charts import HEIGHT, WIDTH, histogram, score_chart, volume_chart
from cxrscreen.service.store.statistics import Day


def days(*counts: tuple[int, int, int, int]) -> list[Day]:
    return [Day(date(2020, 3, 1) + timedelta(days=n), *count) for n, count in enumerate(counts)]


def test_what_became_of_images_is_stacked_before_those_received() -> None:
    chart = volume_chart(days((10, 5, 2, 3), (0, 0, 0, 0)))
    kinds = {bar.kind: bar for bar in chart.bars}
    assert set(kinds) == {"received", "screened", "refused", "set-aside"}
    assert kinds["received"].height == pytest.approx(
        kinds["screened"].height + kinds["refused"].height + kinds["set-aside"].height, abs=0.3
    )
    assert kinds["refused"].y + kinds["refused"].height == pytest.approx(kinds["screened"].y, abs=0.2)
    assert kinds["screened"].words == "2020-03-01: 5 screened"
    assert [tick.label for tick in chart.up] == ["0", "5", "10"]


@given(st.lists(st.tuples(*[st.integers(0, 100_000)] * 4), min_size=1, max_size=400))
def test_every_bar_lies_in_the_drawing(counts: list[tuple[int, int, int, int]]) -> None:
    chart = volume_chart(days(*counts))
    for bar in chart.bars:
        assert bar.x >= 0
        assert bar.x + bar.width <= WIDTH + 0.2
        assert bar.y >= 0
        assert bar.y + bar.height <= HEIGHT
    assert len(chart.across) <= 11


def test_shares_of_scores() -> None:
    assert histogram([0.05, 0.06, 0.95, 1.0]) == (0.5, 0, 0, 0, 0, 0, 0, 0, 0, 0.5)
    assert histogram([]) == (0,) * 10


def test_distributions_stand_side_by_side_on_one_scale() -> None:
    chart = score_chart((0.25, *[0] * 9), (0.5, *[0] * 9))
    before, recent = chart.bars
    assert before.x + before.width < recent.x
    assert recent.height == pytest.approx(2 * before.height, abs=0.2)
    assert recent.words == "0.0 to 0.1: 50% recent"
    assert [tick.label for tick in chart.up] == ["0%", "25%", "50%"]
