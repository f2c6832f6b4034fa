"""The objects as a reader gets them: geometry, references, repeats."""

from dataclasses import replace
from io import BytesIO

import highdicom as hd
import numpy as np
import pydicom
import pytest
from pydicom import uid

from cxrscreen.data.phantoms import write_png
from cxrscreen.imaging.read import read
from cxrscreen.report.dicom.objects import dicom_objects, encoded, ratio_of, write_objects
from cxrscreen.report.dicom.segmentation import regions_of
from cxrscreen.report.dicom.source import DicomObjectError


@pytest.fixture(scope="module")
def written(objects, tmp_path_factory):
    folder = tmp_path_factory.mktemp("objects")
    return {path.name: pydicom.dcmread(path) for path in write_objects(folder / "new", objects)}


def test_what_is_referred_to_is_written_first(written):
    names = ["segmentation.dcm", "maps.dcm", *(f"capture-{number}.dcm" for number in (1, 2, 3))]
    assert list(written) == [*names, "outlines.dcm", "report.dcm"]


def test_masks_lie_pixel_for_pixel_over_the_image(objects, phantom):
    segmentation = hd.seg.Segmentation.from_dataset(objects.segmentation)
    frames = segmentation.pixel_array
    for frame, expected in zip(frames, (phantom.lungs == 1, phantom.lungs == 2, phantom.heart), strict=True):
        assert np.array_equal(frame.astype(bool), expected)
    labels = [segmentation.get_segment_description(number).segment_label for number in (1, 2, 3)]
    assert labels == ["Right lung", "Left lung", "Heart"]
    right = segmentation.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0]
    assert right.SegmentedPropertyTypeModifierCodeSequence[0].CodeMeaning == "Right"
    assert right.CodeValue == "39607008"


def test_an_off_centre_mark_comes_back_where_it_was(written, off_centre):
    maps = written["maps.dcm"]
    assert maps.pixel_array.shape == (2, *off_centre.shape)
    mapping = maps.PerFrameFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0]
    values = maps.pixel_array[0] * mapping.RealWorldValueSlope + mapping.RealWorldValueIntercept
    np.testing.assert_allclose(values, off_centre, atol=1 / 131070 + 1e-9)
    meanings = [
        frame.RealWorldValueMappingSequence[0].QuantityDefinitionSequence[0].ConceptCodeSequence[0].CodeMeaning
        for frame in maps.PerFrameFunctionalGroupsSequence
    ]
    assert meanings == ["Class activation", "Gradient-weighted class activation"]


def test_a_map_that_knows_every_place_has_no_padding(written, off_centre):
    maps = written["maps.dcm"]
    assert "PixelPaddingValue" not in maps
    np.testing.assert_array_equal(maps.pixel_array[0], np.rint(off_centre.astype(np.float64) * 65535))
    mapping = maps.PerFrameFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0]
    assert (mapping.RealWorldValueIntercept, mapping.RealWorldValueLastValueMapped) == (0.0, 65535)


def test_what_was_not_looked_at_is_padding_outside_the_range_of_a_map_and_not_zero(partly, radiograph, made):
    maps = pydicom.dcmread(BytesIO(encoded(dicom_objects(partly, radiograph, made=made).maps)))
    assert maps["PixelPaddingValue"].VR == "US"
    assert maps.PixelPaddingValue == 0
    read_by_others = hd.Image.from_dataset(maps)
    for number, saliency in enumerate(partly.saliency):
        unseen = maps.pixel_array[number] == maps.PixelPaddingValue
        np.testing.assert_array_equal(unseen, ~saliency.looked_at)
        values = read_by_others.get_frame(number + 1, apply_real_world_transform=True)
        np.testing.assert_array_equal(values[unseen], -1.0)
        np.testing.assert_allclose(values[~unseen], saliency.values[~unseen], atol=1 / 65534 + 1e-9)
        assert (values[~unseen & (saliency.values == 0)] == 0).all()
    # the window goes from 0 to 1, so that a viewer that knows no padding shows it black and not grey
    window = maps.SharedFunctionalGroupsSequence[0].FrameVOILUTSequence[0]
    stored = maps.pixel_array[0][partly.saliency[0].looked_at]
    assert window.WindowCenter - window.WindowWidth / 2 == stored.min()
    assert window.WindowCenter + window.WindowWidth / 2 == stored.max()


