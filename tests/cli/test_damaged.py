"""A folder of damaged files through the real command: every one is named with a reason, and nothing breaks."""

import json
import struct
import zlib

import numpy as np
from PIL import Image
from typer.testing import CliRunner

from cxrscreen.cli.app import app
from cxrscreen.data.phantoms import make_phantom, write_dicom, write_png


def png_bomb(width, height):
    """A few bytes that claim to be a very large picture."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"0" * 100)) + chunk(b"IEND", b"")
    )


def damaged_files(folder):
    """200 files: truncated, empty, text in disguise, bombs."""
    phantom = make_phantom(0, "normal", shape=(160, 160))
    write_png(phantom, folder / "good.png")
    write_dicom(phantom, folder / "good.dcm", transfer_syntax="ExplicitVRLittleEndian", photometric="MONOCHROME2")
    write_dicom(phantom, folder / "ls.dcm", transfer_syntax="JPEGLSLossless", photometric="MONOCHROME1")
    picture = Image.fromarray((phantom.pixels * 255).astype(np.uint8))
    for kind in ("jpg", "webp", "tif"):
        picture.save(folder / f"good.{kind}")
    good = [folder / name for name in ("good.png", "good.dcm", "ls.dcm", "good.jpg", "good.webp", "good.tif")]
    contents = {path.name: path.read_bytes() for path in good}
    for path in good:
        path.unlink()
    rng = np.random.default_rng(0)
    for number in range(120):
        name, content = list(contents.items())[number % len(contents)]
        cut = int(len(content) * rng.uniform(0.0, 0.6))
        (folder / f"truncated-{number:03}-{name}").write_bytes(content[:cut])
    for number in range(30):
        (folder / f"empty-{number:02}.{('png', 'dcm', 'jpg')[number % 3]}").write_bytes(b"")
    for number in range(30):
        (folder / f"text-{number:02}.png").write_text(f"patient list, page {number}\n" * 40)
    for number in range(20):
        (folder / f"bomb-{number:02}.png").write_bytes(png_bomb(60_000 + number, 60_000))


def test_200_damaged_files_give_200_reasons(tmp_path):
    folder, out = tmp_path / "damaged", tmp_path / "out"
    folder.mkdir()
    damaged_files(folder)
    result = CliRunner().invoke(app, ["screen", str(folder), "--out", str(out)])
    assert result.exit_code == 1
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.output
    rows = [json.loads(line) for line in (out / "screenings.jsonl").read_text().splitlines()]
    assert len(rows) == 200
    assert {row["status"] for row in rows} == {"failed"}
    for row in rows:
        assert row["error"].endswith(".")
        assert "\n" not in row["error"]
    assert (out / "report.html").is_file()
