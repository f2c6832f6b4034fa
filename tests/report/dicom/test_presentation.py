from dataclasses import replace

import numpy as np
import pytest
from pydicom import uid
from pydicom.dataset import Dataset

from cxrscreen import RESEARCH_USE
from cxrscreen.report.dicom.objects import dicom_objects, encoded
from cxrscreen.report.dicom.presentation import outlines_of, presentation_state
from cxrscreen.report.dicom.segmentation import regions_of
from cxrscreen.report.dicom.source import source_of


def test_a_square_is_outlined_through_the_middle_of_its_outermost_pixels():
    mask = np.zeros((40, 60), np.bool_)
    mask[10:20, 30:50] = True
    mask[0, 0] = True
    (line,) = outlines_of(mask)
    assert {tuple(point) for point in line} == {(30.5, 10.5), (49.5, 10.5), (49.5, 19.5), (30.5, 19.5)}
    assert tuple(line[0]) == tuple(line[-1])


def test_the_outlines_follow_the_masks_and_carry_the_statement(objects, phantom, dicom_path):
    state = objects.outlines
    assert state.SOPClassUID == uid.GrayscaleSoftcopyPresentationStateStorage
    (reference,) = state.ReferencedSeriesSequence[0].ReferencedImageSequence
    (annotation,) = state.GraphicAnnotationSequence
    assert annotation.ReferencedImageSequence[0].ReferencedSOPInstanceUID == reference.ReferencedSOPInstanceUID
    assert RESEARCH_USE in annotation.TextObjectSequence[0].UnformattedTextValue
    lines = [np.reshape(one.GraphicData, (-1, 2)) for one in annotation.GraphicObjectSequence]
    assert len(lines) >= 3
    for columns, rows in (line.T for line in lines[:2]):
        on = phantom.lungs[rows.astype(int), columns.astype(int)]
        assert (on > 0).mean() > 0.9
    assert state.PresentationLUTShape == "IDENTITY"


def test_grey_values_are_those_of_the_image(screening, radiograph, dicom_path, made):
    source = source_of(dicom_path, radiograph)
    source.header.PhotometricInterpretation = "MONOCHROME1"
    state = presentation_state(regions_of(screening), screening, source, made, "")
    assert state.PresentationLUTShape == "INVERSE"
    source.header.SamplesPerPixel = 3
    assert presentation_state(regions_of(screening), screening, source, made, "") is None


def test_nothing_is_drawn_where_nothing_was_found(screening, radiograph, refused, made):
    nothing = replace(screening, lung_mask=np.zeros_like(screening.lung_mask), heart_mask=None)
    assert dicom_objects(nothing, radiograph, made=made).outlines is None
    assert dicom_objects(refused, radiograph, made=made).outlines is None


def lut() -> Dataset:
    table = Dataset()
    table.add_new("LUTDescriptor", "US", [4096, 0, 12])
    table.add_new("LUTData", "OW", np.arange(4096, dtype="<u2").tobytes())
    return table


@pytest.mark.parametrize(
    ("said", "kept", "kept_of_window"),
    [
        ({"WindowCenter": 5, "WindowWidth": 9, "VOILUTSequence": [lut()]}, set(), {"WindowCenter", "VOILUTSequence"}),
        ({"WindowCenter": [5, 6], "WindowWidth": [9, 8]}, set(), {"WindowCenter", "WindowWidth"}),
        ({"WindowCenter": 5, "WindowWidth": 0}, set(), set()),
        ({"WindowCenter": 5}, set(), set()),
        ({"RescaleIntercept": -5}, {"RescaleSlope", "RescaleIntercept", "RescaleType"}, set()),
        ({"ModalityLUTSequence": [lut()]}, {"ModalityLUTSequence"}, set()),
    ],
)
def test_it_keeps_the_image_s_own_tables_and_windows_however_they_are_said(
    said, kept, kept_of_window, screening, radiograph, dicom_path, made
):
    source = source_of(dicom_path, radiograph)
    for keyword in ("WindowCenter", "WindowWidth", "RescaleSlope", "RescaleIntercept", "RescaleType"):
        source.header.pop(keyword, None)
    for keyword, value in said.items():
        setattr(source.header, keyword, value)
    state = presentation_state(regions_of(screening), screening, source, made, "")
    assert all(keyword in source.header for keyword in said)
    assert {
        keyword
        for keyword in ("ModalityLUTSequence", "RescaleSlope", "RescaleIntercept", "RescaleType")
        if keyword in state
    } == kept
    items = state.get("SoftcopyVOILUTSequence") or [Dataset()]
    assert kept_of_window <= {element.keyword for element in items[0]}
    assert bool(kept_of_window) == ("SoftcopyVOILUTSequence" in state)
    encoded(state)
