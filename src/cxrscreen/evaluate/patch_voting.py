"""What patch voting is worth: votes on the four classes, one bundle against another, and the organs' overlap."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxrscreen.biomarkers.cardiothoracic import cardiothoracic_ratio
from cxrscreen.data.manifest import Manifest
from cxrscreen.data.masks import HEART, read_lung_mask
from cxrscreen.data.protocols import Split
from cxrscreen.errors import BundleError, ManifestError
from cxrscreen.evaluate.bootstrap import REPLICATES, Estimate, bootstrap_all
from cxrscreen.evaluate.metrics import Floats
from cxrscreen.evaluate.overlap import dice, jaccard
from cxrscreen.evaluate.several_classes import PREFIX, class_figures
from cxrscreen.imaging.radiograph import Radiograph
from cxrscreen.systems.bundle import Bundle
from cxrscreen.systems.patch_voting.pipeline import Organs
from cxrscreen.systems.patch_voting.preprocessing import Mode
from cxrscreen.systems.patch_voting.recipe import PatchVotingRecipe
from cxrscreen.systems.patch_voting.splits import splits_of
from cxrscreen.systems.patch_voting.voting import CLASSES, Vote, vote_scores

Reader = Callable[[Path], Radiograph]


class Votes(Protocol):
    """What votes among classes."""

    def vote(self, radiograph: Radiograph) -> Vote:
        """The patches' vote."""


class Voter(Protocol):
    """What is measured: :class:`cxrscreen.systems.patch_voting.pipeline.PatchVoting`."""

    @property
    def modes(self) -> tuple[Mode, ...]:
        """The ways in which :meth:`vote` can be asked, the reference first."""

    def vote(self, radiograph: Radiograph, mode: Mode | None = None) -> Vote:
        """The patches' vote; None: as screening asks."""

    def segment(self, radiograph: Radiograph) -> Organs:
        """Lungs and heart."""


def splits_of_bundle(bundle: Bundle, manifest: Manifest) -> dict[str, Split]:
    """Splits ``patch-organs`` and ``patch-classes`` of a bundle's own recipe.

    Raises
    ------
    BundleError
        If the bundle is no patch voting.
    ManifestError
        If the manifest is not the one on which the bundle was trained: its test images could have been seen.
    """
    if bundle.card.system != "patch_voting":
        raise BundleError(
            f"{bundle.card.bundle_id} is for the system {bundle.card.system!r}: give a patch_voting bundle."
        )
    splits = splits_of(PatchVotingRecipe.model_validate(bundle.card.recipe), manifest)
    for name, split in splits.items():
        if split.digest != bundle.card.data.splits.get(name):
            raise ManifestError(
                f"The split {name} of this manifest is not the one that {bundle.card.bundle_id} names: give the "
                "manifest that trained it."
            )
    return splits


def class_scores(
    system: Votes,
    manifest: Manifest,
    image_ids: Sequence[str],
    truth: Mapping[str, int],
    read: Reader,
    advance: Callable[[], None],
    classes: Sequence[str] = CLASSES,
) -> pd.DataFrame:
    """Ask a system for its vote on images.

    Parameters
    ----------
    system
        The loaded bundle.
    manifest
        Sources and patient groups.
    image_ids, truth
        The images, and the index of the class of each.
    read
        From a file to a radiograph.
    advance
        Called after each image.
    classes
        Names of the classes, in the order of the votes.

    Returns
    -------
    DataFrame
        A list as ``cxrscreen metrics`` reads it: image_id, source, group, truth (a class) and p_NAME for each class,
        see :func:`~cxrscreen.systems.patch_voting.voting.vote_scores`.
    """
    rows = []
    for image_id in image_ids:
        scores = vote_scores(system.vote(read(manifest.image_file(image_id))))
        facts = manifest.table.loc[image_id]
        rows.append(
            {
                "image_id": image_id,
                "source": facts["source"],
                "group": facts["group"],
                "truth": classes[truth[image_id]],
                **{PREFIX + name: float(score) for name, score in zip(classes, scores, strict=True)},
            }
        )
        advance()
    return pd.DataFrame(rows)


def organ_overlaps(
    system: Voter, manifest: Manifest, image_ids: Sequence[str], organ: str, read: Reader, advance: Callable[[], None]
) -> pd.DataFrame:
    """Compare segmented lungs, or hearts, with the reference masks.

    Parameters
    ----------
    system, manifest, read, advance
        As for :func:`class_scores`.
    image_ids
        Images with the mask.
    organ
        ``lungs`` (both together, from the column lung_mask) or ``heart`` (from heart_mask, where no lung is).

    Returns
    -------
    DataFrame
        The columns of :data:`cxrscreen.evaluate.overlap.OVERLAP_COLUMNS`, at the reference's size.
    """
    rows = []
    for image_id in image_ids:
        reference = _reference(manifest, image_id, organ)
        mask = system.segment(read(manifest.image_file(image_id))).at_size((reference.shape[0], reference.shape[1]))
        found = mask == HEART if organ == "heart" else (mask > 0) & (mask != HEART)
        facts = manifest.table.loc[image_id]
        rows.append(
            {
                "image_id": image_id,
                "source": facts["source"],
                "group": facts["group"],
                "dice": dice(found, reference),
                "jaccard": jaccard(found, reference),
            }
        )
        advance()
    return pd.DataFrame(rows)


