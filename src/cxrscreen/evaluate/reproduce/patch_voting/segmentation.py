"""Tables V, XIII and XV: overlaps of organ networks with reference masks, and signed-rank tests between networks."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import wilcoxon

from cxrscreen.biomarkers.statistics import stars
from cxrscreen.evaluate.bootstrap import Estimate, bootstrap
from cxrscreen.evaluate.reproduce.patch_voting.paper import JACCARD
from cxrscreen.evaluate.reproduce.patch_voting.runs import SETS, PatchRuns
from cxrscreen.evaluate.reproduce.patch_voting.wording import (
    ELSEWHERE,
    INTERVALS,
    NOT_CONCLUDED,
    ORGANS_DIFFER,
    SETS_IN_WORDS,
    SYSTEM,
)
from cxrscreen.evaluate.reproduce.table import Part, Table
from cxrscreen.evaluate.weighted import weighted_mean

HEAD = (
    "Images",
    "Printed, mean ± SD",
    "Ours, mean [95 %]",
    "SD",
    "n",
    "Against",
    "Difference [95 %]",
    "p",
    "Signed rank",
)


@dataclass(frozen=True)
class Overlap:
    """Jaccard index of a network on one set of images, and against another network on the same images.

    Parameters
    ----------
    mean, spread
        Over images, with the interval by patient; standard deviation.
    against
        Name of what it is compared with; empty for none.
    difference
        Mean of the differences, this less the other; None for none.
    p_value
        Of Wilcoxon's signed-rank test, two-sided; None for none, or where no image differs.
    """

    mean: Estimate
    spread: float
    against: str = ""
    difference: Estimate | None = None
    p_value: float | None = None


def table5(runs: PatchRuns) -> Table:
    """Lungs and hearts by the own organ network, and what the universal preprocessing does elsewhere."""
    rows = runs.organs("own")
    found = {what: overlap_of(_of(rows, what)) for what in SETS}
    found["elsewhere, raw"] = overlap_of(_of(rows, "elsewhere, raw"), _of(rows, "elsewhere"), "with preprocessing")
    cells = [_line((), what, JACCARD["table5"].get(what, "-"), each) for what, each in found.items()]
    content = [{"images": what} | asdict(each) for what, each in found.items()]
    return _table("table5", "Table V: lungs and heart, and a source that trained no organ network", cells, content, ())


def table13(runs: PatchRuns) -> Table:
    """Each organ network against the first one, under the same conditions."""
    names = runs.variants.settings.networks
    return _compared(
        "table13", "Table XIII: organ networks under the same conditions", runs, names, names, ("lungs", "elsewhere")
    )


def table15(runs: PatchRuns) -> Table:
    """Each share of the training images against all of them."""
    shares = [f"{share:g}" for share in runs.variants.settings.shares]
    variants = ["own" if share == "1" else f"share-{share}" for share in shares]
    return _compared(
        "table15", "Table XV: shares of the training images", runs, variants, shares, ("elsewhere", "elsewhere, raw")
    )


def overlap_of(rows: pd.DataFrame, other: pd.DataFrame | None = None, against: str = "") -> Overlap:
    """Measure one set of images.

    Parameters
    ----------
    rows, other
        Columns ``image_id``, ``group`` and ``jaccard``; ``other`` of the same images, None: no comparison.
    against
        Name of the other.

    Raises
    ------
    ValueError
        If the images of the two are not the same.
    """
    own = rows.set_index("image_id").sort_index()
    values, groups = own["jaccard"].to_numpy(np.float64), own["group"].astype(str).tolist()
    mean = bootstrap(partial(weighted_mean, values), groups)
    spread = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    if other is None:
        return Overlap(mean, spread)
    compared = other.set_index("image_id").sort_index()
    if not own.index.equals(compared.index):
        raise ValueError("both networks must be measured on the same images")
    change = values - compared["jaccard"].to_numpy(np.float64)
    p_value = float(wilcoxon(change).pvalue) if np.any(change != 0) else None
    return Overlap(mean, spread, against, bootstrap(partial(weighted_mean, change), groups), p_value)


def _compared(
    name: str, title: str, runs: PatchRuns, variants: Sequence[str], words: Sequence[str], sets: Sequence[str]
) -> Table:
    tables = [runs.organs(variant) for variant in variants]
    cells, content = [], []
    for word, table in zip(words, tables, strict=True):
        for what in sets:
            first = word == words[0]
            each = overlap_of(_of(table, what), None if first else _of(tables[0], what), "" if first else words[0])
            printed = JACCARD.get(word, {}).get(what, "-")
            cells.append(_line((word,), what, printed, each))
            content.append({"variant": word, "images": what} | asdict(each))
    return _table(name, title, cells, content, ("Organ network" if name == "table13" else "Share",))


def _table(
    name: str, title: str, cells: list[tuple[str, ...]], content: Sequence[Mapping[str, Any]], labels: tuple[str, ...]
) -> Table:
    return Table(
        name,
        title,
        (Part("", (*labels, *HEAD), tuple(cells)),),
        content,
        differs=ORGANS_DIFFER,
        not_to_conclude=(*ELSEWHERE, *NOT_CONCLUDED),
        system=SYSTEM,
        intervals=INTERVALS,
    )


def _line(labels: tuple[str, ...], what: str, printed: str, each: Overlap) -> tuple[str, ...]:
    compared = ("-", "-", "-", "-")
    if each.difference is not None:
        p_value = "no image differs" if each.p_value is None else f"{each.p_value:.2g}"
        compared = (each.against, _text(each.difference, "+.3f"), p_value, stars(each.p_value))
    return (
        *labels,
        SETS_IN_WORDS[what],
        printed,
        _text(each.mean, ".3f"),
        f"{each.spread:.3f}",
        str(each.mean.n),
        *compared,
    )


def _text(estimate: Estimate, form: str) -> str:
    if estimate.value is None:
        return "-"
    if estimate.ci_low is None or estimate.ci_high is None:
        return f"{estimate.value:{form}} [no interval]"
    return f"{estimate.value:{form}} [{estimate.ci_low:{form}}, {estimate.ci_high:{form}}]"


def _of(rows: pd.DataFrame, what: str) -> pd.DataFrame:
    return rows[rows["set"] == what]
