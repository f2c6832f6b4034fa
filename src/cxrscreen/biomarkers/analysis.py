"""All that follows from the measurements of a study: tables, spreads, what a missing quarter does, agreement."""

from collections.abc import Collection
from dataclasses import dataclass

import pandas as pd

from cxrscreen.biomarkers.intervals import Interval, Intervals, Rates
from cxrscreen.biomarkers.missing_quarter import Detection, Effect, Missed, detect, missed_quarters, summarise_effects
from cxrscreen.biomarkers.ratio_agreement import CtrAgreement, ratio_agreement
from cxrscreen.biomarkers.study import Study
from cxrscreen.biomarkers.tables import (
    ALL_MASKS,
    MarkerTable,
    Separation,
    further_tables,
    heterogeneity,
    paper_tables,
    separations,
    source_tables,
)
from cxrscreen.data.manifest import Manifest
from cxrscreen.data.protocols import make_split
from cxrscreen.errors import ManifestError


@dataclass(frozen=True, eq=False)
class Analysis:
    """What was found.

    Parameters
    ----------
    counts
        A row for each class, source, origin of the masks and convention: ``images`` and ``patients``.
    paper, further, sources
        Tables VI to IX; patches and form of the lungs; markers by source.
    separations
        Pairs of one class in two sources, or of two classes in one source, the furthest apart first.
    spreads
        By class and state: spread between images of their mean lung grey value.
    effects, detection
        What a missing quarter of a lung does and whether it is noticed.
    missed
        How often predicted lungs lack a quarter of the reference's.
    agreement
        Of the cardiothoracic ratio of predicted masks with the reference; None where none was predicted.
    heart_of_reference
        Whether the predicted masks had no heart, so that the reference's was taken on both sides.
    taught
        Images with predicted and reference masks that are in neither ``missed`` nor ``agreement``, since their patients
        taught the network that predicted or chose it.
    """

    counts: pd.DataFrame
    paper: tuple[MarkerTable, ...]
    further: tuple[MarkerTable, ...]
    sources: tuple[MarkerTable, ...]
    separations: tuple[Separation, ...]
    spreads: dict[str, dict[str, Interval]]
    effects: tuple[Effect, ...]
    detection: Detection
    missed: tuple[Missed, ...]
    agreement: CtrAgreement | None
    heart_of_reference: bool
    taught: int = 0

    @property
    def tables(self) -> tuple[MarkerTable, ...]:
        """All tables in the order of the page."""
        return (*self.paper, *self.further, *self.sources)

    @property
    def main(self) -> tuple[MarkerTable, ...]:
        """The paper's tables as the paper has them: of lungs without the heart."""
        return tuple(table for table in self.paper if not table.name.endswith(ALL_MASKS))


def analyse(
    study: Study, manifest: Manifest, intervals: Intervals, rates: Rates, taught: Collection[str] = ()
) -> Analysis:
    """Work out everything that a study shows.

    Parameters
    ----------
    study
        The measurements.
    manifest
        Where they came from; its ``lungs`` protocol says on which images the symmetry of lungs is learned.
    intervals
        Makes 95 % intervals by patient.
    rates
        Makes those of shares.
    taught
        Ids of images that predicted masks must not be measured on.
    """
    rows = study.rows
    by_source = source_tables(rows, intervals)
    known = rows["ctr_reference"].notna() | rows["missed_share"].notna()
    compared = rows[known & rows["predicted"].astype(bool)]
    unseen = compared[~compared["image_id"].isin(taught)]
    predicted = unseen[unseen["ctr_reference"].notna()]
    fitting, choosing = _lung_parts(manifest)
    return Analysis(
        counts=_counts(rows),
        paper=paper_tables(rows, intervals),
        further=further_tables(rows, intervals),
        sources=by_source,
        separations=separations(by_source),
        spreads=heterogeneity(clean_rows(rows), intervals),
        effects=summarise_effects(study.effects, rows, intervals),
        detection=detect(rows, fitting, choosing, rates),
        missed=missed_quarters(unseen, rates),
        agreement=_agreement(predicted, intervals),
        heart_of_reference=bool((predicted["heart_origin"] == "reference").any()),
        taught=len(compared) - len(unseen),
    )


def clean_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows whose lungs leave the heart out."""
    return rows[~rows["heart_in_lungs"].astype(bool)]


def _counts(rows: pd.DataFrame) -> pd.DataFrame:
    columns = ["label", "source", "mask_origin", "heart_in_lungs"]
    grouped = rows.groupby(columns, sort=True)["group"]
    return grouped.agg(images="size", patients="nunique").reset_index()


def _agreement(rows: pd.DataFrame, intervals: Intervals) -> CtrAgreement | None:
    if not rows["ctr"].notna().any():
        return None
    indexed = rows.set_index("image_id")
    found = {str(image): None if pd.isna(ratio) else float(ratio) for image, ratio in indexed["ctr"].items()}
    known = {str(image): float(ratio) for image, ratio in indexed["ctr_reference"].items()}
    groups = {str(image): str(group) for image, group in indexed["group"].items()}
    return ratio_agreement(found, known, groups, intervals)


def _lung_parts(manifest: Manifest) -> tuple[frozenset[str], frozenset[str]]:
    try:
        split = make_split("lungs", manifest)
    except ManifestError:
        return frozenset(), frozenset()
    return frozenset(split.train), frozenset(split.validation)