def test_coverage_is_not_called_a_saliency_map(partly, radiograph, made):
    heat, coverage = dicom_objects(partly, radiograph, made=made).maps.PerFrameFunctionalGroupsSequence
    for frame, code in ((heat, "130404"), (coverage, "coverage")):
        derivation = frame.DerivationImageSequence[0]
        assert derivation.DerivationCodeSequence[0].CodeValue == code
    assert "aliency" not in coverage.DerivationImageSequence[0].DerivationDescription


def test_every_object_is_in_the_study_and_refers_to_the_image(written, dicom_path):
    image = pydicom.dcmread(dicom_path, stop_before_pixels=True)
    for name, dataset in written.items():
        assert dataset.StudyInstanceUID == image.StudyInstanceUID, name
        assert dataset.PatientID == image.PatientID, name
        assert dataset.SeriesInstanceUID != image.SeriesInstanceUID, name
        assert "research use only" in dataset.SeriesDescription, name
        referred = {element.value for element in dataset.iterall() if element.keyword == "ReferencedSOPInstanceUID"}
        assert image.SOPInstanceUID in referred, name
    assert written["report.dcm"].CurrentRequestedProcedureEvidenceSequence[0].StudyInstanceUID == image.StudyInstanceUID


def test_the_report_refers_to_the_segments(written):
    segmentation = written["segmentation.dcm"].SOPInstanceUID
    frames = [
        element.value.get("ReferencedFrameNumber")
        for element in _items(written["report.dcm"])
        if element.value.get("ReferencedSOPInstanceUID") == segmentation and "ReferencedFrameNumber" in element.value
    ]
    assert frames == [1, 2, 3]


def test_a_repeat_gives_the_same_bytes_and_another_time_the_same_uids(screening, radiograph, objects, made):
    again = dicom_objects(screening, radiograph, made=made).named
    for name, dataset in objects.named.items():
        assert encoded(dataset) == encoded(again[name]), name
    later = dicom_objects(screening, radiograph).named
    uids = [dataset.SOPInstanceUID for dataset in objects.named.values()]
    assert uids == [dataset.SOPInstanceUID for dataset in later.values()]
    assert len(set(uids)) == len(uids)


def test_a_refused_radiograph_gets_a_report_alone(refused, radiograph, made):
    objects = dicom_objects(refused, radiograph, made=made)
    assert list(objects.named) == ["report.dcm"]
    said = encoded(objects.report)
    assert b"This is a lateral view." in said
    assert b"Probability given" not in said


def test_one_map_alone_and_no_map(make_screening, radiograph, made):
    assert dicom_objects(make_screening(maps=("h2",)), radiograph, made=made).maps.NumberOfFrames == 1
    assert dicom_objects(make_screening(maps=()), radiograph, made=made).maps is None


def test_the_diseased_region_is_a_segment_and_no_other_map_is(make_screening, radiograph, off_centre, made):
    objects = dicom_objects(make_screening(maps=("disease", "h3")), radiograph, made=made)
    segments = objects.segmentation
    last = segments.SegmentSequence[-1]
    assert [segment.SegmentLabel for segment in segments.SegmentSequence][2:] == ["Heart", "Diseased region (estimate)"]
    assert last.SegmentedPropertyCategoryCodeSequence[0].CodeValue == "49755003"
    assert last.SegmentationAlgorithmIdentificationSequence[0].AlgorithmName == "cascade"
    assert np.array_equal(segments.pixel_array[-1].astype(bool), off_centre >= 0.5)
    first = objects.maps.PerFrameFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0]
    assert first.QuantityDefinitionSequence[0].ConceptCodeSequence[0].CodeValue == "disease-map"


