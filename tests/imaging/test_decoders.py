import pytest
import typer
from pydicom import uid

from cxrscreen.cli.doctor import doctor
from cxrscreen.imaging import decoders
from cxrscreen.imaging.decoders import Decodable, decodable


def test_everything_promised_decodes_here() -> None:
    rows = decodable()
    assert [row.name for row in rows if row.required and row.check != "decodes"] == []
    assert {row.uid for row in rows} >= {
        str(syntax)
        for syntax in (
            uid.ExplicitVRLittleEndian,
            uid.RLELossless,
            uid.JPEGBaseline8Bit,
            uid.JPEGLossless,
            uid.JPEGLosslessSV1,
            uid.JPEGLSLossless,
            uid.JPEG2000Lossless,
        )
    }


def test_jpeg_extended_is_promised_for_8_bits_only() -> None:
    row = next(row for row in decodable() if row.uid == uid.JPEGExtended12Bit)
    assert row.name.endswith("8 bit only")


def test_a_missing_decoder_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoders, "available_plugins", lambda syntax: ())
    row = next(row for row in decodable() if row.uid == uid.RLELossless)
    assert row == Decodable("RLE Lossless", str(uid.RLELossless), (), "missing", required=True)
    assert not row.works


def test_a_decoder_that_gives_wrong_pixels_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    real = decoders.decode_frame
    monkeypatch.setattr(decoders, "decode_frame", lambda *arguments: real(*arguments) + 1)
    assert next(row for row in decodable() if row.uid == uid.JPEGLSLossless).check == "fails"


def test_doctor_lists_and_passes(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    doctor()
    shown = capsys.readouterr().out
    assert "1.2.840.10008.1.2.4.70" in shown
    assert "OpenVINO" in shown


def test_doctor_fails_where_a_promise_is_broken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = [Decodable("RLE Lossless", str(uid.RLELossless), (), "missing", required=True)]
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(decoders, "decodable", lambda: broken)
    with pytest.raises(typer.Exit) as caught:
        doctor()
    assert caught.value.exit_code == 1
    assert "Cannot be read here: RLE Lossless" in capsys.readouterr().out
