"""Two audits of the same images side by side: what a bundle does otherwise than the one before it, with intervals."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxrscreen.data.protocols import PROTOCOLS, truth_by_label
from cxrscreen.errors import CxrscreenError
from cxrscreen.evaluate.audit.regions import POOLED, WITHIN
from cxrscreen.evaluate.audit.saliency import OWN_LUNGS
from cxrscreen.evaluate.bootstrap import REPLICATES, Estimate, bootstrap_all
from cxrscreen.evaluate.classification import MIN_PER_CLASS
from cxrscreen.evaluate.goal import Goal
from cxrscreen.evaluate.metrics import Floats
from cxrscreen.evaluate.weighted import weighted_auc
from cxrscreen.systems.decisions import Decision, all_decisions

AUC, BLACK, SHARE, POINTING = "AUC", "AUC with black lungs", "share of the map in the lungs", "pointing game"
"""What is compared."""
GOALS: Mapping[tuple[str, str, str], Goal] = {
    (AUC, "pneumonia", "nih"): Goal(0.74),
    (AUC, "covid19", "cohen"): Goal(0.85),
    (AUC, "covid19", POOLED): Goal(0.95),
    (BLACK, "covid19", POOLED): Goal(0.65, at_least=False),
}
"""By figure, decision and set of images; every map's share in the lungs has :data:`SHARE_GOAL`."""
SHARE_GOAL = Goal(0.9)

_EDIT = "black lungs"
_MOMENTS = ("before", "after")


@dataclass(frozen=True)
class Line:
    """One figure of both audits.

    Parameters
    ----------
    figure
        One of the four names of this module.
    about
        Decision in words, or name of the map.
    images
        Which images.
    before, after
        Of the two bundles; None where an audit has no such figure.
    change
        After less before: on the same resamples of patients where both audits keep scores by image, else without an
        interval.
    goal
        What the second bundle should reach; None where there is no goal.
    """

    figure: str
    about: str
    images: str
    before: Estimate | None
    after: Estimate | None
    change: Estimate | None
    goal: Goal | None = None


@dataclass(frozen=True)
class AuditComparison:
    """Two audits of the same images.

    Parameters
    ----------
    before, after
        Names and versions of the bundles.
    splits
        Digest by protocol.
    images
        Images that both screened.
    lines
        In the order of the page.
    """

    before: str
    after: str
    splits: Mapping[str, str]
    images: int
    lines: tuple[Line, ...]


def compare_audits(before: Path, after: Path, *, replicates: int = REPLICATES, seed: int = 0) -> AuditComparison:
    """Compare what two audits left behind.

    Parameters
    ----------
    before, after
        Folders that ``cxrscreen audit`` wrote.
    replicates, seed
        Of the bootstrap by patient group.

    Raises
    ------
    CxrscreenError
        If a folder is no audit's, or the two did not measure the same split of the same images.
    """
    contents = tuple(_content(folder) for folder in (before, after))
    splits = contents[0]["protocols"]
    if splits != contents[1]["protocols"]:
        raise CxrscreenError(
            "The two audits measured other splits or other images: audit both bundles with the same --manifest, "
            "--protocol and --seed."
        )
    scores = tuple(_scores(folder / "scores.csv") for folder in (before, after))
    rows = _paired(*scores)
    edited = _edited(before, after)
    lines: list[Line] = []
    for protocol in splits:
        lines += _aucs(rows, protocol, AUC, replicates, seed)
    for protocol in splits:
        if edited is None:
            lines += _black_of(contents, _decision(protocol))
        else:
            own = rows.merge(edited, on="image_id", suffixes=("_untouched", ""))
            lines += _aucs(own, protocol, BLACK, replicates, seed)
    lines += _of_maps(contents)
    bundles = [str(content["bundle"]) for content in contents]
    return AuditComparison(bundles[0], bundles[1], splits, len(rows), tuple(lines))


def _decision(protocol: str) -> Decision:
    """The decision that answers a protocol, of whichever system."""
    for decision in all_decisions():
        if protocol in decision.protocols and protocol in PROTOCOLS:
            return decision
    raise CxrscreenError(f"The audits measured {protocol}, which this version does not know: audit both bundles again.")


def _content(folder: Path) -> dict[str, Any]:
    try:
        content = json.loads((folder / "audit.json").read_text(encoding="utf-8"))
        if {"bundle", "protocols", "audits"} <= set(content):
            return dict(content)
    except (OSError, ValueError, TypeError):
        pass
    raise CxrscreenError(f"{folder.name} holds no readable audit.json: give the --out folder of cxrscreen audit.")


