"""Copies are found, other images are not; the pairs are those of a search one by one."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cxrscreen.data import near_duplicates as nd
from cxrscreen.errors import UnreadableImageError
from cxrscreen.imaging.radiograph import Provenance, Radiograph


def picture(seed, shape=(96, 96)):
    coarse = np.random.default_rng(seed).random((14, 14)).astype(np.float32)
    return np.clip(cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC), 0, 1)


def fingerprints(images, digests=None):
    return nd.Fingerprints(
        tuple(f"i{index}" for index in range(len(images))),
        tuple(digests or (str(index) for index in range(len(images)))),
        np.array([nd.dct_hash(image) for image in images], np.uint64),
        np.stack([nd.thumbnail(image) for image in images]),
        np.stack([cv2.resize(np.round(255 * image).astype(np.uint8), (64, 64)) for image in images]),
    )


@given(st.integers(0, 50), st.floats(0.3, 1.0), st.floats(0.0, 0.3), st.integers(64, 200), st.integers(64, 200))
def test_a_copy_with_other_contrast_and_size_is_found(seed, contrast, brightness, rows, columns):
    original = picture(seed)
    copy = np.clip(cv2.resize(original, (columns, rows)) * contrast * 0.7 + brightness, 0, 1)
    found = nd.find_pairs(fingerprints([original, picture(seed + 1000), copy]))
    assert found[["first", "second"]].to_numpy().tolist() == [["i0", "i2"]]
    assert found["hash_distance"][0] <= 6
    assert not found["mirrored"][0]


def test_a_mirrored_copy_is_found_as_such():
    found = nd.find_pairs(fingerprints([picture(0), picture(1), np.ascontiguousarray(picture(0)[:, ::-1])]))
    assert len(found) == 1
    assert found["mirrored"][0]
    assert found["correlation"][0] == pytest.approx(1.0, abs=1e-5)


def test_equal_files_are_a_pair_also_where_nothing_can_be_seen():
    black = np.zeros((40, 40), np.float32)
    found = nd.find_pairs(fingerprints([black, picture(0), black], digests=("same", "other", "same")))
    assert found[["first", "second", "same_file"]].to_numpy().tolist() == [["i0", "i2", True]]
    assert nd.find_pairs(fingerprints([black, black])).empty


def test_the_hash_ignores_brightness_and_counts_bits():
    image = picture(3)
    assert nd.dct_hash(image) == nd.dct_hash(0.5 * image + 0.2)
    assert nd.dct_hash(image).bit_count() == 32  # Half of the frequencies lie above their median.
    others = [int(nd.dct_hash(image) ^ nd.dct_hash(picture(seed))).bit_count() for seed in range(100, 160)]
    assert 26 < np.mean(others) < 38


def test_a_thumbnail_has_length_one_and_no_mean():
    values = nd.thumbnail(picture(5))
    assert values.shape == (nd.THUMBNAIL_SIDE**2,)
    assert np.linalg.norm(values) == pytest.approx(1.0, abs=1e-5)
    assert values.mean() == pytest.approx(0.0, abs=1e-6)
    assert not nd.thumbnail(np.full((50, 50), 0.3, np.float32)).any()


def test_the_blocks_miss_no_pair(monkeypatch):
    images = [picture(seed // 2) for seed in range(30)]
    whole = nd.find_pairs(fingerprints(images))
    assert len(whole) == 15
    for block in (1, 4, 7):
        monkeypatch.setattr(nd, "_BLOCK", block)
        assert nd.find_pairs(fingerprints(images)).equals(whole)


def test_thousands_are_compared_at_once():
    rng = np.random.default_rng(0)
    count = 3000
    thumbnails = rng.normal(size=(count, nd.THUMBNAIL_SIDE**2)).astype(np.float32)
    thumbnails /= np.linalg.norm(thumbnails, axis=1, keepdims=True)
    thumbnails[count - 1] = thumbnails[0]
    hashes = rng.integers(0, 2**63, count, dtype=np.uint64)
    ids = tuple(map(str, range(count)))
    found = nd.find_pairs(nd.Fingerprints(ids, ids, hashes, thumbnails, np.zeros((count, 1, 1), np.uint8)))
    assert found[["first", "second"]].to_numpy().tolist() == [["0", str(count - 1)]]


def test_files_are_fingerprinted_in_order_and_unreadable_ones_named(tmp_path):
    files = []
    for index in range(3):
        path = tmp_path / f"{index}.png"
        Image.fromarray((255 * picture(index)).astype(np.uint8)).save(path)
        files.append((f"image{index}", path))

    def read(path: Path) -> Radiograph:
        if path.stem == "1":
            raise UnreadableImageError("damaged")
        with Image.open(path) as image:
            return Radiograph(np.asarray(image, np.float32) / 255, Provenance(path, "PNG"))

    ticks = []
    found = nd.fingerprint_images(files, read, lambda: ticks.append(None))
    assert found.image_ids == ("image0", "image2")
    assert found.unread == ("image1",)
    assert len(found.digests) == len(found.hashes) == len(found.thumbnails) == 2
    assert len(ticks) == 3
    assert nd.fingerprint_images([], read).thumbnails.shape == (0, nd.THUMBNAIL_SIDE**2)
    assert nd.find_pairs(nd.fingerprint_images([], read)).empty
