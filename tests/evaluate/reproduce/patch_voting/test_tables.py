import json
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from scipy.stats import wilcoxon

from cxrscreen import RESEARCH_USE
from cxrscreen.errors import CxrscreenError
from cxrscreen.evaluate.reproduce.patch_voting.covid_net import table12
from cxrscreen.evaluate.reproduce.patch_voting.run import NAMES, reproduce_patch_voting
from cxrscreen.evaluate.reproduce.patch_voting.segmentation import overlap_of, table5, table13, table15
from cxrscreen.evaluate.reproduce.patch_voting.votes import (
    accuracies,
    diseased_called,
    figure12,
    table10,
    table16,
    table17,
)

from .conftest import overlaps, votes


def test_a_network_against_another_by_signed_ranks():
    first, second = overlaps(0.95), overlaps(0.94)
    rng = np.random.default_rng(1)
    second["jaccard"] += rng.normal(0, 0.004, len(second))
    own, other = (table[table["set"] == "elsewhere"] for table in (second, first))
    found = overlap_of(own, other.sample(frac=1, random_state=0), "all")
    change = own["jaccard"].to_numpy() - other["jaccard"].to_numpy()
    assert found.mean.value == pytest.approx(own["jaccard"].mean())
    assert found.spread == pytest.approx(own["jaccard"].std())
    assert found.difference.value == pytest.approx(change.mean())
    assert found.p_value == pytest.approx(wilcoxon(change).pvalue)
    assert found.difference.ci_high < 0
    # Two networks that agree on every image cannot be told apart, and no test is made.
    same = overlap_of(own, own, "itself")
    assert (same.p_value, same.difference.value) == (None, 0)
    with pytest.raises(ValueError, match="same images"):
        overlap_of(own, other.iloc[1:])


def test_segmentation_tables_compare_with_the_first_and_name_the_stars(finished):
    shares = {(row["variant"], row["images"]): row for row in table15(finished).content}
    assert shares["1", "elsewhere"]["p_value"] is None
    assert shares["0.1", "elsewhere"]["difference"]["value"] == pytest.approx(-0.15)
    assert shares["0.1", "elsewhere"]["p_value"] < 1e-4
    assert len(shares) == 8
    lines = table15(finished).parts[0].rows
    assert lines[-1][0] == "0.1"
    assert lines[-1][-1] == "***"
    assert "0.851 ± 0.058 (***)" in lines[-1]
    networks = {(row["variant"], row["images"]): row for row in table13(finished).content}
    assert networks["fc-densenet67", "lungs"]["difference"]["value"] == pytest.approx(-0.01)
    assert networks["fc-densenet103", "lungs"]["p_value"] is None
    own = {row["images"]: row for row in table5(finished).content}
    assert own["heart"]["mean"]["value"] == pytest.approx(0.85, abs=0.01)
    assert own["elsewhere, raw"]["difference"]["value"] == pytest.approx(-0.05, abs=0.005)
    assert own["elsewhere"]["against"] == ""


def test_votes_are_compared_with_the_first_variant(finished):
    rows = {row["variant"]: row for row in table10(finished).content}
    assert rows["own"]["figures"]["accuracy"]["value"] == pytest.approx(54 / 60)
    assert rows["global"]["changes"]["accuracy"]["value"] == pytest.approx(-18 / 60)
    assert rows["own"]["changes"] == {}
    assert rows["own"]["printed"]["sensitivity viral"] == 0.925
    cells = [row for row in table10(finished).parts[0].rows if row[:2] == ("global approach", "accuracy")]
    assert cells[0][2] == "70.7"
    assert "-30.0 [" in cells[0][4]
    assert [row["variant"] for row in table17(finished).content] == ["own", "patch-112", "patch-448"]


def test_normal_or_not_by_the_mask_alone_is_a_network_of_its_own(finished):
    found = diseased_called(finished.mask_alone())
    assert found["sensitivity"].value == pytest.approx(40 / 45)
    assert found["specificity"].value == pytest.approx(12 / 15)
    made = table16(finished)
    assert "A network that learned normal against any disease" in made.parts[-1].title
    assert made.parts[-1].rows[0][:2] == ("Sensitivity for any disease", "86.9")
    assert made.content[-1]["sensitivity"]["value"] == pytest.approx(40 / 45)