def _scores(file: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(file, dtype={"image_id": str, "group": str})
    except (OSError, ValueError) as error:
        raise CxrscreenError(f"{file.parent.name} holds no readable {file.name}: run its audit again.") from error
    missing = {"image_id"} - set(table.columns)
    if missing:
        raise CxrscreenError(f"{file.parent.name}/{file.name} lacks the column image_id: run its audit again.")
    return table


def _paired(before: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    """The images of both, with the scores of each as ``DECISION_before`` and ``DECISION_after``."""
    stages = dict.fromkeys(decision.stage for decision in all_decisions())
    decisions = [name for name in stages if name in before and name in after]
    facts = ["image_id", "source", "group", "label"]
    if missing := set(facts) - set(before.columns):
        raise CxrscreenError(f"A scores.csv lacks the column {min(missing)}: run the audit again.")
    rows = before[facts + decisions].merge(
        after[["image_id", *decisions]], on="image_id", suffixes=("_before", "_after")
    )
    if rows.empty:
        raise CxrscreenError("The two audits screened no image in common: audit both bundles with the same --manifest.")
    return rows


def _edited(before: Path, after: Path) -> pd.DataFrame | None:
    """Scores with black lungs of both; None where an audit did not keep them."""
    files = [folder / "scores-black-lungs.csv" for folder in (before, after)]
    if not all(file.is_file() for file in files):
        return None
    tables = [_scores(file) for file in files]
    one, other = (table[table["edit"] == _EDIT].drop(columns="edit") for table in tables)
    return one.merge(other, on="image_id", suffixes=("_before", "_after"))


def _aucs(rows: pd.DataFrame, protocol: str, figure: str, replicates: int, seed: int) -> Iterator[Line]:
    """AUCs pooled, within each source that holds both classes, and as their mean."""
    decision, truths = _decision(protocol), truth_by_label(protocol)
    columns = [f"{decision.stage}_{when}" for when in _MOMENTS]
    if not set(columns) <= set(rows.columns):
        return
    rows = rows[rows["label"].isin(truths)].dropna(subset=columns).reset_index(drop=True)
    truth = np.array([truths[str(label)] == 1 for label in rows["label"]], dtype=np.bool_)
    if not 0 < truth.sum() < truth.size:
        return
    scores = {when: rows[column].to_numpy(np.float64) for when, column in zip(_MOMENTS, columns, strict=True)}
    within: dict[str, NDArray[np.intp]] = {}
    for source in sorted(set(rows["source"])):
        members = np.flatnonzero((rows["source"] == source).to_numpy())
        if min(truth[members].sum(), (~truth[members]).sum()) >= MIN_PER_CLASS:
            within[str(source)] = members
    sets: dict[str, Sequence[NDArray[np.intp]]] = {POOLED: [np.arange(len(rows))]}
    if len(within) > 1:
        sets[WITHIN] = list(within.values())
    sets |= {source: [members] for source, members in within.items()}
    for images, parts in sets.items():
        used = np.concatenate(parts)
        place = {int(row): index for index, row in enumerate(used)}
        inside = [np.array([place[int(row)] for row in part], dtype=np.intp) for part in parts]
        own = {when: values[used] for when, values in scores.items()}
        found = bootstrap_all(
            partial(_both, truth[used], own, inside),
            rows["group"].astype(str).to_numpy()[used].tolist(),
            replicates=replicates,
            seed=seed,
        )
        goal = GOALS.get((figure, decision.stage, images))
        yield Line(figure, decision.words, images, found["before"], found["after"], found["change"], goal)


def _both(
    truth: NDArray[np.bool_],
    scores: Mapping[str, Floats],
    parts: Sequence[NDArray[np.intp]],
    weights: Floats,
) -> dict[str, Floats]:
    found: dict[str, Floats] = {
        when: np.mean([weighted_auc(truth[m], values[m], weights[:, m]) for m in parts], axis=0)
        for when, values in scores.items()
    }
    return found | {"change": found["after"] - found["before"]}


def _black_of(contents: Sequence[Mapping[str, Any]], decision: Decision) -> Iterator[Line]:
    """AUCs with black lungs as the audits state them, where they kept no scores of the edited images."""
    column = f"AUC {_EDIT}"
    found = [
        {str(row["Images"]): _estimate(row[column]) for row in rows if row["Decision"] == decision.words}
        for rows in (_rows(content, "black-lungs", column) for content in contents)
    ]
    for images in dict.fromkeys([*found[0], *found[1]]):
        goal = GOALS.get((BLACK, decision.stage, images))
        yield _unpaired(BLACK, decision.words, images, found[0].get(images), found[1].get(images), goal)


def _of_maps(contents: Sequence[Mapping[str, Any]]) -> Iterator[Line]:
    """Where the maps lie, as the audits state it."""
    for figure, column, of_images, goal in (
        (SHARE, "Share inside", "Lungs", SHARE_GOAL),
        (POINTING, "Pointing game", "Images", None),
    ):
        found = [
            {(str(row["Map"]), str(row[of_images])): _estimate(row[column]) for row in rows}
            for rows in (_rows(content, "saliency", column) for content in contents)
        ]
        for name, images in dict.fromkeys([*found[0], *found[1]]):
            known = not name.startswith("chance") and (figure != SHARE or images == OWN_LUNGS)
            one, other = (each.get((name, images)) for each in found)
            yield _unpaired(figure, name, images, one, other, goal if known else None)


def _unpaired(
    figure: str, about: str, images: str, before: Estimate | None, after: Estimate | None, goal: Goal | None
) -> Line:
    change = None
    if before is not None and after is not None and before.value is not None and after.value is not None:
        change = Estimate(after.value - before.value, None, None, after.n, after.groups, "difference of two figures")
    return Line(figure, about, images, before, after, change, goal)


def _rows(content: Mapping[str, Any], part: str, column: str) -> list[dict[str, Any]]:
    """Rows by column name of the table of a part that has this column; none where the part was not run."""
    for audit in content["audits"]:
        for table in audit["tables"] if audit["name"] == part else ():
            if column in table["columns"]:
                return [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]
    return []


def _estimate(value: Any) -> Estimate | None:
    return Estimate(**value) if isinstance(value, Mapping) else None
