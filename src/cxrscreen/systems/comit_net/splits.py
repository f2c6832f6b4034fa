"""Which images train and choose COMiT-Net, and which of its tasks each of them teaches: the switches T of Eq. 8."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from cxrscreen.data.disease_masks import DiseaseMasks, disease_masks
from cxrscreen.data.manifest import Manifest
from cxrscreen.data.masks import HEART_INCLUDED_SOURCES
from cxrscreen.data.protocols import PARTS, Split, make_split
from cxrscreen.errors import ManifestError
from cxrscreen.systems.comit_net.labels import decisions_learned, diagnosis_of, health_of
from cxrscreen.systems.comit_net.preprocessing import MaskTask
from cxrscreen.systems.comit_net.recipe import ComitNetRecipe

IMAGES, LUNGS = "comit-images", "lungs-any"
"""The protocols that part the images, and those of them whose human outline leaves the heart out."""


@dataclass(frozen=True, eq=False)
class Labelled:
    """Images with what is known of each; what is not known, or not asked for, is switched off.

    Parameters
    ----------
    image_ids
        The N images.
    lungs, region
        bool (N,): whether the lung mask and the diseased region are known.
    health
        float32 (N,): H of Eq. 5, NaN not known.
    diagnosis
        float32 (N, 2): C and O of Eq. 7, NaN not known.
    diseased
        bool (N,): whether a mask or box says where the disease is, of an image that is not normal; ``region`` is also
        on where it is known that there is none.
    covid19
        bool (N,): whether the label is COVID-19 and may be learned, asked for or not; these images are copied.
    """

    image_ids: tuple[str, ...]
    lungs: NDArray[np.bool_]
    region: NDArray[np.bool_]
    health: NDArray[np.float32]
    diagnosis: NDArray[np.float32]
    diseased: NDArray[np.bool_]
    covid19: NDArray[np.bool_]

    @property
    def switched_on(self) -> NDArray[np.bool_]:
        """Whether an image teaches any task, bool (N,)."""
        return self.lungs | self.region | np.isfinite(self.health) | np.isfinite(self.diagnosis).any(axis=1)

    def at(self, rows: NDArray[np.int64]) -> Self:
        """Some of the images, in this order; may repeat one."""
        ids = tuple(self.image_ids[int(row)] for row in rows)
        return replace(
            self,
            image_ids=ids,
            lungs=self.lungs[rows],
            region=self.region[rows],
            health=self.health[rows],
            diagnosis=self.diagnosis[rows],
            diseased=self.diseased[rows],
            covid19=self.covid19[rows],
        )


@dataclass(frozen=True, eq=False)
class Parts:
    """What a training learns from and is chosen by.

    Parameters
    ----------
    train, validation
        No patient and no near-duplicate of one is in the other.
    split
        The same as a split of :data:`IMAGES`; its test part is what neither of them saw.
    regions
        The known diseased regions.
    """

    train: Labelled
    validation: Labelled
    split: Split
    regions: DiseaseMasks

    @property
    def masks(self) -> tuple[MaskTask, ...]:
        """The masks that any image teaches; that healthy images have no diseased region teaches none."""
        known: dict[MaskTask, NDArray[np.bool_]] = {"lungs": self.train.lungs, "disease": self.train.diseased}
        return tuple(name for name, on in known.items() if on.any())

    @property
    def decisions(self) -> tuple[str, ...]:
        """The decisions of which the training part has both answers."""
        return decisions_learned(self.train.health, self.train.diagnosis)


def parts_of(recipe: ComitNetRecipe, manifest: Manifest) -> Parts:
    """Part the images and set their switches.

    The lung outlines that :data:`LUNGS` keeps for validation choose the epoch and, with all images of their patients,
    train nothing; those that it keeps for testing do neither. Of the patients of a source that the recipe leaves out no
    image of any source is learned from.

    Raises
    ------
    ManifestError
        If nothing is left to learn from or to choose by, or both classification tasks lack one of their answers.
    """
    whole = make_split(IMAGES, manifest, recipe.splitting, recipe.data.learned)
    whole = without(whole, manifest, recipe.data.left_out)
    outlines = _lung_split(recipe, manifest)
    chosen_by = () if outlines is None else tuple(i for i in outlines.validation if i in whole.truth)
    held = {whole.groups[i] for i in chosen_by}
    regions = disease_masks(manifest)
    train = _labelled(recipe, manifest, tuple(i for i in whole.train if whole.groups[i] not in held), regions)
    validation = _labelled(recipe, manifest, whole.validation, regions)
    if outlines is not None:
        train, validation = (_without_lungs(part, outlines.test) for part in (train, validation))
    if chosen_by:
        validation = replace(validation, lungs=np.zeros_like(validation.lungs))
        own = _labelled(recipe, manifest, chosen_by, regions)
        nothing = np.full_like(own.diagnosis, np.nan)
        off = np.zeros_like(own.region)
        own = replace(own, region=off, diseased=off, health=nothing[:, 0], diagnosis=nothing)
        validation = _joined(validation, own)
    train, validation = (part.at(np.flatnonzero(part.switched_on)) for part in (train, validation))
    if not validation.image_ids:
        raise ManifestError("The validation part has no image with a label or mask: give more images.")
    parts = Parts(train, validation, _as_split(whole, train, validation), regions)
    if not parts.decisions:
        raise ManifestError(
            "The training part shows neither healthy beside unhealthy lungs nor COVID-19 beside other images: name "
            "another source in the recipe's data.sources, or fill the column label."
        )
    return parts


def without(split: Split, manifest: Manifest, sources: Sequence[str]) -> Split:
    """Leave out all images of some sources' patients, of whatever source an image is; no other image changes part."""
    if not sources:
        return split
    table = manifest.table
    patients = set(table.loc[table["source"].isin(sources), "group"])
    groups = {i: group for i, group in split.groups.items() if group not in patients}
    train, validation, test = (tuple(i for i in split.part(part) if i in groups) for part in PARTS)
    return replace(
        split,
        train=train,
        validation=validation,
        test=test,
        truth={i: split.truth[i] for i in groups},
        groups=groups,
        dropped=dict(split.dropped) | {"of a patient of a source that is left out": len(split.truth) - len(groups)},
    )


