import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from cxrscreen.imaging.radiograph import Provenance, Radiograph
from cxrscreen.report.folder import ResultNotWrittenError, write_folder
from cxrscreen.systems.contract import Screening

MakeScreening = Callable[..., Screening]


def test_the_lung_mask_has_its_plain_values_at_the_radiographs_size(
    tmp_path: Path, radiograph: Radiograph, make_screening: MakeScreening
) -> None:
    screening = make_screening()
    write_folder(tmp_path / "a", radiograph, screening)
    with Image.open(tmp_path / "a" / "lung_mask.png") as mask:
        assert mask.mode == "L"
        assert np.array_equal(np.asarray(mask), screening.lung_mask)
    unchanged = cv2.imread(str(tmp_path / "a" / "lung_mask.png"), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(unchanged, screening.lung_mask)


def test_every_picture_is_written_and_has_a_small_copy(
    tmp_path: Path, radiograph: Radiograph, make_screening: MakeScreening
) -> None:
    thumbnails = write_folder(tmp_path / "a", radiograph, make_screening())
    names = ["original", "lung_overlay", "h2", "h3", "guided"]
    assert [thumbnail.name for thumbnail in thumbnails] == names
    assert {path.name for path in (tmp_path / "a").iterdir()} == {"lung_mask.png", *(f"{name}.png" for name in names)}
    for thumbnail in thumbnails:
        with Image.open(io.BytesIO(thumbnail.jpeg)) as small:
            assert small.size == (thumbnail.width, thumbnail.height) == (364, 420)
        with Image.open(tmp_path / "a" / thumbnail.file) as full:
            assert max(full.size) <= 1024 + 120
    assert [thumbnail.is_map for thumbnail in thumbnails] == [False, False, True, True, True]


def test_a_map_keeps_its_colours_on_disk(tmp_path: Path, radiograph: Radiograph, make_screening: MakeScreening) -> None:
    write_folder(tmp_path / "a", radiograph, make_screening())
    with Image.open(tmp_path / "a" / "h2.png") as full:
        red, _, blue = full.getpixel((round(60 / 300 * 512), 46 + round(120 / 300 * 512)))
    assert red > blue + 50


def test_maps_of_an_earlier_run_do_not_stay(
    tmp_path: Path, radiograph: Radiograph, make_screening: MakeScreening
) -> None:
    write_folder(tmp_path / "a", radiograph, make_screening())
    write_folder(tmp_path / "a", radiograph, make_screening(covid=None, maps=("h2",)))
    assert not (tmp_path / "a" / "h3.png").exists()


def test_pictures_of_somebody_else_stay(tmp_path: Path, radiograph: Radiograph, make_screening: MakeScreening) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "holiday.png").write_bytes(b"mine")
    write_folder(tmp_path / "a", radiograph, make_screening())
    assert (tmp_path / "a" / "holiday.png").read_bytes() == b"mine"


def test_a_folder_that_cannot_be_made_is_one_sentence(
    tmp_path: Path, radiograph: Radiograph, make_screening: MakeScreening
) -> None:
    (tmp_path / "a").write_text("a file stands in the way")
    with pytest.raises(ResultNotWrittenError, match="'a' could not be written"):
        write_folder(tmp_path / "a", radiograph, make_screening())


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (2000, 3)])
def test_odd_shapes_are_written(tmp_path: Path, shape: tuple[int, int], make_screening: MakeScreening) -> None:
    radiograph = Radiograph(np.zeros(shape, np.float32), Provenance(Path("a.png"), "PNG"))
    thumbnails = write_folder(tmp_path / "a", radiograph, make_screening(shape))
    assert len(thumbnails) == 5


def test_what_was_not_looked_at_is_hatched_in_every_picture_and_said_beside_it(
    tmp_path: Path, radiograph: Radiograph, partly: Screening
) -> None:
    thumbnails = write_folder(tmp_path / "a", radiograph, partly)
    heat, coverage = thumbnails[2:]
    assert heat.note == "100% of it lies inside the lungs. Grey hatching: not looked at."
    assert coverage.note == (
        "Where the system looked, whatever it saw there; no explanation. Grey hatching: not looked at."
    )
    assert [thumbnail.is_coverage for thumbnail in thumbnails] == [False, False, False, True]
    for thumbnail in (heat, coverage):
        small = cv2.imdecode(np.frombuffer(thumbnail.jpeg, np.uint8), cv2.IMREAD_COLOR).astype(int)
        full = cv2.imread(str(tmp_path / "a" / thumbnail.file)).astype(int)[46 : 46 + 512, :444]
        for picture in (small, full):
            # beside the lungs, whose outline has a colour of its own
            unseen = picture[picture.shape[0] * 85 // 100 :]
            assert np.abs(unseen.max(axis=2) - unseen.min(axis=2)).max() <= 4
            assert np.abs(np.diff(unseen.mean(axis=2), axis=1)).max() > 25


def test_a_map_that_knows_every_place_says_nothing_of_hatching(
    tmp_path: Path, radiograph: Radiograph, make_screening: MakeScreening
) -> None:
    screening = make_screening(maps=("h2",))
    known = np.ones(screening.lung_mask.shape, np.bool_)
    whole = replace(screening, saliency=(replace(screening.saliency[0], looked_at=known),))
    assert write_folder(tmp_path / "a", radiograph, whole) == write_folder(tmp_path / "b", radiograph, screening)
    assert (tmp_path / "a" / "h2.png").read_bytes() == (tmp_path / "b" / "h2.png").read_bytes()
