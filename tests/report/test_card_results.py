"""Results of known and of unknown keys: what is shown, in which order, and what is withheld."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxrscreen.report.card_blocks import Bullets, Command, Facts, Heading, Measure, Paragraph, Table, in_words, number
from cxrscreen.report.card_results import is_measure, result_blocks

AUC = {"value": 0.8, "ci_low": 0.7, "ci_high": 0.9}
DECISION = {
    "command": "cxrscreen evaluate",
    "images": 10,
    "pooled_auc": AUC | {"positives": 5, "negatives": 5},
    "mean_within_source_auc": None,
    "within_source_auc": {"nih": AUC | {"positives": 3, "negatives": 2}},
}


def words_of(blocks):
    """All words of some blocks in their order."""
    words = []
    for block in blocks:
        match block:
            case Paragraph(text, _) | Heading(text) | Command(text):
                words.append(text)
            case Bullets(items):
                words += items
            case Facts(rows):
                words += [cell for row in rows for cell in row]
            case Table(head, rows, caption):
                words += [caption, *head, *(cell for row in rows for cell in row)]
    return [word.text if isinstance(word, Measure) else word for word in words]


def test_within_sources_before_pooled_and_the_command_last():
    words = words_of(result_blocks(DECISION))
    assert words.index("nih") < words.index("AUC, all sources pooled") < words.index("cxrscreen evaluate")
    assert words[-1] == "cxrscreen evaluate"
    assert words.count("0.800 (0.700 to 0.900)") == 2
    assert "None" not in words


@pytest.mark.parametrize("within", [{}, None])
def test_a_pooled_figure_alone_is_withheld(within):
    blocks = result_blocks({**DECISION, "within_source_auc": within})
    assert "0.800 (0.700 to 0.900)" not in words_of(blocks)
    warning = [block.text for block in blocks if isinstance(block, Paragraph) and block.tone == "warning"]
    assert warning == ["Not shown, for no figure within sources stands beside it: AUC, all sources pooled."]


def test_sources_of_one_class_stand_beside_a_pooled_figure():
    rate = {"truth": 0, "images": 9, "rate": {"value": 0.5, "ci_low": 0.2, "ci_high": 0.8}}
    result = {**DECISION, "within_source_auc": {}, "called_positive_in_one_class_sources": {"jsrt": rate}}
    words = words_of(result_blocks(result))
    assert "AUC, all sources pooled" in words
    assert tuple(words[words.index("jsrt") :][:4]) == ("jsrt", "not ill", "9", "0.500 (0.200 to 0.800)")
    assert any("told apart" in word for word in words)


def test_results_that_nobody_knows_still_read_well():
    result = {
        "black_lungs": {"stage3": {"full": AUC, "lungs_blanked": AUC}, "passed": False},
        "subgroups": [{"group": "women", "n": 4, "auc": AUC}, {"group": "men", "n": 2}],
        "hausdorff_mm": {"value": 12.34, "ci_low": 10.0, "ci_high": 15.0},
        "notes": ["one", "two"],
        "audit": {"title": "T", "columns": ["Source", "AUC"], "rows": [["nih", AUC], ["all", None]]},
        "deep": {"a": {"b": {"c": {"auc": AUC}}}},
        "nothing": {},
    }
    words = words_of(result_blocks(result))
    for expected in ("Black lungs", "Passed", "no", "women", "12.34 (10 to 15)", "one", "T", "Source", "Lungs blanked"):
        assert expected in words
    assert words.count("0.800 (0.700 to 0.900)") == 5
    assert not any("{" in word or "ci_low" in word for word in words)


def test_a_figure_without_interval_or_value_says_so():
    assert Measure(0.5, None, None).text == "0.500 (no interval)"
    assert Measure(None, None, None).text == "not defined"
    assert Measure(0.5, None, None).bar is None
    assert Measure(0.5, 0.4, 0.6).bar == (0.5, 0.4, 0.6)
    assert Measure(3.0, 2.0, 4.0).bar is None
    assert not is_measure({"value": "many"})
    assert words_of(result_blocks(AUC)) == ["", "", "Figure (95% interval)", "", "0.800 (0.700 to 0.900)"]


def test_keys_and_numbers_in_words():
    assert in_words("within_source_auc") == "Within source AUC"
    assert in_words("covid19") == "COVID-19"
    assert [number(value) for value in (0, 0.12345, -0.5, 123.456, 7)] == ["0", "0.123", "-0.500", "123.5", "7"]


figures = st.fixed_dictionaries({"value": st.floats(0, 1), "ci_low": st.none(), "ci_high": st.floats(0, 1)})
leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=5) | figures
results = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
)


@given(results)
def test_any_result_is_laid_out_in_rows_of_one_length(result):
    for block in result_blocks(result):
        if isinstance(block, Table):
            assert {len(row) for row in block.rows} <= {len(block.head)}
