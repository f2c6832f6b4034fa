"""A copy that shows a part of the other image is found; other images and pairs not asked for are not."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from cxrscreen.data.cropped_copies import COARSE_SCALES, FINE_SCALES, find_cropped_pairs, windows
from cxrscreen.data.near_duplicates import PAIR_COLUMNS, PICTURE_SIDE, find_pairs, fingerprint_images
from cxrscreen.imaging.radiograph import Provenance, Radiograph


def picture(seed):
    coarse = np.random.default_rng(seed).random((10, 10)).astype(np.float32)
    return np.clip(cv2.resize(coarse, (200, 200), interpolation=cv2.INTER_CUBIC), 0, 1)


@pytest.fixture
def fingerprints(tmp_path):
    def make(*images):
        files = []
        for index, _ in enumerate(images):
            file = tmp_path / str(index)
            file.write_bytes(bytes([index]))
            files.append((f"i{index}", file))

        def read(path: Path) -> Radiograph:
            return Radiograph(np.ascontiguousarray(images[int(path.name)]), Provenance(path, "PNG"))

        return fingerprint_images(files, read)

    return make


@pytest.mark.parametrize(
    "part",
    [(slice(0, 180), slice(20, 200)), (slice(15, 185), slice(0, 200)), (slice(20, 200), slice(18, 182))],
)
def test_a_cropped_copy_is_found_whichever_comes_first(fingerprints, part):
    cropped = 0.6 * picture(0)[part] + 0.1
    for images in ((picture(0), picture(1), cropped), (cropped, picture(1), picture(0))):
        made = fingerprints(*images)
        assert find_pairs(made).empty
        found = find_cropped_pairs(made, np.array([True, False, False]))
        assert tuple(found.columns) == PAIR_COLUMNS
        assert found[["first", "second", "cropped"]].to_numpy().tolist() == [["i0", "i2", True]]
        assert found["correlation"][0] > 0.95


def test_pairs_of_which_neither_was_asked_for_are_not_compared(fingerprints):
    made = fingerprints(picture(0), picture(1), picture(0)[:180, :180])
    assert find_cropped_pairs(made, np.array([False, True, False])).empty
    assert len(find_cropped_pairs(made, np.array([True, True, True]))) == 1


def test_other_images_and_empty_ones_are_no_pair(fingerprints):
    black = np.zeros((60, 60), np.float32)
    made = fingerprints(*(picture(seed) for seed in range(40)), black, black)
    assert find_cropped_pairs(made, np.ones(42, bool)).empty
    assert find_cropped_pairs(fingerprints(), np.zeros(0, bool)).empty


def test_windows_cover_every_edge_at_every_scale():
    for scales in (COARSE_SCALES, FINE_SCALES):
        made = list(windows(scales))
        assert made[0] == (slice(0, PICTURE_SIDE), slice(0, PICTURE_SIDE))
        assert len({(r.start, r.stop, c.start, c.stop) for r, c in made}) == len(made) == (3 * len(scales) - 2) ** 2
        assert all(0 <= side.start < side.stop <= PICTURE_SIDE for window in made for side in window)
        smallest = round(min(scales) * PICTURE_SIDE)
        assert min(r.stop - r.start for r, _ in made) == smallest
