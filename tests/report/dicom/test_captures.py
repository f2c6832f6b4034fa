"""Pictures with the answer and the statement of use burned in."""

from dataclasses import replace

import numpy as np
import pytest

from cxrscreen.report.dicom.captures import LEAST_WIDTH, answer_line, pictures
from cxrscreen.report.dicom.maps import axes_of


def test_the_pictures_are_wide_enough_for_the_statement(objects, radiograph, screening):
    drawn = pictures(radiograph, screening)
    assert [title for title, _ in drawn] == ["Lungs found", "Map h2", "Map h3"]
    for (_, picture), capture in zip(drawn, objects.captures, strict=True):
        assert picture.shape[1] >= LEAST_WIDTH
        np.testing.assert_array_equal(capture.pixel_array, picture)
        # the words at the foot end before the frame does, so nothing of them was cut
        foot = picture[-20:].max(axis=(0, 2))
        assert foot[:500].max() > 100
        assert foot[-40:].max() < 60
        assert "Research use only" in capture.ImageComments
        assert capture.PatientOrientation == ["L", "F"]


def test_what_was_not_looked_at_is_hatched_and_explained_in_the_picture(radiograph, partly):
    bare = replace(partly, saliency=tuple(replace(saliency, looked_at=None) for saliency in partly.saliency))
    drawn, plain = pictures(radiograph, partly), pictures(radiograph, bare)
    assert np.array_equal(drawn[0][1], plain[0][1])
    for (_, picture), (_, other) in zip(drawn[1:], plain[1:], strict=True):
        unseen = picture[-100:-30, 110:530].astype(int)
        assert (unseen.max(axis=2) == unseen.min(axis=2)).all()
        changed = (picture != other).any(axis=2)
        assert changed[-100:-30, 110:530].mean() > 0.1
        # beside the colour bar, in words
        assert changed[-100:-24, LEAST_WIDTH:].any()
        # the answer above stays whole
        assert not changed[:46].any()


def test_the_answer_in_one_line(screening, refused):
    assert answer_line(screening) == "Other pneumonia. pneumonia 0.90 (>= 0.40); covid19 0.20 (< 0.50)"
    assert answer_line(refused) == "Refused, no result: lateral"


@pytest.mark.parametrize(
    ("orientation", "expected"),
    [
        (["L", "F"], [1, 0, 0, 0, 0, -1]),
        (["R", "H"], [-1, 0, 0, 0, 0, 1]),
        (["PR", "F"], [0, 1, 0, 0, 0, -1]),
        (["L", "R"], [1, 0, 0, 0, 0, -1]),
        (["X", "F"], [1, 0, 0, 0, 0, -1]),
        ("", [1, 0, 0, 0, 0, -1]),
    ],
)
def test_axes_by_the_letters(orientation, expected):
    assert axes_of(orientation) == expected