def _lung_split(recipe: ComitNetRecipe, manifest: Manifest) -> Split | None:
    table = manifest.table
    if not ((table["lung_mask"] != "") & (table["lung_mask_origin"] != "automatic")).any():
        return None
    try:
        return make_split(LUNGS, manifest, recipe.splitting, recipe.data.learned)
    except ManifestError:
        # Every outline includes the heart, or is of an image that another rule leaves out.
        return None


def _labelled(
    recipe: ComitNetRecipe, manifest: Manifest, image_ids: tuple[str, ...], regions: DiseaseMasks
) -> Labelled:
    """Set the switches by what the manifest has and the recipe asks for."""
    rows = manifest.table.loc[list(image_ids)]
    tells = ~rows["source"].isin(recipe.data.masks_alone).to_numpy(dtype=np.bool_)
    labels = rows["label"].tolist()
    outlined = ((rows["lung_mask"] != "") & rows["lung_mask_origin"].isin(recipe.data.lung_masks)).to_numpy(np.bool_)
    marked = regions.image_ids
    known = np.array([i in marked for i in image_ids], dtype=np.bool_)
    normal = (rows["label"] == "normal").to_numpy(np.bool_)
    diseased = known & ~normal & ("disease" in recipe.tasks)
    if recipe.data.healthy_regions:
        known = known | (tells & normal)
    health = np.array([health_of(label) for label in labels], np.float32)
    diagnosis = np.array([diagnosis_of(label) for label in labels], np.float32).reshape(-1, 2)
    asked = recipe.tasks
    return Labelled(
        image_ids=image_ids,
        lungs=outlined & ("lungs" in asked),
        region=known & ("disease" in asked),
        health=np.where(tells & ("health" in asked), health, np.float32(np.nan)),
        diagnosis=np.where(tells[:, None] & ("diagnosis" in asked), diagnosis, np.float32(np.nan)),
        diseased=diseased,
        covid19=tells & (rows["label"] == "covid19").to_numpy(np.bool_),
    )


def heart_included(manifest: Manifest, image_id: str) -> bool:
    """Whether an image's lung outline runs through the heart."""
    row = manifest.table.loc[image_id]
    return bool(row["source"] in HEART_INCLUDED_SOURCES and row["lung_mask_origin"] == "human")


def _without_lungs(labelled: Labelled, image_ids: tuple[str, ...]) -> Labelled:
    kept = set(image_ids)
    return replace(labelled, lungs=labelled.lungs & np.array([i not in kept for i in labelled.image_ids], np.bool_))


def _joined(first: Labelled, second: Labelled) -> Labelled:
    return Labelled(
        first.image_ids + second.image_ids,
        np.concatenate([first.lungs, second.lungs]),
        np.concatenate([first.region, second.region]),
        np.concatenate([first.health, second.health]),
        np.concatenate([first.diagnosis, second.diagnosis]),
        np.concatenate([first.diseased, second.diseased]),
        np.concatenate([first.covid19, second.covid19]),
    )


def _as_split(whole: Split, train: Labelled, validation: Labelled) -> Split:
    kept = {*train.image_ids, *validation.image_ids, *whole.test}
    return replace(
        whole,
        train=tuple(sorted(train.image_ids)),
        validation=tuple(sorted(validation.image_ids)),
        truth={i: whole.truth[i] for i in kept},
        groups={i: whole.groups[i] for i in kept},
        dropped=dict(whole.dropped) | {"teaches no task": len(whole.truth) - len(kept)},
    )
