"""Leakage: whether a patient or a copy of a radiograph stands in two parts of a split."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from cxrscreen import RESEARCH_USE
from cxrscreen.data.cropped_copies import COARSE_CORRELATION, FINE_CORRELATION, FINE_SCALES, find_cropped_pairs
from cxrscreen.data.near_duplicates import (
    CLOSE_CORRELATION,
    CLOSE_HASH,
    SAME_CORRELATION,
    Fingerprints,
    find_pairs,
    fingerprint_images,
)
from cxrscreen.data.protocols import PARTS, Part
from cxrscreen.evaluate.audit.part import AuditData, AuditFigure, AuditPart, AuditTable, Cell

LISTED = 30
"""Pairs listed, the most alike first; all are counted."""


def audit_leakage(data: AuditData) -> AuditPart:
    """Look for patients, files and near-copies that stand in two parts of a split.

    Returns
    -------
    AuditPart
        Passed where there is none; the contact sheet of the pairs is made by :func:`contact_sheet`, on request alone.
    """
    images = {name: _parts(data, name) for name in data.splits}
    everything = sorted({image_id for part_of in images.values() for image_id in part_of})
    data.advance(f"fingerprints of {len(everything)} images")
    files = [(image_id, data.manifest.image_file(image_id)) for image_id in everything]
    fingerprints = fingerprint_images(files, data.read)
    data.advance("pairs alike")
    pairs = _all_pairs(fingerprints, images)
    counts: list[tuple[Cell, ...]] = []
    tables: list[AuditTable] = []
    leaks = 0
    for name, part_of in images.items():
        across = across_parts(pairs, part_of)
        for one, other in combinations(PARTS, 2):
            between = across[across["parts"] == f"{one} / {other}"]
            patients = len(shared_patients(data.manifest.table, part_of, one, other))
            same = int(between["same_file"].sum())
            counts.append((name, f"{one} / {other}", patients, same, len(between) - same))
            leaks += patients + len(between)
        if len(across):
            tables.append(_listed(name, across))
    counted = AuditTable(
        "What stands in two parts", ("Split", "Parts", "Patients", "Equal files", "Near-copies"), tuple(counts)
    )
    return AuditPart(
        name="leakage",
        title="Leakage between the parts of a split",
        question="Does a patient or a copy of a radiograph stand both in the images trained on and in those tested on?",
        design=(
            "All chosen images of the training, validation and test parts. Patients by their number within a source; "
            "equal files by SHA-256; near-copies by the correlation of high-passed 32 x 32 thumbnails, upright or "
            f"mirrored, of at least {SAME_CORRELATION}, or of {CLOSE_CORRELATION} with at most {CLOSE_HASH} of 64 bits "
            "of a perceptual hash (cosine transform) differing; cropped copies by windows of at least "
            f"{min(FINE_SCALES):.0%} of each side ({COARSE_CORRELATION} at 16 x 16, then {FINE_CORRELATION} at "
            "32 x 32). Passed where nothing stands in two parts."
        ),
        passed=leaks == 0,
        finding=_finding(counts, fingerprints, images, data),
        tables=(counted, *tables, *(_composition(name, part_of, data) for name, part_of in images.items())),
        figures=(),
        not_to_conclude=(
            "More strongly cropped, rotated or re-windowed copies can escape these measures, and patients without a "
            "number cannot be told apart; two chests that look alike are not always one patient."
        ),
    )


def across_parts(pairs: pd.DataFrame, part_of: dict[str, Part]) -> pd.DataFrame:
    """Keep the pairs whose images are in different parts, with the column ``parts`` ("train / test")."""
    rows = pairs[pairs["first"].isin(part_of) & pairs["second"].isin(part_of)]
    ends = [
        sorted((part_of[first], part_of[second]), key=PARTS.index)
        for first, second in zip(rows["first"], rows["second"], strict=True)
    ]
    rows = rows.assign(parts=[" / ".join(end) for end in ends])
    return rows[np.array([end[0] != end[1] for end in ends], dtype=np.bool_)]


def shared_patients(table: pd.DataFrame, part_of: dict[str, Part], one: Part, other: Part) -> set[tuple[str, str]]:
    """Patients, as (source, patient number), with an image in both parts."""

    def patients(part: Part) -> set[tuple[str, str]]:
        rows = table.loc[[image_id for image_id, its in part_of.items() if its == part]]
        known = rows[rows["patient_id"] != ""]
        return set(zip(known["source"].astype(str), known["patient_id"].astype(str), strict=True))

    return patients(one) & patients(other)


def contact_sheet(data: AuditData, pairs: pd.DataFrame, limit: int = 12) -> AuditFigure:
    """Show pairs side by side, so that a person can judge them.

    The figure shows radiographs: write it only where it was asked for, and never beside published results.

    Parameters
    ----------
    data
        The audit's.
    pairs
        From :func:`~cxrscreen.data.near_duplicates.find_pairs`.
    limit
        Pairs shown, from the first on.
    """
    shown = pairs.head(limit)
    figure = Figure(figsize=(6.0, 0.6 + 2.9 * max(1, len(shown))), layout="constrained")
    axes = figure.subplots(max(1, len(shown)), 2, squeeze=False)
    for row, pair in zip(axes, shown.to_dict("records"), strict=False):
        for place, image_id in zip(row, (pair["first"], pair["second"]), strict=True):
            place.imshow(data.radiograph(str(image_id)).pixels, cmap="gray", vmin=0, vmax=1)
            place.set_title(str(image_id), fontsize=7)
        row[0].set_ylabel(f"correlation {pair['correlation']:.2f}", fontsize=8)
    for place in axes.flat:
        place.set_xticks([])
        place.set_yticks([])
    figure.supxlabel(RESEARCH_USE, fontsize=7, color="#555555", x=0.01, ha="left")
    return AuditFigure("Pairs alike", figure, f"{len(shown)} pairs of radiographs that resemble each other.")


def _all_pairs(fingerprints: Fingerprints, images: dict[str, dict[str, Part]]) -> pd.DataFrame:
    """Pairs alike; cropped ones are looked for where one of them trained nothing, which all pairs across parts have."""
    tested = {image_id for part_of in images.values() for image_id, part in part_of.items() if part != "train"}
    one = np.array([image_id in tested for image_id in fingerprints.image_ids], dtype=np.bool_)
    whole, cropped = find_pairs(fingerprints), find_cropped_pairs(fingerprints, one)
    known = {frozenset(pair) for pair in zip(whole["first"], whole["second"], strict=True)}
    new = [frozenset(pair) not in known for pair in zip(cropped["first"], cropped["second"], strict=True)]
    return pd.concat([whole, cropped[np.array(new, dtype=np.bool_)]], ignore_index=True)


def _parts(data: AuditData, name: str) -> dict[str, Part]:
    return {image_id: part for part in PARTS for image_id in data.images(name, part)}


def _listed(name: str, across: pd.DataFrame) -> AuditTable:
    rows: list[tuple[Cell, ...]] = [
        (
            pair["first"],
            pair["second"],
            pair["parts"],
            float(pair["correlation"]),
            int(pair["hash_distance"]),
            bool(pair["mirrored"]),
            bool(pair["cropped"]),
        )
        for pair in across.head(LISTED).to_dict("records")
    ]
    columns = ("Image", "Image", "Parts", "Correlation", "Bits differing", "Mirrored", "Cropped")
    return AuditTable(f"{name}: pairs across parts ({len(rows)} of {len(across)})", columns, tuple(rows))


def _composition(name: str, part_of: dict[str, Part], data: AuditData) -> AuditTable:
    rows = data.manifest.table.loc[list(part_of)].assign(part=list(part_of.values()))
    cells: list[tuple[Cell, ...]] = []
    for (source, label), cell in rows.groupby(["source", "label"]):
        counts = cell["part"].value_counts()
        cells.append(
            (str(source), str(label), *(int(counts.get(part, 0)) for part in PARTS), int(cell["group"].nunique()))
        )
    columns = ("Source", "Label", *PARTS, "Patient groups")
    return AuditTable(f"{name}: images by source, label and part", columns, tuple(cells))


def _finding(
    counts: Sequence[tuple[Cell, ...]], fingerprints: Fingerprints, images: dict[str, dict[str, Part]], data: AuditData
) -> str:
    patients, same, near = (_total(counts, column) for column in (2, 3, 4))
    compared = len(fingerprints.image_ids)
    text = f"Of {compared} images, {patients} patients, {same} equal files and {near} near-copies stand in two parts."
    known = data.manifest.table.loc[list(fingerprints.image_ids), "patient_id"] != ""
    if not known.all():
        text += f" {int((~known).sum())} images have no patient number, so their patients cannot be checked."
    if any(len(part_of) < sum(len(data.splits[name].part(part)) for part in PARTS) for name, part_of in images.items()):
        text += " Only a sample of the images was compared, so pairs may be missed."
    if fingerprints.unread:
        text += f" {len(fingerprints.unread)} images could not be read."
    return text


def _total(rows: Sequence[tuple[Cell, ...]], column: int) -> int:
    return sum(value for row in rows if isinstance(value := row[column], int))