def test_a_class_that_is_never_called_is_named_beside_the_table(finished):
    assert "Never called" not in table10(finished).intervals
    rows = votes(0)
    rows.loc[rows["truth"] == "bacterial", ["p_bacterial", "p_viral"]] = [0.1, 0.7]
    rows.to_csv(finished.work / "votes" / "own" / "classes.csv", index=False)
    table = table10(finished)
    (cells,) = [row for row in table.parts[0].rows if row[:2] == ("local approach", "macro precision")]
    assert cells[3] == "-"
    assert "Of “local approach”: Never called" in table.intervals
    assert "exist: bacterial." in table.intervals


def test_our_counts_give_the_printed_figures_of_table_12(finished):
    table = table12(finished)
    rows = {(row["class"], row["figure"]): row for row in table.content if "figure" in row}
    assert len(rows) == 7
    # The votes have the counts that the paper's figures imply, and so must give all of them.
    for row in rows.values():
        assert 100 * row["ours"]["value"] == pytest.approx(row["printed"]["percent"], abs=0.06)
        for said in ("printed", "covid_net"):
            right, count = row[said]["counts"]
            assert 100 * right / count == pytest.approx(row[said]["percent"], abs=0.06)
    assert "10/10 = 100.0 [72.2, 100.0]" in table.parts[0].rows[3]
    assert table.content[-1]["support"] == [100, 100, 10]
    assert any("ten images" in text for text in (*table.remarks, *table.not_to_conclude))


def test_shares_are_drawn_absolute_and_relative(finished):
    points = {(point.approach, point.share): point for point in figure12(finished)}
    assert len(points) == 8
    assert points["local", 0.1].accuracy.value == pytest.approx(48 / 60)
    assert points["local", 0.1].relative.value == pytest.approx(48 / 54)
    assert points["global", 0.1].relative.value == pytest.approx(12 / 36)
    assert points["global", 1.0].relative.value == 1
    one = points["local", 1.0].relative
    assert (one.ci_low, one.ci_high) == (1, 1)
    with pytest.raises(ValueError, match="same images"):
        accuracies(votes(1), votes(1).iloc[1:])


def estimates(content: Any) -> Iterator[dict[str, Any]]:
    """All figures with an interval, however deep."""
    if isinstance(content, dict) and {"value", "ci_low", "ci_high"} <= set(content):
        yield content
    elif isinstance(content, dict | list):
        for each in content.values() if isinstance(content, dict) else content:
            yield from estimates(each)


def test_every_table_is_written_with_what_must_not_be_concluded(finished, tmp_path):
    command = "cxrscreen reproduce patch-voting all --recipe recipe.yaml --data DATA"
    files = reproduce_patch_voting("all", finished.variants, finished.work, tmp_path / "out", command=command)
    for name in NAMES:
        page = files[f"patch-voting-{name}.md"].read_text(encoding="utf-8")
        assert RESEARCH_USE in page
        assert "What must not be concluded" in page
        assert f"reproduce patch-voting {name} " in page
        content = json.loads(files[f"patch-voting-{name}.json"].read_text(encoding="utf-8"))
        figures = list(estimates(content["rows"]))
        # A figure that could not be made is null here, and "nan" in a cell where it was forgotten.
        assert figures, name
        assert [each for each in figures if each["value"] is None or each["n"] < 1] == [], name
        assert not re.search(r"\bnan\b", page), name
    assert files["patch-voting-figure12.png"].read_bytes().startswith(b"\x89PNG")
    assert "(patch-voting-figure12.png)" in files["patch-voting-figure12.md"].read_text(encoding="utf-8")


def test_an_unknown_table_is_a_sentence(finished, tmp_path):
    with pytest.raises(CxrscreenError, match="no table 'table6' of patch voting: use one of table5"):
        reproduce_patch_voting("table6", finished.variants, finished.work, tmp_path)
