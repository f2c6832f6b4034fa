import pytest

from cxrscreen.evaluate.reproduce import paper

ROWS = [
    (cell, figures)
    for table in (paper.TABLE3, paper.TABLE4, paper.TABLE5, paper.TABLE6)
    for cell, figures in table.items()
]
# Table 2, NTUH and TMUH together: (normal, other pneumonia, COVID-19).
CLINIC = {"validation": (12, 15, 3 + 8), "test": (11, 16, 2 + 3)}


@pytest.mark.parametrize(("cell", "figures"), ROWS, ids=str)
def test_every_count_gives_what_is_printed(cell, figures):
    sensitivity, specificity = figures["sensitivity"], figures["specificity"]
    if paper.EXCHANGED in sensitivity.remark:
        sensitivity, specificity = specificity, sensitivity
    for count, printed in ((figures["sensitivity"], sensitivity), (figures["specificity"], specificity)):
        # 63.34 is the one misprint.
        if count.counts is not None and printed.percent != 63.34:
            assert round(100 * count.counts[0] / count.counts[1], 2) == printed.percent


@pytest.mark.parametrize("table", [paper.TABLE4, paper.TABLE5])
@pytest.mark.parametrize("part", list(CLINIC))
def test_the_counts_are_those_of_table_2(table, part):
    normal, pneumonia, covid = CLINIC[part]
    found = {stage: table["clinic", part, stage] for stage in ("2", "3")}
    assert found["2"]["sensitivity"].counts[1] == pneumonia + covid
    assert found["2"]["specificity"].counts[1] == normal
    assert found["3"]["sensitivity"].counts[1] == covid
    assert found["3"]["specificity"].counts[1] == pneumonia


def test_table_7_counts_give_what_is_printed():
    for ours, other in paper.TABLE7.values():
        for printed in (ours, other):
            if printed is not None:
                right, total = printed.counts
                assert 100 * right / total == pytest.approx(printed.percent, abs=0.05)


def test_the_intervals_are_wilsons():
    low, high = paper.TABLE6["test"]["sensitivity"].interval()
    assert (round(low, 2), round(high, 2)) == (0.70, 0.90)
    assert paper.TABLE3["with", "test"]["sensitivity"].interval() is None
