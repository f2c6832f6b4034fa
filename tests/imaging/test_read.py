import errno
import io
import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom import uid
from pydicom.dataset import Dataset

from cxrscreen.errors import OutOfMemoryError, UnreachableImageError, UnreadableImageError
from cxrscreen.imaging.limits import ReadLimits
from cxrscreen.imaging.radiograph import Radiograph
from cxrscreen.imaging.read import INVERTED_WARNING, UNSURE_WARNING, read

SHARED_TMP = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=80, derandomize=True
)


def picture(pixels: np.ndarray, kind: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.round(pixels * 255).astype(np.uint8)).save(stream, format=kind)
    return stream.getvalue()


def compressed(dataset: Dataset, syntax: uid.UID | None) -> bytes:
    if syntax is not None:
        dataset.compress(syntax)
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def read_or_refuse(path: Path) -> Radiograph | None:
    """Read; any exception but a refusal fails the test, and so does a refusal of more than a sentence."""
    reason = None
    try:
        radiograph = read(path)
    except UnreadableImageError as error:
        reason = str(error)
    if reason is not None:
        assert reason.endswith(".")
        assert "\n" not in reason
        return None
    assert radiograph.pixels.dtype == np.float32
    assert 0.0 <= radiograph.pixels.min() <= radiograph.pixels.max() <= 1.0
    return radiograph


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_the_content_decides_not_the_name(tmp_path: Path, chest: np.ndarray, kind: str) -> None:
    (tmp_path / "x.dcm").write_bytes(picture(chest, kind))
    radiograph = read(tmp_path / "x.dcm")
    assert np.abs(radiograph.pixels - chest).mean() < 0.02
    assert radiograph.provenance.path == tmp_path / "x.dcm"
    assert not radiograph.pixels.flags.writeable


def test_an_inverted_picture_is_put_right_and_said(tmp_path: Path, chest: np.ndarray) -> None:
    (tmp_path / "x.png").write_bytes(picture(1 - chest, "PNG"))
    radiograph = read(str(tmp_path / "x.png"))
    assert radiograph.provenance.polarity_corrected
    assert radiograph.warnings == (INVERTED_WARNING,)
    assert np.allclose(radiograph.pixels, chest, atol=0.003)


def test_transparent_corners_of_an_inverted_picture_stay_air(tmp_path: Path, chest: np.ndarray) -> None:
    image = Image.fromarray(np.round((1 - chest) * 255).astype(np.uint8)).convert("LA")
    alpha = np.full(chest.shape, 255, np.uint8)
    alpha[:30, :30] = 0
    image.putalpha(Image.fromarray(alpha))
    image.save(tmp_path / "x.png")
    radiograph = read(tmp_path / "x.png")
    assert radiograph.provenance.polarity_corrected
    assert not radiograph.pixels[:30, :30].any()


