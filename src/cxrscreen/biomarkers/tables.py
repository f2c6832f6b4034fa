"""Tables VI to IX beside the paper's, and the tables that say how far they can be believed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final

import numpy as np
import pandas as pd

from cxrscreen.biomarkers.comparison import Comparison, compare
from cxrscreen.biomarkers.intervals import Interval, Intervals, weighted_std
from cxrscreen.biomarkers.measure import MARKERS, STATES
from cxrscreen.biomarkers.paper import CLASS_TITLES, CLASSES, PRINTED, PrintedTable
from cxrscreen.biomarkers.study import LABELS

SUPINE: Final = "AP Supine"
UNIFIED: Final = ("normal", "tuberculosis", "bacterial", "viral or COVID-19")
"""Classes of Fig. 5: the paper joins the last two, which it could not tell apart."""
SOURCE_MARKERS: Final = ("lung_mean", "lung_std")
ALL_MASKS: Final = "-all-masks"
"""Ending of the name of a table that also takes lungs which reach behind the heart."""


@dataclass(frozen=True, eq=False)
class MarkerTable:
    """A marker by class.

    Parameters
    ----------
    name
        ``"table6"`` and so on; the file's name.
    title
        One line.
    about
        Which images, in a sentence.
    classes
        By name in the comparison: their title.
    comparison
        Our figures.
    printed
        The paper's; None where it prints none.
    """

    name: str
    title: str
    about: str
    classes: Mapping[str, str]
    comparison: Comparison
    printed: PrintedTable | None = None

    def shown(self) -> pd.DataFrame:
        """The table as text, in the form of the paper's.

        Returns
        -------
        DataFrame
            A row a class: ``Class``, ``Images (patients)``, our and the paper's mean and standard deviation, and a
            column for each class but the last with the stars against it: ours by image / ours by patient and corrected
            / the paper's.
        """
        titles = list(self.classes.values())
        rows = []
        for index, (name, figures) in enumerate(
            zip(self.classes, self.comparison.groups.to_dict("records"), strict=True)
        ):
            row = {
                "Class": self.classes[name],
                "Images (patients)": f"{figures['images']} ({figures['patients']})",
                "Mean": _with_ends(figures, "mean"),
                "Paper's mean": _plain(self.printed.mean.get(name) if self.printed else None),
                "SD": _with_ends(figures, "std"),
                "Paper's SD": _plain(self.printed.std.get(name) if self.printed else None),
            }
            others = list(self.classes)[:-1]
            row |= {
                titles[place]: self._stars(other, name) if place < index else "" for place, other in enumerate(others)
            }
            rows.append(row)
        shown = pd.DataFrame(rows)
        return shown if self.printed else shown.drop(columns=["Paper's mean", "Paper's SD"])

    def _stars(self, first: str, second: str) -> str:
        pairs = self.comparison.pairs
        own = pairs[(pairs["first"] == first) & (pairs["second"] == second)]
        ours = ("n/a", "n/a") if own.empty else tuple(own[["stars_images", "stars_patients"]].iloc[0])
        printed = (self.printed.stars.get((first, second), "n/a"),) if self.printed else ()
        return " / ".join((*ours, *printed))


def paper_tables(rows: pd.DataFrame, intervals: Intervals) -> tuple[MarkerTable, ...]:
    """Tables VI to IX, each on lungs without the heart, and on all masks where there are others.

    Parameters
    ----------
    rows
        A study's rows.
    intervals
        By patient.
    """
    clean = rows[~rows["heart_in_lungs"].astype(bool)]
    tables = []
    for printed in PRINTED:
        classes = LABELS if printed.marker == "ctr" else CLASSES
        variants = [("", "", clean, "masks whose lungs leave the heart out, as the paper's do")]
        if len(clean) < len(rows) and printed.marker != "ctr":
            variants.append(
                (ALL_MASKS, " (all masks)", rows, "all masks, also those whose lungs reach behind the heart")
            )
        for ending, words, own, about in variants:
            kept = own[own["view"] != SUPINE] if printed.without_supine else own
            extra = " AP supine radiographs are left out where the view is known." if printed.without_supine else ""
            tables.append(
                MarkerTable(
                    printed.name + ending,
                    f"Table {printed.number}: {printed.title}{words}",
                    f"Images with {about}.{extra}",
                    {name: CLASS_TITLES[name] for name in classes},
                    compare(kept, printed.marker, classes, intervals),
                    printed,
                )
            )
    return tuple(tables)


def further_tables(rows: pd.DataFrame, intervals: Intervals) -> tuple[MarkerTable, ...]:
    """The markers of Fig. 5 (patches) and the form of the lungs, on lungs without the heart."""
    clean = rows[~rows["heart_in_lungs"].astype(bool)]
    joined = clean.assign(label=clean["label"].replace({"viral": UNIFIED[3], "covid19": UNIFIED[3]}))
    titles = {**{name: CLASS_TITLES[name] for name in UNIFIED[:3]}, UNIFIED[3]: "Viral or COVID-19"}
    about = "Masks whose lungs leave the heart out; a value an image, patches drawn within its lungs."
    patches = tuple(
        MarkerTable(
            f"fig5-{marker.replace('_', '-')}",
            MARKERS[marker],
            about,
            titles,
            compare(joined, marker, UNIFIED, intervals),
        )
        for marker in ("inter_patch_mean", "inter_patch_std", "intra_patch_std")
    )
    form = tuple(
        MarkerTable(
            f"form-{marker.replace('_', '-')}",
            MARKERS[marker],
            "Masks whose lungs leave the heart out, each squeezed to a square.",
            {name: CLASS_TITLES[name] for name in CLASSES},
            compare(clean, marker, CLASSES, intervals),
        )
        for marker in ("lung_area", "left_to_right", "irregularity", "solidity")
    )
    return (*patches, *form)


def source_tables(rows: pd.DataFrame, intervals: Intervals) -> tuple[MarkerTable, ...]:
    """One class between sources and the classes within a source: what a source does to a marker without a disease.

    Masks that leave the heart out and masks that do not are never in one table.
    """
    with_heart = rows["heart_in_lungs"].astype(bool)
    conventions = (
        ("", "", "leave the heart out", rows[~with_heart]),
        (_WITH_HEART, _IN_WORDS, "reach behind the heart", rows[with_heart]),
    )
    return tuple(
        table
        for ending, words, about, own in conventions
        if not own.empty
        for table in _by_source(own, ending, words, f"Masks whose lungs {about}. {_ONE_CLASS}", intervals)
    )


_WITH_HEART: Final = "-with-heart"
_IN_WORDS: Final = " (lungs with the heart)"
_ONE_CLASS: Final = "Two rows of one class differ by their source alone, two rows of one source by their class."


def _by_source(
    rows: pd.DataFrame, ending: str, words: str, about: str, intervals: Intervals
) -> tuple[MarkerTable, ...]:
    rows = rows.assign(both=rows["label"] + " in " + rows["source"])
    groups = [
        f"{label} in {source}"
        for label in CLASSES
        for source in sorted(rows.loc[rows["label"] == label, "source"].unique())
    ]
    titles = {name: f"{CLASS_TITLES[name.split(' in ')[0]]}, {name.split(' in ', 1)[1]}" for name in groups}
    return tuple(
        MarkerTable(
            f"sources-{marker.replace('_', '-')}{ending}",
            f"{MARKERS[marker]}, by source{words}",
            about,
            titles,
            compare(rows, marker, groups, intervals, by="both"),
        )
        for marker in SOURCE_MARKERS
        if groups
    )


@dataclass(frozen=True)
class Separation:
    """How far two groups of images lie apart.

    Parameters
    ----------
    first, second
        The group with the larger values and the other one, in words.
    marker
        Its column.
    chance, low, high
        Chance that an image of the first exceeds one of the second, from 0.5 (not at all apart) to 1, with its ends.
    same_class
        Whether the two are of one class in two sources; else of two classes in one source.
    patients
        Of the smaller group.
    """

    first: str
    second: str
    marker: str
    chance: float
    low: float | None
    high: float | None
    same_class: bool
    patients: int


def separations(tables: Sequence[MarkerTable]) -> tuple[Separation, ...]:
    """Pairs of the tables by source that share their class or their source, the furthest apart first."""
    found = []
    for table in tables:
        patients = table.comparison.groups.set_index("class")["patients"].to_dict()
        pairs: dict[tuple[str, str], dict[Any, Any]] = {
            (str(pair["first"]), str(pair["second"])): pair for pair in table.comparison.pairs.to_dict("records")
        }
        for first, second in combinations(table.classes, 2):
            (label, source), (other_label, other_source) = first.split(" in ", 1), second.split(" in ", 1)
            if (first, second) in pairs and (label == other_label) != (source == other_source):
                fewest = int(min(patients[first], patients[second]))
                found.append(_separation(table, (first, second), pairs[first, second], label == other_label, fewest))
    return tuple(sorted(found, key=lambda item: -item.chance))


def _separation(
    table: MarkerTable, names: tuple[str, str], pair: Mapping[Any, Any], same_class: bool, patients: int
) -> Separation:
    chance, low, high = (pair[key] for key in ("superiority", "superiority_low", "superiority_high"))
    words = _IN_WORDS if table.name.endswith(_WITH_HEART) else ""
    titles = table.classes[names[0]] + words, table.classes[names[1]] + words
    if chance < 0.5:
        titles, chance, low, high = titles[::-1], 1 - chance, _opposite(high), _opposite(low)
    return Separation(*titles, table.comparison.marker, chance, low, high, same_class, patients)


def _opposite(value: float | None) -> float | None:
    return None if value is None else 1 - value


def heterogeneity(rows: pd.DataFrame, intervals: Intervals) -> dict[str, dict[str, Interval]]:
    """Spread between images of the mean grey value of their lungs, before and after the preprocessing (Fig. 11).

    Returns
    -------
    dict
        By class and state: standard deviation over images of the mean of the two lungs' means, in [0, 1].
    """
    found: dict[str, dict[str, Interval]] = {}
    for label in CLASSES:
        own = rows[(rows["label"] == label) & rows["original_right"].notna() & rows["original_left"].notna()]
        if own["group"].nunique() < 3:
            continue
        values = {state: _lungs(own, state) for state in STATES}
        made = intervals(
            lambda weights, values=values: {  # type: ignore[misc]
                state: weighted_std(of_state, weights) for state, of_state in values.items()
            },
            own["group"].tolist(),
        )
        found[label] = dict(made)
    return found


def _lungs(rows: pd.DataFrame, state: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    return rows[[f"{state}_right", f"{state}_left"]].mean(axis=1).to_numpy(np.float64)


def _with_ends(figures: Mapping[Any, Any], name: str) -> str:
    value, low, high = (figures[key] for key in (name, f"{name}_low", f"{name}_high"))
    if value is None or pd.isna(value):
        return "-"
    return f"{value:.3f}" if low is None or pd.isna(low) else f"{value:.3f} [{low:.3f}, {high:.3f}]"


def _plain(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
