"""JSRT's raw radiographs and SCR's masks of them -> pictures, rows and boxes."""

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cxrscreen.data.masks import HEART
from cxrscreen.data.public_sources.gathering import MISSING_FILE, Gathering, SourceError
from cxrscreen.data.public_sources.lung_halves import at_size, joined, read_binary
from cxrscreen.data.public_sources.patients import age_columns, sex_of
from cxrscreen.data.public_sources.source import Source
from cxrscreen.data.public_sources.tables import files_by_stem, text_of

SIDE, DEPTH, SPACING_MM = 2048, 12, 0.175
"""Rows and columns, bits, and millimetres of a pixel."""

_LUNGS = ("left lung", "right lung")
_HEART = "heart"
# Subtlety, diameter in mm, age, sex, column and row of the centre, what it was.
_NODULE = re.compile(
    r"(\d)\s+(\d+(?:\.\d+)?)\s+\S+\s+(?:male|female)\s+(\d+)\s+(\d+)\s+(.*)", re.IGNORECASE | re.DOTALL
)
_PERSON = re.compile(r"(\d+|\?)\s+(male|female)", re.IGNORECASE)


def read_raw(content: bytes) -> NDArray[np.uint16]:
    """Pixels of an .IMG file: 2048 x 2048 big-endian 16-bit integers of 12 bits, in which air is bright; turned over.

    Returns
    -------
    ndarray
        uint16 (2048, 2048), range 0 to 4095, bright = dense.

    Raises
    ------
    SourceError
        If the length is another, or a value has more than 12 bits.
    """
    if len(content) != 2 * SIDE * SIDE:
        raise SourceError(
            f"A JSRT image has {2 * SIDE * SIDE} bytes, this one {len(content)}: unpack the archive again."
        )
    pixels = np.frombuffer(content, ">u2").reshape(SIDE, SIDE)
    if int(pixels.max()) >= 2**DEPTH:
        raise SourceError("A JSRT image has 12 bits, this one more: unpack the archive again.")
    return np.asarray(2**DEPTH - 1 - pixels, np.uint16)


def records_of(text: str) -> dict[str, str]:
    """Records of a clinical table by image name, in whatever way its lines are broken."""
    parts = re.split(r"(JPC[LN]N\d{3})\.IMG", text)
    return {name: " ".join(rest.split()) for name, rest in zip(parts[1::2], parts[2::2], strict=True)}


def read(folder: Path, into: Gathering) -> None:
    """Convert each .IMG file to a 16-bit PNG below the manifest's folder, with SCR's lungs and heart as its mask."""
    if not folder.is_dir():
        raise SourceError(f"There is no folder {str(folder)!r}: give the one into which the data set was unpacked.")
    raws = {file.stem.upper(): file for file in sorted(folder.rglob("JPC*")) if file.suffix.upper() == ".IMG"}
    if not raws:
        raise SourceError(f"The folder {folder.name!r} does not hold JPCLN001.IMG: unpack All247images.zip into it.")
    tables = files_by_stem(folder, (".txt",))
    records: dict[str, str] = {}
    for name in ("CLNDAT_EN", "CNNDAT_EN"):
        if name in tables:
            records |= records_of(text_of(tables[name]))
        else:
            into.say(f"{name}.txt is not there: ages, sexes and nodules of its images are unknown.")
    masks = {organ: _masks(folder, organ) for organ in (*_LUNGS, _HEART)}
    if not all(masks.values()):
        into.say("No SCR masks (fold1/masks/left lung/JPCLN001.gif and so on): unpack SCR's scratch.zip beside them.")
    for name, raw in raws.items():
        _add(name, raw, records.get(name, ""), {organ: files.get(name) for organ, files in masks.items()}, into)
    into.leave_out(MISSING_FILE, len(records.keys() - raws.keys()))