def organ_ratios(
    system: Voter, manifest: Manifest, image_ids: Sequence[str], read: Reader, advance: Callable[[], None]
) -> pd.DataFrame:
    """Measure the cardiothoracic ratio on segmented organs and on the reference masks.

    Parameters
    ----------
    system, manifest, image_ids, read, advance
        As for :func:`organ_overlaps`; images with masks of lungs and heart.

    Returns
    -------
    DataFrame
        image_id, source, group, ratio and reference; NaN where the masks give none.
    """
    rows = []
    for image_id in image_ids:
        heart = _reference(manifest, image_id, "heart")
        lungs = read_lung_mask(_lung_file(manifest, image_id))
        truth = np.where(heart, HEART, np.where(np.isin(lungs, (1, 2)), lungs, 0)).astype(np.uint8)
        found = system.segment(read(manifest.image_file(image_id))).at_size((truth.shape[0], truth.shape[1]))
        facts = manifest.table.loc[image_id]
        ratio, reference = (cardiothoracic_ratio(mask) for mask in (found, truth))
        rows.append(
            {
                "image_id": image_id,
                "source": facts["source"],
                "group": facts["group"],
                "ratio": np.nan if ratio is None else ratio.ratio,
                "reference": np.nan if reference is None else reference.ratio,
            }
        )
        advance()
    return pd.DataFrame(rows)


def _lung_file(manifest: Manifest, image_id: str) -> Path:
    file = manifest.mask_file(image_id)
    if file is None:
        raise ManifestError(f"{image_id} lacks a mask of the lungs: fill the column lung_mask.")
    return file


def _reference(manifest: Manifest, image_id: str, organ: str) -> NDArray[np.bool_]:
    lungs = np.isin(read_lung_mask(_lung_file(manifest, image_id)), (1, 2))
    if organ != "heart":
        return np.asarray(lungs)
    name = str(manifest.table.at[image_id, "heart_mask"])
    if not name:
        raise ManifestError(f"{image_id} lacks a mask of the heart: fill the column heart_mask.")
    return np.asarray((read_lung_mask(manifest.root / name) == HEART) & ~lungs)


def mode_agreement(
    system: Voter, manifest: Manifest, image_ids: Sequence[str], read: Reader, advance: Callable[[], None]
) -> pd.DataFrame:
    """Ask for each image's vote in every mode of the system, and compare it with that of the reference.

    Parameters
    ----------
    system, manifest, image_ids, read, advance
        As for :func:`class_scores`.

    Returns
    -------
    DataFrame
        A row for each image and mode: image_id, source, group, mode, agrees (whether the same class won), moved (share
        of the votes that go to another class in sum) and seconds, segmenting included.
    """
    first, *others = system.modes
    rows = []
    for image_id in image_ids:
        radiograph = read(manifest.image_file(image_id))
        facts = manifest.table.loc[image_id]
        votes: dict[Mode, tuple[Vote, float]] = {}
        for mode in (first, *others):
            start = time.perf_counter()
            votes[mode] = system.vote(radiograph, mode), time.perf_counter() - start
        exact = votes[first][0]
        rows += [
            {
                "image_id": image_id,
                "source": facts["source"],
                "group": facts["group"],
                "mode": mode,
                "agrees": exact.label == vote.label,
                "moved": float(np.abs(exact.counts - vote.counts).sum() / 2 / exact.counts.sum()),
                "seconds": seconds,
            }
            for mode, (vote, seconds) in votes.items()
        ]
        advance()
    return pd.DataFrame(rows)


def compare_votes(
    first: pd.DataFrame,
    second: pd.DataFrame,
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, Estimate]:
    """Second list less first list, each resample of patients drawn for both at once.

    Parameters
    ----------
    first, second
        From :func:`class_scores`, of the same images.
    replicates, seed, level
        Of the bootstrap by patient group and of the intervals.

    Returns
    -------
    dict
        Differences of ``accuracy``, ``macro f1`` and, for each class, ``sensitivity NAME``.

    Raises
    ------
    ValueError
        If the lists are not of the same images with the same truth.
    """
    left, right = (table.set_index("image_id").sort_index() for table in (first, second))
    if not left.index.equals(right.index) or not left["truth"].equals(right["truth"]):
        raise ValueError("both lists must be of the same images with the same truth")
    truth = pd.Index(CLASSES).get_indexer(pd.Index(left["truth"]))
    columns = [PREFIX + name for name in CLASSES]

    def of_list(table: pd.DataFrame, weights: Floats) -> dict[str, Floats]:
        scores = table[columns].to_numpy(np.float64)
        figures = class_figures(truth, scores, weights)
        right_calls = (scores.argmax(axis=1) == truth).astype(np.float64)
        return {
            "accuracy": weights @ right_calls / weights.sum(axis=1),
            "macro f1": figures["f1"].mean(axis=1),
            **{f"sensitivity {name}": figures["sensitivity"][:, index] for index, name in enumerate(CLASSES)},
        }

    def differences(weights: Floats) -> dict[str, Floats]:
        one, other = of_list(left, weights), of_list(right, weights)
        return {name: other[name] - one[name] for name in one}

    groups = left["group"].astype(str).tolist()
    return bootstrap_all(differences, groups, replicates=replicates, seed=seed, level=level)