def test_what_was_not_segmented_is_no_segment(make_screening):
    bare = replace(make_screening(), heart_mask=None)
    assert [region.label for region in regions_of(bare)] == ["Right lung", "Left lung"]
    empty = replace(make_screening(), heart_mask=np.zeros(bare.lung_mask.shape, bool))
    assert [region.label for region in regions_of(empty)] == ["Right lung", "Left lung"]
    assert ratio_of(bare) is None
    assert ratio_of(empty) is None


def test_a_mask_of_another_size_is_refused(screening, radiograph):
    other = replace(screening, heart_mask=np.ones((4, 4), bool))
    with pytest.raises(DicomObjectError, match="own size"):
        dicom_objects(other, radiograph)


def test_a_picture_gets_an_image_to_refer_to(screening, phantom, tmp_path, made):
    write_png(phantom, tmp_path / "chest.png", bits=16)
    picture = read(tmp_path / "chest.png")
    objects = dicom_objects(screening, picture, made=made)
    names = list(objects.named)
    assert names[0] == "image.dcm"
    image = objects.image
    assert image.SOPClassUID == uid.SecondaryCaptureImageStorage
    np.testing.assert_allclose(image.pixel_array / 65535, picture.pixels, atol=1e-5)
    assert objects.report.StudyInstanceUID == image.StudyInstanceUID
    again = dicom_objects(screening, picture, made=made).image
    assert again.SOPInstanceUID == image.SOPInstanceUID
    paths = write_objects(tmp_path / "out", objects)
    np.testing.assert_array_equal(read(paths[0]).pixels.shape, picture.shape)


def test_a_header_without_a_study_is_refused_in_words(screening, dicom_path, radiograph, tmp_path):
    bare = pydicom.dcmread(dicom_path)
    del bare.StudyInstanceUID
    bare.save_as(tmp_path / "bare.dcm")
    with pytest.raises(DicomObjectError, match=r"bare\.dcm lacks StudyInstanceUID"):
        dicom_objects(screening, read(tmp_path / "bare.dcm"))


def test_an_odd_header_still_gets_its_objects(screening, dicom_path, tmp_path, made):
    odd = pydicom.dcmread(dicom_path)
    odd.PatientSex = "U"
    for keyword in ("PatientBirthDate", "StudyID", "StudyDate", "StudyTime", "PatientOrientation", "AccessionNumber"):
        delattr(odd, keyword)
    odd.PatientName = "Müller^Jürgen"
    odd.save_as(tmp_path / "odd.dcm")
    objects = dicom_objects(screening, read(tmp_path / "odd.dcm"), made=made)
    for name, dataset in objects.named.items():
        back = pydicom.dcmread(BytesIO(encoded(dataset)))
        assert str(back.PatientName) == "Müller^Jürgen", name


def test_a_folder_that_cannot_be_written_is_said(objects, tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(DicomObjectError, match="could not be written"):
        write_objects(tmp_path / "taken", objects)


def _items(dataset):
    class _Item:
        def __init__(self, value):
            self.value = value

    for element in dataset.iterall():
        if element.VR == "SQ":
            yield from (_Item(item) for item in element.value)


def test_a_loss_in_compression_never_wears_off(objects, dicom_path, screening, made, tmp_path):
    for plain in (objects.maps, *objects.captures):
        assert plain.get("LossyImageCompression", "00") == "00"
    lossy = pydicom.dcmread(dicom_path)
    lossy.LossyImageCompression = "01"
    lossy.LossyImageCompressionRatio, lossy.LossyImageCompressionMethod = "12.5", "ISO_10918_1"
    lossy.save_as(tmp_path / "lossy.dcm")
    found = dicom_objects(screening, read(tmp_path / "lossy.dcm"), made=made)
    for each in (found.maps, *found.captures, found.segmentation):
        assert each.LossyImageCompression == "01"
        assert float(each.LossyImageCompressionRatio) == 12.5
        assert each.LossyImageCompressionMethod == "ISO_10918_1"
