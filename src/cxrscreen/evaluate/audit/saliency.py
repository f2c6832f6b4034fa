"""Saliency: do the maps lie in the lungs, and on the disease where someone drew a box around it."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxrscreen.data.disease_masks import BOXES, box_mask, load_boxes
from cxrscreen.data.masks import lung_target, read_lung_mask
from cxrscreen.errors import CxrscreenError, ManifestError
from cxrscreen.evaluate.audit.interval_figure import interval_figure
from cxrscreen.evaluate.audit.part import AuditData, AuditFigure, AuditPart, AuditTable, Cell
from cxrscreen.evaluate.audit.wording import shown
from cxrscreen.evaluate.bootstrap import Estimate, bootstrap
from cxrscreen.evaluate.weighted import weighted_mean
from cxrscreen.systems.contract import Screening
from cxrscreen.systems.learned import LEARNED, taught_by

IMAGES = 200
"""Positive test images of each protocol on which the share inside the lungs is measured."""
FEWEST = 10
"""Images below which there is no verdict."""
IN_LUNGS = 0.9
"""Mean share of a map inside the lungs that it must reach."""

CHANCE = "chance: "
"""Begins the names of maps that know nothing of the disease."""
BLOB, LUNGS, EVEN = f"{CHANCE}centred blob", f"{CHANCE}the lung mask", f"{CHANCE}everywhere the same"

_Map = NDArray[np.float32]
_Mask = NDArray[np.bool_]


def audit_saliency(data: AuditData) -> AuditPart:
    """Measure each named map against lung masks and disease boxes, beside maps that know nothing.

    Returns
    -------
    AuditPart
        Passed where every map of the system has a mean share of at least :data:`IN_LUNGS` inside the lungs and, where
        there are boxes on enough images, the first map holds more of its sum inside the boxes than the lung mask used
        as a map; None with fewer than :data:`FEWEST` images.

    Raises
    ------
    ManifestError
        If ``boxes.csv`` stands beside the manifest and is no table of boxes.
    """
    lungs = pd.DataFrame(_in_lungs(data), columns=["reference", *_COLUMNS, "energy"])
    boxed = pd.DataFrame(_on_boxes(data), columns=["images", *_COLUMNS, *MEASURES])
    names = [name for name in dict.fromkeys(lungs["map"]) if not name.startswith(CHANCE)]
    shares = _means(data, lungs, "reference", ("energy",))
    localised = _means(data, boxed, "images", tuple(MEASURES))
    excess = _excess(data, boxed)
    verdicts = _verdicts(shares, names, excess)
    coverage = {**_coverage(data, lungs, "reference"), **_coverage(data, boxed, "images")}
    return AuditPart(
        name="saliency",
        title="Where the maps lie",
        question="Do the saliency maps lie in the lungs, and on the disease where its place is known?",
        design=(
            f"Lungs: up to {IMAGES} positive test images of each split, drawn by the seed; the share of each map's sum "
            "inside human lung masks where the manifest has them (some include the lung behind the heart), and inside "
            "the lungs the system found. Boxes: the images of boxes.csv, the boxes of one image taken together, "
            "whatever the finding, without the patients whose boxes or masks taught the system to draw regions or "
            "chose when that training ended; pointing game (is the hottest pixel inside, several counting as their "
            "share), intersection over union with the map cut at Otsu's threshold of the map itself, so that no box "
            "chose it, and the share of the sum inside. Beside them maps that know nothing. Where a system did not "
            "look, its map has no value: such pixels count for no map of the image, and an image none of whose boxes "
            "was looked at is left out; "
            "maps of where was looked are no explanations, and stand among those that know nothing. Means with "
            "bootstrap intervals by patient group. "
            f"Passed where every map has a mean share of at least {IN_LUNGS} inside the system's lungs and, with boxes "
            f"on at least {FEWEST} images, the first map's share inside boxes lies above that of the lung mask, "
            "interval included."
        ),
        passed=all(verdicts) if verdicts else None,
        finding=_finding(shares, localised, names, excess),
        tables=tuple(_tables(shares, localised, excess, coverage)),
        figures=tuple(_figures(shares, localised)),
        not_to_conclude=(
            "A map cut to the lungs lies in the lungs whatever the network looked at: that share says nothing about "
            "what the decision rests on. A map on the disease does not prove that the decision is right, and boxes on "
            "a few images of one source say little about others. Images that a decision was trained on flatter the "
            "map, though no box that is measured here was learned from. Of what was not looked at a map says nothing, "
            "not that there is no disease."
        ),
    )


def energy_inside(values: _Map, inside: _Mask) -> float:
    """Share of a map's sum inside a mask, in [0, 1]; both of one shape, NaN for a map of zeros."""
    total = float(values.sum(dtype=np.float64))
    return float(values[inside].sum(dtype=np.float64)) / total if total > 0 else float("nan")


