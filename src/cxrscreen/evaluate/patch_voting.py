"""What patch voting is worth: votes on the four classes, one bundle against another, and the organs' overlap."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

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
from cxrscreen.systems.patch_voting.recipe import PatchVotingRecipe
from cxrscreen.systems.patch_voting.splits import splits_of
from cxrscreen.systems.patch_voting.voting import CLASSES, Vote, vote_scores

Reader = Callable[[Path], Radiograph]


class Votes(Protocol):
    """What votes among classes."""

    def vote(self, radiograph: Radiograph) -> Vote:
        """The patches' vote."""


class Voter(Votes, Protocol):
    """What is measured: :class:`cxrscreen.systems.patch_voting.pipeline.PatchVoting`."""

    @property
    def can_share(self) -> bool:
        """Whether :meth:`vote_shared` can be asked."""

    def segment(self, radiograph: Radiograph) -> Organs:
        """Lungs and heart."""

    def vote_shared(self, radiograph: Radiograph) -> Vote:
        """The vote from shared feature maps."""


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


def _reference(manifest: Manifest, image_id: str, organ: str) -> NDArray[np.bool_]:
    files = [manifest.mask_file(image_id)]
    if organ == "heart":
        name = str(manifest.table.at[image_id, "heart_mask"])
        files.append(manifest.root / name if name else None)
    masks = [read_lung_mask(file) for file in files if file is not None]
    if len(masks) < len(files):
        raise ManifestError(f"{image_id} lacks a mask of the {organ}: fill the columns lung_mask and heart_mask.")
    lungs = np.isin(masks[0], (1, 2))
    return np.asarray((masks[1] == HEART) & ~lungs if organ == "heart" else lungs)


def shared_agreement(
    system: Voter, manifest: Manifest, image_ids: Sequence[str], read: Reader, advance: Callable[[], None]
) -> pd.DataFrame:
    """Ask for each image's vote both patch by patch and from shared feature maps.

    Parameters
    ----------
    system, manifest, image_ids, read, advance
        As for :func:`class_scores`.

    Returns
    -------
    DataFrame
        image_id, source, group, agrees (whether the same class won), share (mean absolute difference of the classes'
        shares of the votes) and seconds of both ways, segmenting included.
    """
    rows = []
    for image_id in image_ids:
        radiograph = read(manifest.image_file(image_id))
        start = time.perf_counter()
        exact = system.vote(radiograph)
        middle = time.perf_counter()
        shared = system.vote_shared(radiograph)
        end = time.perf_counter()
        facts = manifest.table.loc[image_id]
        rows.append(
            {
                "image_id": image_id,
                "source": facts["source"],
                "group": facts["group"],
                "agrees": exact.label == shared.label,
                "share": float(np.abs(exact.counts - shared.counts).mean() / exact.counts.sum()),
                "seconds": middle - start,
                "seconds_shared": end - middle,
            }
        )
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