def _add(name: str, raw: Path, record: str, masks: dict[str, Path | None], into: Gathering) -> None:
    try:
        pixels = read_raw(raw.read_bytes())
    except (OSError, SourceError):
        into.leave_out("its .IMG file is not 2048 x 2048 pixels of 12 bits")
        return
    person = _PERSON.search(record)
    nodule = _NODULE.match(record) if name.startswith("JPCLN") else None
    image_id = into.add(
        name,
        into.write_image(name, pixels),
        "nodule" if name.startswith("JPCLN") else "normal",
        patient=name,
        finding=f"nodule: {nodule[5]}" if nodule else "nodule" if name.startswith("JPCLN") else "no nodule",
        view="PA",
        sex=sex_of(person[2]) if person else "",
        **age_columns(person[1] if person else ""),
        width=str(SIDE),
        height=str(SIDE),
        notes=f"{SPACING_MM} mm a pixel; converted from the raw file, 12 bits, dense bright",
    )
    mask = _mask(masks, pixels.shape[0])
    into.lung_mask(image_id, None if mask is None else (mask, True), "human")
    if image_id is not None and nodule:
        size = float(nodule[2]) / SPACING_MM
        x, y = (max(float(nodule[at]) - size / 2, 0.0) for at in (3, 4))
        into.box(image_id, "Nodule", x, y, size, size)


def _mask(masks: dict[str, Path | None], side: int) -> NDArray[np.uint8] | None:
    """1 right lung, 2 left lung, 3 heart where no lung is."""
    lungs = [read_binary(file) for organ in _LUNGS if (file := masks[organ]) is not None]
    if len(lungs) != 2 or lungs[0] is None or lungs[1] is None:
        return None
    mask = joined(at_size(lungs[0], (side, side)), at_size(lungs[1], (side, side)))
    file = masks[_HEART]
    heart = read_binary(file) if file is not None else None
    if heart is not None:
        mask[at_size(heart, (side, side)) & (mask == 0)] = HEART
    return mask


def _masks(folder: Path, organ: str) -> dict[str, Path]:
    return {file.stem.upper(): file for file in sorted(folder.rglob(f"masks/{organ}/*.gif"))}


JSRT = Source(
    name="jsrt",
    title="JSRT digital image database, with SCR's masks",
    home="http://db.jsrt.or.jp/eng.php",
    terms="free for research, on registration with JSRT, and with SCR for the masks; both ask to be cited",
    citation="J. Shiraishi et al. Development of a Digital Image Database for Chest Radiographs With and Without a "
    "Lung Nodule. AJR 174:71-74, 2000; masks: B. van Ginneken, M. B. Stegmann, M. Loog. Medical Image Analysis "
    "10(1):19-40, 2006.",
    size="247 images (154 with a nodule, 93 without), 8 MiB each, 2 GiB",
    fetch=(
        "Register at the home page; download the images (All247images.zip) and the clinical information.",
        "Register with the SCR database (Image Sciences Institute, Utrecht) for scratch.zip with the masks.",
        "Unpack all of them into one folder: unzip '*.zip' -d jsrt",
    ),
    layout=(
        "JPCLN001.IMG to JPCLN154.IMG, JPCNN001.IMG to JPCNN093.IMG, in any folder below",
        "CLNDAT_EN.txt, CNNDAT_EN.TXT",
        "fold1/masks/left lung/JPCLN001.gif, right lung, heart; fold2 likewise",
    ),
    labels=(
        "JPCLN -> nodule; JPCNN -> normal, which here means without a nodule",
        "Nodules go to boxes.csv beside the manifest: a square of the stated diameter around the stated centre.",
    ),
    faults=(
        "Raw files without a header, air bright: they are converted to 16-bit PNG with air dark.",
        "Films digitised by a laser scanner around 1990: no detector of today makes such images.",
        "A nodule is told by its centre and diameter: the square around it need not be tight.",
        "One image a patient, as far as it is told.",
    ),
    read=read,
)