def pointing_game(values: _Map, inside: _Mask) -> float:
    """Share of the hottest pixels of a map that lie inside a mask, in [0, 1]; 0 or 1 where one pixel is hottest.

    References
    ----------
    J. Zhang et al., Top-down Neural Attention by Excitation Backprop, ECCV 2016 (without its tolerance margin).
    """
    if np.ptp(values) == 0:
        return float(inside.mean())
    return float(inside[values >= values.max()].mean())


def otsu_overlap(values: _Map, inside: _Mask) -> float:
    """Intersection over union of a mask with the map above Otsu's threshold of the map, in [0, 1].

    Parameters
    ----------
    values
        float32 in [0, 1], (H, W) or the pixels that count; a map that is the same everywhere counts as hot everywhere.
    inside
        bool of the same shape.
    """
    hot = np.ones_like(inside)
    if np.ptp(values) > 0:
        grey = np.round(255 * values / values.max()).astype(np.uint8)
        threshold, _ = cv2.threshold(grey, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
        hot = grey > threshold
    either = int((hot | inside).sum())
    return int((hot & inside).sum()) / either if either else float("nan")


MEASURES = {"pointing": pointing_game, "overlap": otsu_overlap, "energy": energy_inside}
"""What is measured on boxes."""
_HEADINGS = {"pointing": "Pointing game", "overlap": "IoU (Otsu)", "energy": "Share of the map inside"}


def chance_maps(lungs: _Mask) -> dict[str, _Map]:
    """Maps (H, W) that know nothing of the disease: a centred blob, the lung mask itself, everywhere the same.

    The blob is a Gaussian at the image's centre with a standard deviation of a quarter of each side.
    """
    y, x = (np.linspace(-2.0, 2.0, side) for side in lungs.shape)
    blob = np.exp(-0.5 * (y[:, None] ** 2 + x[None, :] ** 2)).astype(np.float32)
    return {BLOB: blob, LUNGS: lungs.astype(np.float32), EVEN: np.ones(lungs.shape, np.float32)}


def measured_maps(
    screening: Screening, inside: _Mask, measures: Sequence[Callable[[_Map, _Mask], float]]
) -> Iterator[tuple[str, bool, float, tuple[float, ...]]]:
    """Measure a screening's maps, and maps that know nothing, on the pixels at which the system looked.

    Parameters
    ----------
    screening
        With at least one explanation, else nothing is measured.
    inside
        bool (H, W).
    measures
        Of :data:`MEASURES`.

    Yields
    ------
    tuple
        Name of the map, whether it is the one shown first, the share of the mask that was looked at, and the measures;
        NaN where none of the mask was looked at: the map then says nothing of it.
    """
    if not screening.explanations:
        return
    seen = np.ones(inside.shape, np.bool_)
    for item in screening.explanations:
        seen &= True if item.looked_at is None else item.looked_at
    own = {item.name: item.values for item in screening.explanations}
    own |= {f"{CHANCE}{item.name}": item.values for item in screening.saliency if item.kind == "coverage"}
    own |= chance_maps(screening.lung_mask > 0)
    looked_at = float(seen[inside].mean())
    for number, (name, values) in enumerate(own.items()):
        found = tuple(measure(values[seen], inside[seen]) if looked_at > 0 else float("nan") for measure in measures)
        yield name, number == 0, looked_at, found


_COLUMNS = ("map", "first", "group", "looked_at")


def _in_lungs(data: AuditData) -> Iterator[tuple[object, ...]]:
    for image_id in _positives(data):
        data.advance("maps of positive test images")
        screening = _screened(data, image_id)
        if screening is None or not (screening.lung_mask > 0).any():
            continue
        group = str(data.manifest.table.at[image_id, "group"])
        references = {OWN_LUNGS: screening.lung_mask > 0} | _human_lungs(data, image_id, screening.lung_mask.shape)
        for reference, lungs in references.items():
            for name, first, looked_at, found in measured_maps(screening, lungs, (energy_inside,)):
                yield reference, name, first, group, looked_at, *found


OWN_LUNGS, HUMAN_LUNGS = "lungs the system found", "human lung masks"


def _human_lungs(data: AuditData, image_id: str, shape: tuple[int, ...]) -> dict[str, _Mask]:
    file = data.manifest.mask_file(image_id)
    if file is None or data.manifest.table.at[image_id, "lung_mask_origin"] != "human":
        return {}
    mask = lung_target(read_lung_mask(file)) > 0
    return {HUMAN_LUNGS: mask} if mask.shape == shape and mask.any() else {}


def _on_boxes(data: AuditData) -> Iterator[tuple[object, ...]]:
    file = data.manifest.root / BOXES
    if not file.is_file():
        return
    trained = {image_id for split in data.splits.values() for image_id in split.train}
    # A map that was taught by boxes lies on those: that is memory, and no explanation.
    taught = taught_by(data.bundle.file(LEARNED), data.manifest, "test") or frozenset()
    for image_id, boxes in load_boxes(file).groupby("image_id", sort=True):
        if image_id not in data.manifest.table.index or image_id in taught:
            continue
        data.advance("maps of images with boxes")
        screening = _screened(data, str(image_id))
        if screening is None:
            continue
        inside = box_mask(boxes, (screening.lung_mask.shape[0], screening.lung_mask.shape[1]))
        if not inside.any():
            raise ManifestError(f"{file.name} holds a box outside its image, of {image_id}: give pixels as stored.")
        group = str(data.manifest.table.at[image_id, "group"])
        kinds = [ALL_BOXED] if image_id in trained else [ALL_BOXED, UNSEEN_BOXED]
        for name, first, looked_at, found in measured_maps(screening, inside, tuple(MEASURES.values())):
            for kind in kinds:
                yield kind, name, first, group, looked_at, *found


ALL_BOXED, UNSEEN_BOXED = "all images with boxes", "those not trained on"


def _positives(data: AuditData) -> list[str]:
    chosen: set[str] = set()
    for protocol, split in data.splits.items():
        positive = [image_id for image_id in data.images(protocol) if split.truth[image_id]]
        order = np.random.default_rng(data.seed).permutation(len(positive))[:IMAGES]
        chosen |= {positive[int(i)] for i in order}
    return sorted(chosen)


def _screened(data: AuditData, image_id: str) -> Screening | None:
    try:
        return data.system.screen(data.radiograph(image_id), force=True)
    except CxrscreenError:
        return None


_Means = dict[tuple[str, str], dict[str, Estimate]]


def _means(data: AuditData, rows: pd.DataFrame, by: str, measures: tuple[str, ...]) -> _Means:
    """Mean of each measure by kind of image and map; images whose map is empty are left out."""
    means: _Means = {}
    for (kind, name), of_map in rows.groupby([by, "map"], sort=False):
        defined = of_map[np.isfinite(of_map[list(measures)]).all(axis=1)]
        if len(defined):
            groups = defined["group"].tolist()
            columns = {measure: defined[measure].to_numpy(dtype=np.float64) for measure in measures}
            means[str(kind), str(name)] = {measure: _mean(data, values, groups) for measure, values in columns.items()}
    return means


def _mean(data: AuditData, values: NDArray[np.float64], groups: list[str]) -> Estimate:
    return bootstrap(lambda weights: weighted_mean(values, weights), groups, replicates=data.replicates, seed=data.seed)


def _excess(data: AuditData, boxed: pd.DataFrame) -> Estimate | None:
    """How much more of the map shown first than of the lung mask lies inside the boxes, image by image."""
    rows = boxed[boxed["images"] == ALL_BOXED]
    chosen = (rows["first"].astype(bool), rows["map"] == LUNGS)
    own, lungs = (rows[of_map].reset_index(drop=True) for of_map in chosen)
    if not len(own):
        return None
    more = (own["energy"] - lungs["energy"]).to_numpy(dtype=np.float64)
    defined = np.isfinite(more)
    if defined.sum() < FEWEST:
        return None
    return _mean(data, more[defined], own["group"][defined].tolist())


def _coverage(data: AuditData, rows: pd.DataFrame, by: str) -> dict[str, Estimate]:
    """Mean share of each reference that was looked at; nothing for systems that look everywhere."""
    once = rows[rows["map"] == EVEN]
    if not len(once) or (once["looked_at"] == 1).all():
        return {}
    return {
        str(kind): _mean(data, own["looked_at"].to_numpy(dtype=np.float64), own["group"].tolist())
        for kind, own in once.groupby(by, sort=False)
    }


def _verdicts(shares: _Means, names: list[str], excess: Estimate | None) -> list[bool]:
    found = [shares[OWN_LUNGS, name]["energy"] for name in names if (OWN_LUNGS, name) in shares]
    verdicts = [share.value is not None and share.value >= IN_LUNGS for share in found if share.n >= FEWEST]
    if excess is not None:
        verdicts.append(excess.ci_low is not None and excess.ci_low > 0)
    return verdicts


def _finding(shares: _Means, localised: _Means, names: list[str], excess: Estimate | None) -> str:
    inside = [f"{name} {shown(shares[OWN_LUNGS, name]['energy'])}" for name in names if (OWN_LUNGS, name) in shares]
    text = f"Share inside the lungs found: {', '.join(inside)}." if inside else "No positive test image gave a map."
    if excess is None:
        return f"{text} Fewer than {FEWEST} images have disease boxes: the place of the disease was not judged."
    on_boxes = [
        f"{shown(localised[ALL_BOXED, name]['energy'])} of {name}" for name in names if (ALL_BOXED, name) in localised
    ]
    return (
        f"{text} Inside the disease boxes: {', '.join(on_boxes)}, {shown(localised[ALL_BOXED, LUNGS]['energy'])} of "
        f"the lung mask used as a map; the map shown first less the lung mask, image by image: {shown(excess)}."
    )


def _tables(
    shares: _Means, localised: _Means, excess: Estimate | None, coverage: Mapping[str, Estimate]
) -> Iterator[AuditTable]:
    if shares:
        rows: list[tuple[Cell, ...]] = [
            (reference, name, means["energy"].n, means["energy"]) for (reference, name), means in shares.items()
        ]
        yield AuditTable("Share of each map inside the lungs", ("Lungs", "Map", "Images", "Share inside"), tuple(rows))
    if localised:
        rows = [
            (kind, name, means["energy"].n, *(means[measure] for measure in MEASURES))
            for (kind, name), means in localised.items()
        ]
        columns = ("Images", "Map", "n", *_HEADINGS.values())
        yield AuditTable("Each map against disease boxes", columns, tuple(rows))
    if excess is not None:
        row: tuple[Cell, ...] = ("the map shown first less the lung mask", excess.n, excess)
        yield AuditTable("Share inside boxes, image by image", ("Difference", "Images", "Mean"), (row,))
    if coverage:
        rows = [(kind, share.n, share) for kind, share in coverage.items()]
        columns = ("Lungs, or boxes of", "Images", "Share looked at")
        yield AuditTable("How much of the lungs and boxes was looked at", columns, tuple(rows))


def _figures(shares: _Means, localised: _Means) -> Iterator[AuditFigure]:
    found = dict.fromkeys(name for _, name in [*shares, *localised])
    order = sorted(found, key=lambda name: name.startswith(CHANCE))
    limits = (-0.02, 1.02)
    if shares:
        title = "Share of each map inside the lungs found"
        panel = {name: [_of(shares, OWN_LUNGS, name, "energy")] for name in order}
        figure = interval_figure({title: panel}, ["share"], axis="mean share", limits=limits)
        alt = "Mean share of each map inside the lungs, with intervals, beside maps that know nothing of the disease."
        yield AuditFigure(title, figure, alt)
    if localised:
        title = "Each map against disease boxes"
        panel = {name: [_of(localised, ALL_BOXED, name, measure) for measure in MEASURES] for name in order}
        figure = interval_figure({title: panel}, list(_HEADINGS.values()), axis="mean over images", limits=limits)
        alt = "Pointing game, overlap and share inside boxes of each map, beside maps that know nothing of the disease."
        yield AuditFigure(title, figure, alt)


def _of(means: _Means, kind: str, name: str, measure: str) -> Estimate | None:
    found = means.get((kind, name))
    return None if found is None else found[measure]
