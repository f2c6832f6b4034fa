"""Batches that draw evenly from groups, and within a group from sources by weight."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from torch.utils.data import Sampler

from cxrscreen.train.recipe import Phase

Draw = tuple[int, int]
"""Index of an image and the seed of its augmentation."""


class EvenBatches(Sampler[list[Draw]]):
    """Each batch holds the same number of images of every group (cascade paper, section 3).

    Parameters
    ----------
    groups
        Group of every image, for example ``"normal"``, ``"pneumonia"``, ``"covid19"``.
    sources
        Source of every image.
    weights
        Relative weight of a source within each group; a source that is not named weighs its share of the group's
        images. Weights count within a group: a source drawn in all of its groups cannot stand for one of them.
    batch
        Images in a batch, shared out evenly over the groups (a remainder goes round them).
    batches
        Batches in an epoch.
    seed
        Same seed, same batches.
    patients
        Patient of every image: within a source and group each patient is drawn as often as any other, whatever the
        number of images. None: each image is.
    """

    def __init__(
        self,
        groups: Sequence[str],
        sources: Sequence[str],
        *,
        weights: Mapping[str, float],
        batch: int,
        batches: int,
        seed: int,
        patients: Sequence[str] | None = None,
    ) -> None:
        self.names = sorted(set(groups))
        self.batch, self.batches, self.seed, self.epoch = batch, batches, seed, 0
        group_of, source_of = np.asarray(groups), np.asarray(sources)
        patient_of = None if patients is None else np.asarray(patients)
        self._source_of = source_of
        self._members: dict[str, np.ndarray[tuple[int], np.dtype[np.int64]]] = {}
        self._chances: dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]] = {}
        for name in self.names:
            members = np.flatnonzero(group_of == name)
            own = source_of[members]
            chances = _chances(own, weights)
            if patient_of is not None:
                chances = _even_over_patients(chances, own, patient_of[members])
            self._members[name], self._chances[name] = members, chances

    def source_odds(self, truth: ArrayLike, limit: float) -> NDArray[np.float32]:
        """How much the source alone gives away the truth, as log odds, for every image.

        Added to the logits while training, they take from the network the reward for recognising the source: what is
        left to learn is what tells the classes apart within sources (logit adjustment, Menon et al., ICLR 2021).

        Parameters
        ----------
        truth
            0, 1 or NaN (not asked) for every image.
        limit
            The odds stay within +-limit, since those of a source of one class have no end; 0: no adjustment.

        Returns
        -------
        ndarray
            float32 (N,): log odds of the drawn images of its source, less those of all drawn images.
        """
        chance = np.zeros(len(self._source_of))
        for name in self.names:
            chance[self._members[name]] += self._chances[name]
        given = np.asarray(truth, dtype=np.float64)

        def odds(rows: NDArray[np.bool_]) -> float:
            yes, no = chance[rows & (given == 1)].sum(), chance[rows & (given == 0)].sum()
            return float(np.log(yes + 1e-9) - np.log(no + 1e-9))

        overall = odds(np.ones(len(given), dtype=bool))
        result = np.zeros(len(given), np.float32)
        for source in np.unique(self._source_of):
            rows = self._source_of == source
            result[rows] = np.clip(odds(rows) - overall, -limit, limit)
        return result

    @property
    def sampler(self) -> "EvenBatches":
        """Itself: Lightning looks for ``set_epoch`` on a batch sampler's ``sampler``, not on the batch sampler."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose batches come next; without it every epoch would repeat the same draws."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[list[Draw]]:
        rng = np.random.default_rng((self.seed, self.epoch))
        total = self.batch * self.batches
        drawn = {
            name: rng.choice(self._members[name], size=total // len(self.names) + self.batches, p=self._chances[name])
            for name in self.names
        }
        used = dict.fromkeys(self.names, 0)
        for number in range(self.batches):
            batch: list[Draw] = []
            for place in range(self.batch):
                name = self.names[(place + number) % len(self.names)]
                batch.append((int(drawn[name][used[name]]), int(rng.integers(2**31))))
                used[name] += 1
            yield batch


def patients_of(images: pd.DataFrame, phase: Phase) -> list[str] | None:
    """The patient of each image, by rows of a manifest's table, where a phase draws patients evenly; else None."""
    return images["group"].tolist() if phase.even_patients else None


def drawn_chances(
    groups: Sequence[object], sources: Sequence[str], weights: Mapping[str, float]
) -> NDArray[np.float64]:
    """How often :class:`EvenBatches` without patients draws each image: float64 (N,), sum 1, the same for a group."""
    group_of, source_of = np.asarray(groups), np.asarray(sources)
    result = np.zeros(len(source_of))
    names = np.unique(group_of)
    for name in names:
        members = np.flatnonzero(group_of == name)
        result[members] = _chances(source_of[members], weights) / len(names)
    return result


def _chances(sources: NDArray[np.str_], weights: Mapping[str, float]) -> NDArray[np.float64]:
    present, inverse, counts = np.unique(sources, return_inverse=True, return_counts=True)
    mass = np.array(
        [weights.get(str(s), n / len(sources)) for s, n in zip(present, counts, strict=True)], dtype=np.float64
    )
    chance = (mass / counts)[inverse]
    return np.asarray(chance / chance.sum(), dtype=np.float64)


def _even_over_patients(
    chances: NDArray[np.float64], sources: NDArray[np.str_], patients: NDArray[np.str_]
) -> NDArray[np.float64]:
    """Chances that keep each source's sum and give its patients the same, spread over their images."""
    result = np.zeros_like(chances)
    for source in np.unique(sources):
        rows = np.flatnonzero(sources == source)
        _, inverse, counts = np.unique(patients[rows], return_inverse=True, return_counts=True)
        result[rows] = chances[rows].sum() / (len(counts) * counts[inverse])
    return np.asarray(result / result.sum(), dtype=np.float64)