def test_an_unsure_polarity_is_left_alone_and_said(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).random((100, 100))
    (tmp_path / "x.png").write_bytes(picture(noise, "PNG"))
    radiograph = read(tmp_path / "x.png")
    assert radiograph.warnings == (UNSURE_WARNING,)
    assert np.allclose(radiograph.pixels, noise, atol=0.003)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"dear colleague, the image follows", "looks like text"),
        (b"\x89PNG\r\n\x1a\n", "damaged"),
        (b"GIF89a" + bytes(50), "a GIF picture"),
        (b"%PDF-1.7" + bytes(50), "a PDF document"),
        (bytes(128) + b"DICM", "c"),
        (bytes(500), "no known kind"),
    ],
)
def test_other_content_gets_a_reason(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(content)
    with pytest.raises(UnreadableImageError, match=reason):
        read(path)


def test_places_that_are_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, reason in (
        (tmp_path / "missing.png", "does not exist"),
        (tmp_path, "is a folder"),
        (tmp_path / "pipe", "not a regular file"),
        (Path("a\0b"), "cannot be opened"),
    ):
        with pytest.raises(UnreadableImageError, match=reason):
            read(path)


def test_a_disk_or_a_memory_that_fails_is_not_the_image_s_fault(
    tmp_path: Path, chest: np.ndarray, dataset_of: Callable[..., Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(picture(chest, "PNG"))
    (tmp_path / "x.dcm").write_bytes(compressed(dataset_of(np.ones((80, 80), np.uint16)), uid.RLELossless))

    def failing(error: Exception) -> Callable[..., None]:
        def fail(*_given: object, **_named: object) -> None:
            raise error

        return fail

    with pytest.raises(UnreachableImageError, match="does not exist"):
        read(tmp_path / "missing.png")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", failing(OSError(errno.EIO, "Input/output error")))
        with pytest.raises(UnreachableImageError, match=r"Input/output error.*; check the name and your rights\.$"):
            read(path)
    for place, name in (("PIL.Image.open", "x.png"), ("cxrscreen.imaging.transfer.get_decoder", "x.dcm")):
        with monkeypatch.context() as patch:
            patch.setattr(place, failing(MemoryError()))
            with pytest.raises(OutOfMemoryError, match=r"does not fit into the memory that is left; .*\.$"):
                read(tmp_path / name)
    (tmp_path / "damaged.png").write_bytes(picture(chest, "PNG")[:100])
    with pytest.raises(UnreadableImageError) as damaged:
        read(tmp_path / "damaged.png")
    assert not isinstance(damaged.value, UnreachableImageError | OutOfMemoryError)


def test_limits(tmp_path: Path, chest: np.ndarray) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(picture(chest, "PNG"))
    for limits, reason in (
        (ReadLimits(max_bytes=100), "far too large"),
        (ReadLimits(max_pixels=1000), "far too large"),
        (ReadLimits(min_side=300), "too small"),
    ):
        with pytest.raises(UnreadableImageError, match=reason):
            read(path, limits=limits)


def test_nothing_is_printed_or_warned_about_a_patient(dataset_of: Callable[..., Dataset], tmp_path: Path) -> None:
    dataset = dataset_of(np.arange(6400, dtype=np.uint16).reshape(80, 80))
    content = compressed(dataset, None).replace(b"Secret^Person", b"Secret\xff\xfe\xffPers")
    (tmp_path / "x.dcm").write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read(tmp_path / "x.dcm")


@SHARED_TMP
@given(
    start=st.sampled_from(
        [b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\x00", b"RIFF\x99\x00\x00\x00WEBP", bytes(128) + b"DICM"]
    ),
    rest=st.binary(max_size=400),
)
def test_random_bytes_are_refused_or_read_but_never_crash(tmp_path: Path, start: bytes, rest: bytes) -> None:
    (tmp_path / "x").write_bytes(start + rest)
    read_or_refuse(tmp_path / "x")


@SHARED_TMP
@given(
    kind=st.sampled_from(
        ["PNG", "JPEG", "WEBP", "TIFF", None, uid.RLELossless, uid.JPEGLSLossless, uid.JPEG2000Lossless]
    ),
    edits=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=6),
    keep=st.one_of(st.just(1.0), st.floats(0, 1)),
)
def test_mutated_files_are_refused_or_read_but_never_crash(
    dataset_of: Callable[..., Dataset],
    tmp_path: Path,
    kind: str | None,
    edits: list[tuple[float, int]],
    keep: float,
) -> None:
    steps = np.linspace(0, 1, 70 * 66).reshape(70, 66)
    if kind in ("PNG", "JPEG", "WEBP", "TIFF"):
        content = bytearray(picture(steps, str(kind)))
    else:
        content = bytearray(compressed(dataset_of((steps * 4095).astype(np.uint16), BitsStored=12), kind))
    for place, value in edits:
        content[int(place * len(content))] = value
    (tmp_path / "x").write_bytes(content[: int(keep * len(content))])
    read_or_refuse(tmp_path / "x")


def test_a_full_size_dicom_is_read_quickly(dataset_of: Callable[..., Dataset], tmp_path: Path) -> None:
    pixels = (np.arange(2500 * 2048) % 4093).astype(np.uint16).reshape(2500, 2048)
    dataset_of(pixels, BitsStored=12).save_as(tmp_path / "x", enforce_file_format=True)
    read(tmp_path / "x")
    spent = []
    for _ in range(3):
        start = time.process_time()
        read(tmp_path / "x")
        spent.append(time.process_time() - start)
    # About 30 ms where measured; processor time, so that a busy machine does not fail it.
    assert min(spent) < 0.15
