from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_windowing
from pydicom.sequence import Sequence

from cxrscreen.imaging.lookup import (
    MISSED_WINDOW_WARNING,
    RESCALE_WARNING,
    full_range,
    grey_table,
    padding_values,
    stored_values,
    voi_values,
    window_values,
)

DatasetOf = Callable[..., Dataset]


def lut_item(entries: list[int], first: int, bits: int) -> Dataset:
    item = Dataset()
    item.add_new("LUTDescriptor", "US" if first >= 0 else "SS", [len(entries), first, bits])
    item.add_new("LUTData", "US", entries)
    return item


def header(dataset_of: DatasetOf, dtype: Any = np.uint16, **attributes: Any) -> Dataset:
    return dataset_of(np.zeros((2, 2), dtype), **attributes)


def all_once(bits: int = 16) -> np.ndarray:
    return np.ones(2**bits, np.int64)


def test_rescale_then_window_then_inversion_by_hand(dataset_of: DatasetOf) -> None:
    dataset = header(
        dataset_of,
        PhotometricInterpretation="MONOCHROME1",
        RescaleSlope=2,
        RescaleIntercept=-100,
        WindowCenter=40000,
        WindowWidth=80001,
    )
    # Stored 10050 -> 20000 in units -> (20000 - 39999.5) / 80000 + 0.5 = 0.25000625 -> inverted 0.74999375.
    assert grey_table(dataset, all_once()).grey[10050] == pytest.approx(0.74999375, abs=1e-7)


def test_window_functions_by_hand() -> None:
    values = np.array([0.0, 50.0, 100.0, 150.0, 200.0])
    assert np.allclose(window_values(values, 100, 101), [0, 0.005, 0.505, 1, 1])
    assert np.allclose(window_values(values, 100, 100, "LINEAR_EXACT"), [0, 0, 0.5, 1, 1])
    assert np.allclose(window_values(values, 100, 100, "SIGMOID")[2:4], [0.5, 1 / (1 + np.exp(-2))])
    assert window_values(values, 100, 1).tolist() == [0, 0, 1, 1, 1]


@settings(max_examples=50, deadline=None)
@given(
    center=st.floats(-500, 1500),
    width=st.floats(2, 3000),
    function=st.sampled_from(["LINEAR", "LINEAR_EXACT", "SIGMOID"]),
)
def test_windows_agree_with_pydicom(center: float, width: float, function: str) -> None:
    values = np.arange(1024, dtype=np.uint16)
    dataset = Dataset()
    dataset.PhotometricInterpretation, dataset.BitsStored, dataset.PixelRepresentation = "MONOCHROME2", 10, 0
    dataset.VOILUTFunction = function
    # DS holds 16 characters, so both sides see the rounded numbers.
    dataset.WindowCenter, dataset.WindowWidth = f"{center:.4f}", f"{width:.4f}"
    expected = apply_windowing(values, dataset) / 1023.0
    got = voi_values(dataset, values.astype(np.float64))
    assert got is not None
    assert np.allclose(got, expected, atol=1e-6)


def test_the_voi_lut_comes_before_the_window_and_clamps_at_its_ends(dataset_of: DatasetOf) -> None:
    item = lut_item([0, 51, 102, 255], first=10, bits=8)
    dataset = header(dataset_of, VOILUTSequence=Sequence([item]), WindowCenter=5, WindowWidth=3)
    got = voi_values(dataset, np.array([0.0, 10.0, 11.0, 12.0, 13.0, 99.0]))
    assert got is not None
    assert np.allclose(got, [0, 0, 0.2, 0.4, 1, 1])


def test_a_voi_lut_may_start_below_zero_and_fill_fewer_bits_than_it_declares(dataset_of: DatasetOf) -> None:
    item = lut_item([0, 2000, 4095], first=-1, bits=16)
    dataset = header(dataset_of, np.int16, VOILUTSequence=Sequence([item]))
    got = voi_values(dataset, np.array([-1.0, 0.0, 1.0]))
    assert got is not None
    assert np.allclose(got, [0, 2000 / 4095, 1])


def test_a_modality_lut_replaces_the_rescale(dataset_of: DatasetOf) -> None:
    item = lut_item([100, 50, 0], first=0, bits=8)
    dataset = header(dataset_of, np.uint8, ModalityLUTSequence=Sequence([item]), RescaleSlope=7)
    counts = np.zeros(256, np.int64)
    counts[:3] = 10
    assert np.allclose(grey_table(dataset, counts).grey[:4], [1, 0.5, 0, 0])


def test_signed_values_and_unused_bits(dataset_of: DatasetOf) -> None:
    signed = stored_values(header(dataset_of, np.int16, BitsStored=12))
    assert signed[[0, 0x7FF, 0x800, 0xFFF, 0xF800]].tolist() == [0, 2047, -2048, -1, -2048]
    shifted = stored_values(header(dataset_of, BitsStored=12, HighBit=15))
    assert shifted[[0x0010, 0xFFF0, 0xFFFF]].tolist() == [1, 4095, 4095]


def test_padding_is_air_in_both_polarities_and_no_part_of_the_scale(dataset_of: DatasetOf) -> None:
    counts = np.zeros(2**16, np.int64)
    counts[[100, 200, 300, 65535]] = 10
    for photometric, expected in (("MONOCHROME2", [0, 0.5, 1, 0]), ("MONOCHROME1", [1, 0.5, 0, 0])):
        dataset = header(dataset_of, PixelPaddingValue=65535, PhotometricInterpretation=photometric)
        assert np.allclose(grey_table(dataset, counts).grey[[100, 200, 300, 65535]], expected)


def test_padding_range_with_signed_values(dataset_of: DatasetOf) -> None:
    dataset = header(dataset_of, np.int16, PixelPaddingValue=-2000, PixelPaddingRangeLimit=-1990)
    stored = stored_values(dataset)
    assert sorted(stored[padding_values(dataset, stored)].tolist()) == list(range(-2000, -1989))


def test_a_window_beside_the_image_is_not_used(dataset_of: DatasetOf) -> None:
    counts = np.zeros(2**16, np.int64)
    counts[1000:2001] = 1
    table = grey_table(header(dataset_of, WindowCenter=40000, WindowWidth=100), counts)
    assert table.warnings == (MISSED_WINDOW_WARNING,)
    assert table.grey[1500] == pytest.approx(0.5)


def test_an_impossible_slope_is_ignored_and_said(dataset_of: DatasetOf) -> None:
    table = grey_table(header(dataset_of, RescaleSlope=0, RescaleIntercept=5), all_once())
    assert table.warnings == (RESCALE_WARNING,)
    assert table.grey[0] == 0
    assert table.grey[-1] == 1


def test_the_full_range_ignores_single_hot_pixels() -> None:
    values, counts = np.arange(1000, dtype=np.float64), np.zeros(1000, np.int64)
    counts[100:201] = 1000
    counts[999] = 3
    assert full_range(values, counts)[[100, 150, 200]].tolist() == [0, 0.5, 1]


def test_the_full_range_of_one_value_is_black() -> None:
    assert not full_range(np.arange(4.0), np.array([0, 9, 0, 0])).any()
    assert not full_range(np.arange(4.0), np.zeros(4, np.int64)).any()
