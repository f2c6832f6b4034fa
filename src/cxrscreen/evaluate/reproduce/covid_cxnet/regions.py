"""What the region of interest does: where maps lie, what it costs, and what burned-in text still moves (Fig. 20)."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import pandas as pd

from cxrscreen.evaluate.audit.change import Change, changes_of
from cxrscreen.evaluate.audit.untouched import UNTOUCHED
from cxrscreen.evaluate.bootstrap import REPLICATES, Estimate
from cxrscreen.evaluate.reproduce.covid_cxnet import wording as say
from cxrscreen.evaluate.reproduce.covid_cxnet.measure import (
    HALF,
    NEW,
    Measured,
    compare,
    left_out_rows,
    lung_shares,
    mean_of,
    measure,
)
from cxrscreen.evaluate.reproduce.covid_cxnet.recipe import WITHOUT
from cxrscreen.evaluate.reproduce.covid_cxnet.runs import EDITS, CxNetRuns
from cxrscreen.evaluate.reproduce.table import Part, Table, percent
from cxrscreen.evaluate.several_classes import PREFIX
from cxrscreen.systems.covid_cxnet.classes import CLASSES, WORDS

KINDS: Mapping[str, str] = {
    "whole": "whole radiograph",
    "box": "box around the lungs",
    "own": "the lungs alone (mask)",
}
"""Trainings that differ in the region alone, the one without a region first."""
EDIT_WORDS: Mapping[str, str] = {"burned": "letter and word burned in", "concealed": "marks painted over"}
CLASS_NAMES = CLASSES["binary"]


def roi(runs: CxNetRuns) -> Table:
    """Share of Grad-CAM inside the lungs without and with the region of interest, and the cost in accuracy."""
    lists = {kind: runs.outputs(kind) for kind in KINDS}
    source = runs.recipe.within
    # The box is there to part cutting from masking; the rows of the tables are the other two.
    unseen = {k: left_out_rows(runs.outputs(f"{k}{WITHOUT}{source}"), source) for k in KINDS if k != "box"}
    found = {kind: measure(rows, CLASS_NAMES, unseen.get(kind)) for kind, rows in lists.items()}
    shares = {kind: shares_by_class(rows) for kind, rows in lists.items()}
    changes = {kind: compare(lists["whole"], rows) for kind, rows in lists.items() if kind != "whole"}
    by_class: dict[str, dict[str, dict[str, Estimate]]] = {
        name: {
            kind: compare_shares(of_class(lists["whole"], name), of_class(rows, name))
            for kind, rows in lists.items()
            if kind != "whole"
        }
        for name in CLASS_NAMES
    }
    content: list[Mapping[str, Any]] = [
        {
            "region": kind,
            "lung_share": {name: _plain(own) for name, own in shares[kind].items()},
            "pooled": _plain(found[kind].pooled),
            "within": {name: _plain(own) for name, own in found[kind].within.items()},
            "left_out": _plain(found[kind].left_out),
            "less_whole": _plain(changes.get(kind, {})),
            "lung_share_less_whole": {name: _plain(own[kind]) for name, own in by_class.items() if kind in own},
        }
        for kind in KINDS
    ]
    masked = _mask_alone(lists)
    content.append(
        {
            "region": "own less box",
            "less_box": _plain(masked["figures"]),
            "lung_share_less_box": _plain(masked["shares"]),
        }
    )
    parts = (_shares_part(shares, by_class), _figures_part(found, changes, source), _mask_part(masked))
    return Table(
        "roi",
        "The region of interest: where the maps lie, and what it costs",
        parts,
        content,
        differs=(*say.ROI_DIFFERS, *say.DIFFERS),
        not_to_conclude=(*say.ROI_CONCLUDE, say.FEW_NORMAL, *say.NOT_CONCLUDED),
        answer=_roi_answer(by_class, changes, masked),
        system=say.SYSTEM,
        intervals=f"{say.INTERVALS} {say.PAIRED}",
    )


def burned_in_text(runs: CxNetRuns) -> Table:
    """What marks that are burned in, or painted over, do to the answers and to the maps."""
    lines, content = [], []
    for kind, word in KINDS.items():
        rows = runs.outputs(kind)
        before = rows[rows["part"] == "test"]
        for edit in EDITS:
            after = runs.edited(kind, edit)
            for images, chosen in (("all test images", after), ("those it shows in", after[after["touched"]])):
                if chosen.empty or (images != "all test images" and edit == "burned"):
                    continue
                change, share = text_change(before, chosen, edit)
                lines.append(
                    (
                        word,
                        EDIT_WORDS[edit],
                        f"{images}, {change.n}",
                        percent(change.mean, signed=True),
                        percent(change.mean_absolute),
                        percent(change.flipped),
                        percent(share, signed=True),
                    )
                )
                content.append(
                    {"region": kind, "edit": edit, "images": images, "answer": asdict(change)}
                    | {"lung_share": None if share is None else asdict(share)}
                )
    head = (
        "Region",
        "Edit",
        "Images",
        "P(COVID-19), mean change",
        "Mean size of the change",
        "Decisions flipped",
        "Grad-CAM inside the lungs, mean change",
    )
    return Table(
        "burned-in-text",
        "Burned-in text and its removal (Fig. 20)",
        (Part("Edited less untouched image", head, tuple(lines)), *_where_found(runs)),
        content,
        differs=(*say.TEXT_DIFFERS, *say.DIFFERS),
        not_to_conclude=(*say.TEXT_CONCLUDE, *say.NOT_CONCLUDED),
        system=say.SYSTEM,
        intervals=f"{say.INTERVALS} {say.PAIRED}",
    )


def of_class(rows: pd.DataFrame, name: str) -> pd.DataFrame:
    """Test images of a class."""
    return rows[(rows["part"] == "test") & (rows["truth"] == name)]


def shares_by_class(rows: pd.DataFrame, *, replicates: int = REPLICATES) -> dict[str, dict[str, Estimate]]:
    """Lung shares of the test images by class; see :func:`lung_shares`."""
    return {name: lung_shares(of_class(rows, name), replicates=replicates) for name in CLASS_NAMES}


def compare_shares(first: pd.DataFrame, second: pd.DataFrame, *, replicates: int = REPLICATES) -> dict[str, Estimate]:
    """Mean change of the share of Grad-CAM inside the lungs, and of what lies above an even map, image by image."""
    one, other = (rows.set_index("image_id").sort_index() for rows in (first, second))
    if not one.index.equals(other.index):
        raise ValueError("both trainings must be asked about the same images")
    share = other["lung_share"] - one["lung_share"]
    above = share - (other["lung_area"] - one["lung_area"])
    known = share.notna()
    groups = one.loc[known, "group"].astype(str).tolist()
    if not groups:
        return {}
    columns = {"share": share, "above even": above}
    return {name: mean_of(column[known].to_numpy(), groups, replicates) for name, column in columns.items()}


def text_change(
    before: pd.DataFrame, after: pd.DataFrame, edit: str, *, replicates: int = REPLICATES
) -> tuple[Change, Estimate | None]:
    """What an edit does to the probability of COVID-19, and to the share of Grad-CAM inside the lungs.

    Parameters
    ----------
    before, after
        Answers about the same images untouched and edited; of ``before`` those that are not in ``after`` are left out.
    edit
        Its name.
    replicates
        Of the bootstrap by patient group.
    """
    score = PREFIX + NEW
    rows = after.merge(before[["image_id", score, "lung_share"]], on="image_id", suffixes=("", "_before"))
    rows = rows.rename(columns={score: edit, f"{score}_before": UNTOUCHED})
    change = changes_of(rows, (edit,), HALF, replicates=replicates, seed=0)[edit]
    moved = rows["lung_share"] - rows["lung_share_before"]
    known = moved.notna()
    if not known.any():
        return change, None
    return change, mean_of(moved[known].to_numpy(), rows.loc[known, "group"].astype(str).tolist(), replicates)


def _shares_part(
    shares: Mapping[str, Mapping[str, Mapping[str, Estimate]]],
    changes: Mapping[str, Mapping[str, Mapping[str, Estimate]]],
) -> Part:
    def ratios(figures: Mapping[str, Estimate]) -> tuple[str, str]:
        inside, even = (figures[name].value if name in figures else None for name in ("share", "even"))
        if inside is None or even is None or not 0 < even < 1 or inside == 1:
            return "-", "-"
        return f"{inside / even:.2f}", f"{inside / (1 - inside) / (even / (1 - even)):.2f}"

    lines = tuple(
        (
            word,
            WORDS[name],
            *(percent(shares[kind][name].get(figure)) for figure in ("share", "even")),
            percent(shares[kind][name].get("above even"), signed=True),
            *ratios(shares[kind][name]),
            *(percent(changes[name].get(kind, {}).get(figure), signed=True) for figure in ("share", "above even")),
        )
        for kind, word in KINDS.items()
        for name in CLASS_NAMES
    )
    head = (
        "Region",
        "Images",
        "Grad-CAM inside the lungs",
        "An even map",
        "Above the even map",
        "Ratio to the even map",
        "Ratio of their odds",
        "Inside, less whole radiograph",
        "Above even, less whole radiograph",
    )
    return Part("Share of Grad-CAM inside the lungs, test images", head, lines)


def _figures_part(found: Mapping[str, Measured], changes: Mapping[str, Mapping[str, Estimate]], source: str) -> Part:
    lines = []
    for kind, word in KINDS.items():
        for name, figure in (
            ("accuracy", "accuracy"),
            ("auc", f"auc {NEW}"),
            ("sensitivity", f"sensitivity {NEW}"),
            ("specificity", f"specificity {NEW}"),
        ):
            own = found[kind]
            within = "; ".join(f"{where} {percent(each[figure])}" for where, each in own.within.items())
            unseen = own.left_out.get(figure)
            lines.append(
                (
                    word,
                    "AUC" if name == "auc" else name.capitalize(),
                    percent(own.pooled.get(figure)),
                    percent(changes.get(kind, {}).get(name), signed=True),
                    f"{within} ({own.within_of})" if within else "-",
                    "-" if unseen is None else f"{source} {percent(unseen)}",
                )
            )
    head = ("Region", "Figure", "Pooled", "Less whole radiograph", "Within sources", "Left out")
    return Part("What it costs", head, tuple(lines))


def _mask_alone(lists: Mapping[str, pd.DataFrame]) -> dict[str, dict[str, Estimate]]:
    """What blackening does beyond cutting: the lungs alone less the box around them, COVID-19 images for the maps."""
    box, own = lists["box"], lists["own"]
    return {"figures": compare(box, own), "shares": compare_shares(of_class(box, NEW), of_class(own, NEW))}


def _mask_part(masked: Mapping[str, Mapping[str, Estimate]]) -> Part:
    words = {"share": "Grad-CAM inside the lungs, COVID-19", "above even": "Above the even map, COVID-19"}
    rows = [(words[name], percent(change, signed=True)) for name, change in masked["shares"].items()]
    figures = masked["figures"].items()
    rows += [("AUC" if name == "auc" else name.capitalize(), percent(each, signed=True)) for name, each in figures]
    return Part("What the mask adds to the box", ("Figure", "The lungs alone less the box around them"), tuple(rows))


def _roi_answer(
    shares: Mapping[str, Mapping[str, Mapping[str, Estimate]]],
    changes: Mapping[str, Mapping[str, Estimate]],
    masked: Mapping[str, Mapping[str, Estimate]],
) -> tuple[str, ...]:
    inside = shares[NEW]["own"]
    share, above = (percent(inside.get(name), signed=True) for name in ("share", "above even"))
    return (
        "With the lungs alone, the share of Grad-CAM inside the lungs on COVID-19 images changes by "
        f"{share} points, of which {above} are more than the smaller region alone would bring.",
        f"Accuracy changes by {percent(changes['own'].get('accuracy'), signed=True)} points (paper: 99.04 to 98.62).",
        "To the cut to the lungs' box, blackening what is not lung adds "
        f"{percent(masked['shares'].get('share'), signed=True)} points of the share and "
        f"{percent(masked['figures'].get('accuracy'), signed=True)} of the accuracy; the rest is the cut's.",
    )


def _where_found(runs: CxNetRuns) -> tuple[Part, ...]:
    rows = runs.edited("whole", "concealed")
    lines = tuple(
        (str(source), WORDS[name], str(int(own["touched"].sum())), str(len(own)))  # type: ignore[index]
        for (source, name), own in rows.groupby(["source", "truth"], sort=True)
    )
    return (Part("Where something like a mark was found", ("Source", "Class", "With a mark", "Images"), lines),)


def _plain(figures: Mapping[str, Estimate]) -> dict[str, Any]:
    return {name: asdict(each) for name, each in figures.items()}
