import numpy as np
import pytest
from PIL import Image

from cxrscreen.data.masks import (
    IGNORE,
    lung_target,
    palette_image,
    partial_lung_target,
    read_lung_mask,
    target_at,
)
from cxrscreen.errors import ManifestError


def chest():
    mask = np.zeros((40, 60), np.uint8)
    mask[5:35, 5:25] = 1
    mask[5:35, 35:55] = 2
    return mask


def test_the_heart_is_no_lung():
    mask = chest()
    mask[20:30, 25:35] = 3
    assert lung_target(mask).sum() == (chest() > 0).sum()


def test_what_may_be_heart_or_diaphragm_is_left_open():
    target = partial_lung_target(chest())
    assert set(np.unique(target)) == {0, 1, IGNORE}
    # Lateral parts stay lung, the medial parts of the lower rows and the base are open, all outside is background.
    assert (target[8, 5:25] == 1).all()
    assert target[25, 6] == 1
    assert target[25, 53] == 1
    assert target[25, 24] == IGNORE
    assert target[25, 36] == IGNORE
    assert (target[34, 5:25] == IGNORE).all()
    assert (target[chest() == 0] == 0).all()


def test_more_of_the_left_lung_is_open_than_of_the_right():
    target = partial_lung_target(chest())
    assert (target[20, 35:55] == IGNORE).sum() > (target[20, 5:25] == IGNORE).sum()


@pytest.mark.parametrize("mode", ["P", "L"])
def test_index_values_are_read_from_palette_and_grey(tmp_path, mode):
    image = Image.fromarray(chest()) if mode == "L" else Image.new("P", (60, 40))
    if mode == "P":
        image.putdata(chest().ravel().tolist())
        image.putpalette([0, 0, 0, 200, 10, 10, 10, 200, 10])
    image.save(tmp_path / "mask.png")
    np.testing.assert_array_equal(read_lung_mask(tmp_path / "mask.png"), chest())


def test_a_palette_picture_comes_back_and_shows_its_values_in_colours(tmp_path):
    mask = chest()
    mask[20, 30] = 3
    palette_image(mask[:, ::2]).save(tmp_path / "mask.png")
    np.testing.assert_array_equal(read_lung_mask(tmp_path / "mask.png"), mask[:, ::2])
    with Image.open(tmp_path / "mask.png") as image:
        assert len(image.convert("RGB").getcolors()) == 4


def test_a_missing_or_broken_mask_is_named(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no image")
    for name in ("broken.png", "missing.png"):
        with pytest.raises(ManifestError, match=f"The lung mask {name} cannot be read"):
            read_lung_mask(tmp_path / name)


def test_another_convention_is_refused_and_not_read_as_no_lung(tmp_path):
    Image.fromarray((chest() > 0).astype(np.uint8) * 255).save(tmp_path / "binary.png")
    with pytest.raises(ManifestError, match="binary.png holds the value 255"):
        read_lung_mask(tmp_path / "binary.png")


def test_a_target_keeps_its_outline():
    target = np.zeros((112, 112), np.uint8)
    target[32:64, 32:64] = 1
    target[64:80] = IGNORE
    small = target_at(target, 56)
    assert set(np.unique(small)) == {0, 1, IGNORE}
    np.testing.assert_array_equal(small[16:32, 16:32], 1)
    assert (small == 1).sum() == 16 * 16
    assert (small == IGNORE).sum() == 8 * 56
    assert (target_at(target, 224) == 1).sum() == pytest.approx(64 * 64, rel=0.02)


def test_at_another_side_a_mask_keeps_its_outlines():
    rows, columns = np.indices((224, 224))
    target = np.zeros((224, 224), np.uint8)
    for organ, row, column in ((1, 100.5, 60.5), (3, 160.2, 150.7)):
        target[(rows - row) ** 2 + (columns - column) ** 2 < 40**2] = organ
    for side in (256, 128):
        found = target_at(target, side)
        scale = side / 224
        for organ in (1, 3):
            centre = (np.argwhere(target == organ).mean(axis=0) + 0.5) * scale
            # Nearest pixels would move it by up to half a pixel.
            np.testing.assert_allclose(np.argwhere(found == organ).mean(axis=0) + 0.5, centre, atol=0.15)
            assert (found == organ).sum() == pytest.approx((target == organ).sum() * scale**2, rel=0.01)
    np.testing.assert_array_equal(target_at(target, 224), target)
