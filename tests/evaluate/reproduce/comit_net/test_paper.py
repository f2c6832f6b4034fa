import pytest

from cxrscreen.evaluate.reproduce.comit_net import wording as say
from cxrscreen.evaluate.reproduce.comit_net.combinations import COMBINATIONS, in_words, tasks_of
from cxrscreen.evaluate.reproduce.comit_net.paper import CALLED_AT_90, EXTERNAL, PRECISION_99, TABLE4, TABLE5


def test_printed_sensitivities_are_counts_of_125_but_for_two():
    assert TABLE4["1234"]["sensitivity_0.90"].counts == (121, 125)
    assert TABLE4["1234"]["sensitivity_0.99"].counts == (109, 125)
    printed = [row[name] for row in TABLE4.values() for name in ("sensitivity_0.99", "sensitivity_0.90")]
    assert all(each.counts is not None for each in printed)
    odd = [name for name, each in TABLE5.items() if each.counts is None]
    assert odd == ["4", "34"]
    assert "no count of 125" in TABLE5["4"].remark
    assert TABLE5["234"].counts == (68, 125)
    assert TABLE5["1234"].percent == TABLE4["1234"]["sensitivity_0.90"].percent


def test_other_counts_give_what_is_printed():
    assert 100 * PRECISION_99[0] / PRECISION_99[1] == pytest.approx(64.12, abs=0.005)
    assert PRECISION_99[0] == TABLE4["1234"]["sensitivity_0.99"].counts[0]
    # One per cent of the negatives is called at 99 % specificity.
    assert PRECISION_99[1] - PRECISION_99[0] == 61 <= 0.01 * 6174 < 62
    assert CALLED_AT_90 == (121, 738)
    assert set(EXTERNAL) == set(say.SOURCES) == {"bimcv-positive", "armiro", "hannover"}
    for each in EXTERNAL.values():
        right, total = each.counts
        assert each.percent == pytest.approx(100 * right / total, abs=0.006)


def test_combinations_name_tasks():
    assert tasks_of("41") == ("lungs", "diagnosis")
    assert tasks_of("1234") == ("lungs", "disease", "health", "diagnosis")
    assert len({tasks_of(each) for each in COMBINATIONS}) == 8
    assert [in_words(each) for each in ("1234", "4", "14", "234")] == [
        "All 4 tasks",
        "Task 4 only",
        "Tasks 1 and 4",
        "Tasks 2, 3 and 4",
    ]
    for wrong in ("", "12", "144", "45"):
        with pytest.raises(ValueError, match="different numbers"):
            tasks_of(wrong)
