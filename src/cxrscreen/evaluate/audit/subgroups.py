"""Subgroups: sex, age, view, children, source and severity, each with its own figures or none."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxrscreen.evaluate.audit.interval_figure import interval_figure
from cxrscreen.evaluate.audit.part import AuditData, AuditFigure, AuditPart, AuditTable, Cell
from cxrscreen.evaluate.audit.untouched import score_rows, threshold_of
from cxrscreen.evaluate.audit.wording import shown
from cxrscreen.evaluate.bootstrap import Estimate, bootstrap, bootstrap_all, grouped_rate
from cxrscreen.evaluate.metrics import Floats
from cxrscreen.evaluate.weighted import weighted_auc

FEWEST = 10
"""Images of a class below which a figure on it is "not assessable"."""
ADULT_AGE = 18
AGE_BANDS = ((0, 18), (18, 40), (40, 60), (60, 75), (75, 200))
"""Years, the lower end included."""
CHANGE = 0.05
"""Change of the AUC without children from which on they are said to carry the result."""

AXES = ("sex", "age", "view", "children", "source", "extent", "opacity")
"""Columns of :func:`subgroup_columns`, in the order of the tables."""
NO_SUBGROUP = ("unknown", "")


@dataclass(frozen=True)
class Subgroup:
    """Figures of one subgroup.

    Parameters
    ----------
    axis, value
        For example ``"sex"`` and ``"F"``.
    positives, negatives
        Images of each class.
    auc, sensitivity, specificity
        None where not assessable: fewer than :data:`FEWEST` positives or negatives (both for the AUC).
    """

    axis: str
    value: str
    positives: int
    negatives: int
    auc: Estimate | None
    sensitivity: Estimate | None
    specificity: Estimate | None

    @property
    def cells(self) -> tuple[Cell, ...]:
        """A row of a table."""
        figures = (self.auc, self.sensitivity, self.specificity)
        return (
            self.axis,
            self.value,
            self.positives,
            self.negatives,
            *("not assessable" if figure is None else figure for figure in figures),
        )


def audit_subgroups(data: AuditData) -> AuditPart:
    """Measure every decision within subgroups, pooled and within the sources that hold both classes.

    Returns
    -------
    AuditPart
        Passed where no subgroup's AUC lies, interval below interval, under that of all images, and leaving out the
        children changes no AUC by more than :data:`CHANGE`; None where no subgroup could be assessed.
    """
    tables: list[AuditTable] = []
    figures, sentences, verdicts = [], [], []
    for protocol in data.splits:
        decision = data.decision(protocol).words
        data.advance(f"subgroups, {decision}")
        scores = score_rows(data, protocol)
        axes = subgroup_columns(data.manifest.table.loc[scores["image_id"]])
        rows = pd.concat([scores.reset_index(drop=True), axes.drop(columns="source").reset_index(drop=True)], axis=1)
        threshold = threshold_of(data, protocol)
        everyone = measure(rows, threshold, "all", "all images", data)
        pooled = list(_subgroups(rows, threshold, data, AXES))
        within = [
            (str(source), group)
            for source, of_source in rows.groupby("source", sort=True)
            if _both_classes(of_source)
            for group in _subgroups(of_source, threshold, data, ("sex", "age", "view", "children"))
        ]
        tables += _tables(decision, threshold, everyone, pooled, within)
        lower = _lower(pooled, everyone)
        children = without_children(rows, data)
        tables.append(_children_table(decision, children))
        assessed = [group for group in pooled if group.auc is not None]
        if assessed:
            figures.append(_figure(decision, everyone, assessed))
        verdicts += _verdicts(assessed, lower, children)
        sentences.append(_sentence(decision, everyone, assessed, lower, children))
    return AuditPart(
        name="subgroups",
        title="Subgroups",
        question="Does the system work for women and men, young and old, every view, every source and severity?",
        design=(
            f"Test images, scores at the operating point in use. A figure on fewer than {FEWEST} images of its class "
            'is "not assessable". AUC with bootstrap intervals by patient group, rates with Wilson intervals, the '
            "sample size adjusted for patient groups. View AP Supine stands for portable, which manifests do not tell. "
            "Severity is the sources' (geographic extent 0 to 8, opacity 0 to 6, COVID-19 only). Without children: "
            f"images of known under-{ADULT_AGE}s left out, those of unknown age kept. Passed where no subgroup's AUC "
            "interval lies wholly below that of all images, and the AUC without children differs by at most "
            f"{CHANGE}."
        ),
        passed=all(verdicts) if verdicts else None,
        finding=" ".join(sentences),
        tables=tuple(tables),
        figures=tuple(figures),
        not_to_conclude=(
            "Subgroups of pooled sources differ in hospital and disease too; a difference between them is not the "
            "effect of sex, age or view. Intervals are not corrected for the number of subgroups. Not assessable does "
            "not mean equal."
        ),
    )


def subgroup_columns(table: pd.DataFrame) -> pd.DataFrame:
    """Give the subgroups of each image, from the manifest's columns.

    Parameters
    ----------
    table
        Rows of a manifest.

    Returns
    -------
    DataFrame
        Strings in the columns :data:`AXES`, ``"unknown"`` where the manifest does not say.
    """
    age = pd.to_numeric(table["age"], errors="coerce")
    child = (table["pediatric"] == "true") | (age < ADULT_AGE)
    adult = ~child & ((table["pediatric"] == "false") | (age >= ADULT_AGE))
    columns = {
        "sex": table["sex"].where(table["sex"].isin(("F", "M")), "unknown"),
        "age": _banded(age, AGE_BANDS, [f"{a}-{b - 1}" for a, b in AGE_BANDS[:-1]] + [f"{AGE_BANDS[-1][0]} and over"]),
        "view": table["view"].replace({"AP Supine": "AP supine (portable)", "": "unknown"}),
        "children": pd.Series(np.select([child, adult], ["child", "adult"], "unknown"), index=table.index),
        "source": table["source"],
        "extent": _severity(table["severity_geographic"], (2, 5), 8),
        "opacity": _severity(table["severity_opacity"], (2, 4), 6),
    }
    return pd.DataFrame(columns)[list(AXES)]


def measure(rows: pd.DataFrame, threshold: float, axis: str, value: str, data: AuditData) -> Subgroup:
    """Measure one set of images; ``rows`` has the columns truth, score and group."""
    truth, scores, groups = _arrays(rows)
    enough = {True: int(truth.sum()) >= FEWEST, False: int((~truth).sum()) >= FEWEST}
    area = None
    if all(enough.values()):
        area = bootstrap(
            lambda weights: weighted_auc(truth, scores, weights), groups, replicates=data.replicates, seed=data.seed
        )
    right, names = (scores >= threshold) == truth, np.asarray(groups)
    rates = {
        kind: grouped_rate(right[truth == kind], names[truth == kind]) if enough[kind] else None
        for kind in (True, False)
    }
    return Subgroup(axis, value, int(truth.sum()), int((~truth).sum()), area, rates[True], rates[False])


@dataclass(frozen=True)
class WithoutChildren:
    """The AUC with and without known children; estimates None where a class has fewer than :data:`FEWEST` images.

    Parameters
    ----------
    children
        Images of known children.
    everyone, adults, change
        AUC of all images, of the others, and the second less the first.
    """

    children: int
    everyone: Estimate | None
    adults: Estimate | None
    change: Estimate | None


def without_children(rows: pd.DataFrame, data: AuditData) -> WithoutChildren:
    """Measure the AUC with and without known children on the same resamples of patient groups."""
    truth, scores, groups = _arrays(rows)
    kept = (rows["children"] != "child").to_numpy()
    counted = [int((truth[kept] == kind).sum()) for kind in (True, False)]
    if min(counted) < FEWEST:
        return WithoutChildren(int((~kept).sum()), None, None, None)

    def statistics(weights: Floats) -> dict[str, Floats]:
        everyone = weighted_auc(truth, scores, weights)
        adults = weighted_auc(truth[kept], scores[kept], weights[:, kept])
        return {"everyone": everyone, "adults": adults, "change": adults - everyone}

    estimates = bootstrap_all(statistics, groups, replicates=data.replicates, seed=data.seed)
    return WithoutChildren(int((~kept).sum()), estimates["everyone"], estimates["adults"], estimates["change"])


def _subgroups(rows: pd.DataFrame, threshold: float, data: AuditData, axes: tuple[str, ...]) -> Iterator[Subgroup]:
    for axis in axes:
        values = [value for value in sorted(rows[axis].unique()) if value not in NO_SUBGROUP]
        if len(values) + rows[axis].isin(NO_SUBGROUP).any() < 2:
            continue
        for value in values:
            yield measure(rows[rows[axis] == value], threshold, axis, str(value), data)
        unknown = rows[rows[axis].isin(NO_SUBGROUP)]
        if len(unknown):
            yield measure(unknown, threshold, axis, "unknown", data)


def _lower(groups: list[Subgroup], everyone: Subgroup) -> list[Subgroup]:
    """Subgroups whose AUC lies, interval below interval, under that of all images."""
    low = None if everyone.auc is None else everyone.auc.ci_low
    if low is None:
        return []
    return [group for group in groups if group.auc and group.auc.ci_high is not None and group.auc.ci_high < low]


def _verdicts(assessed: list[Subgroup], lower: list[Subgroup], children: WithoutChildren) -> list[bool]:
    verdicts = [not lower] if assessed else []
    if children.children and children.change is not None and children.change.value is not None:
        verdicts.append(abs(children.change.value) <= CHANGE)
    return verdicts


def _sentence(
    decision: str, everyone: Subgroup, assessed: list[Subgroup], lower: list[Subgroup], children: WithoutChildren
) -> str:
    text = f"{decision}: AUC {shown(everyone.auc)} on all images, {len(assessed)} subgroups assessable"
    if lower:
        text += ", clearly lower in " + ", ".join(f"{g.axis} {g.value} ({shown(g.auc)})" for g in lower)
    elif assessed:
        text += ", none clearly lower"
    if children.children and children.change is not None:
        text += f"; without {children.children} images of children {shown(children.adults)}"
    return text + "."


def _tables(
    decision: str,
    threshold: float,
    everyone: Subgroup,
    pooled: list[Subgroup],
    within: list[tuple[str, Subgroup]],
) -> Iterator[AuditTable]:
    head = ("Subgroup of", "Value", "n+", "n-", "AUC", "Sensitivity", "Specificity")
    rows = tuple(group.cells for group in (everyone, *pooled))
    yield AuditTable(f"{decision}: subgroups, sources pooled, positive at {threshold:.3f} or above", head, rows)
    if within:
        rows = tuple((source, *group.cells) for source, group in within)
        yield AuditTable(f"{decision}: subgroups within sources that hold both classes", ("Source", *head), rows)


def _children_table(decision: str, found: WithoutChildren) -> AuditTable:
    row = (found.children, found.everyone, found.adults, found.change)
    columns = ("Images of children", "AUC of all", "AUC without children", "Change")
    return AuditTable(f"{decision}: without children", columns, (row,))


def _figure(decision: str, everyone: Subgroup, assessed: list[Subgroup]) -> AuditFigure:
    panel = {
        f"{group.axis}: {group.value} ({group.positives} / {group.negatives})": [group.auc]
        for group in (everyone, *assessed)
    }
    title = f"{decision}: AUC by subgroup (n+ / n-), sources pooled"
    figure = interval_figure({title: panel}, ["AUC"], axis="AUC", chance=0.5)
    return AuditFigure(title, figure, f"AUC with intervals of {len(assessed)} subgroups beside that of all images.")


def _both_classes(rows: pd.DataFrame) -> bool:
    return min(int(rows["truth"].sum()), int((1 - rows["truth"]).sum())) >= FEWEST


def _banded(values: "pd.Series[float]", bands: tuple[tuple[int, int], ...], names: list[str]) -> "pd.Series[str]":
    edges = [bands[0][0], *(high for _, high in bands)]
    banded: pd.Series[str] = pd.cut(values, edges, right=False, labels=names).astype(object).fillna("unknown")
    return banded


def _severity(values: "pd.Series[str]", ends: tuple[int, int], top: int) -> "pd.Series[str]":
    names = [f"0 to {ends[0]}", f"over {ends[0]} to {ends[1]}", f"over {ends[1]} to {top}"]
    numbers = pd.to_numeric(values, errors="coerce")
    banded = pd.cut(numbers, [0, *ends, top], labels=names, include_lowest=True)
    return banded.astype(object).fillna("unknown")


def _arrays(rows: pd.DataFrame) -> tuple[NDArray[np.bool_], Floats, list[str]]:
    return (
        rows["truth"].to_numpy().astype(bool),
        rows["score"].to_numpy(dtype=np.float64),
        rows["group"].astype(str).tolist(),
    )
