"""The record of an export: from which bundle it was made, its files, and how far its networks lie from the bundle's."""

from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from cxrscreen import RESEARCH_USE, __version__
from cxrscreen.errors import BundleError
from cxrscreen.systems.bundle import Bundle, sha256_of
from cxrscreen.systems.interchange.description import digest_of
from cxrscreen.systems.interchange.phantom import TOLERANCE, Difference

FILE = "export.json"
Format = Literal["onnx", "monai", "triton"]


class Compared(BaseModel):
    """The difference of one output between the export and the bundle's own engine, on a phantom.

    Attributes
    ----------
    largest
        Largest absolute difference.
    scale
        Largest absolute value, at least 1; the difference is allowed to be ``tolerance`` times this.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    largest: float
    scale: float


class Record(BaseModel):
    """What ``export.json`` holds.

    Attributes
    ----------
    format
        Of the export.
    research_use
        The statement.
    bundle, bundle_sha256
        ``name@version``, and the digest of the card.
    cxrscreen
        Version that exported it.
    tolerance
        Share of an output's scale that two engines may differ by.
    compared
        Differences by network and output.
    files
        SHA-256 of every other file, by its path in the folder.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Format
    research_use: str = RESEARCH_USE
    bundle: str
    bundle_sha256: str
    cxrscreen: str = __version__
    tolerance: float = TOLERANCE
    compared: dict[str, dict[str, Compared]]
    files: dict[str, str]

    @field_validator("files")
    @classmethod
    def _inside(cls, files: dict[str, str]) -> dict[str, str]:
        for name in files:
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts:
                raise ValueError("a file lies outside the folder")
        return files


def write_record(folder: Path, kind: Format, bundle: Bundle, compared: dict[str, dict[str, Difference]]) -> Record:
    """Write the record of a finished export into its folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    record = Record(
        format=kind,
        bundle=bundle.card.bundle_id,
        bundle_sha256=digest_of(bundle),
        compared={
            name: {output: Compared(largest=each.largest, scale=each.scale) for output, each in outputs.items()}
            for name, outputs in compared.items()
        },
        files={path.relative_to(folder).as_posix(): sha256_of(path) for path in files},
    )
    (folder / FILE).write_text(record.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return record


def read_record(folder: Path) -> Record:
    """Read the record of an export, and check that its files are there and unchanged.

    Raises
    ------
    BundleError
        If the folder is no export, its record is malformed, or a file is missing or was altered.
    """
    file = folder / FILE
    if not file.is_file():
        raise BundleError(f"{folder.name} is no export of cxrscreen: it has no {FILE}; give the folder of one.")
    try:
        record = Record.model_validate_json(file.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError) as error:
        raise BundleError(f"The file {FILE} of {folder.name} is malformed: export the bundle again.") from error
    for name, digest in record.files.items():
        path = folder / name
        if not path.is_file():
            raise BundleError(f"The export {folder.name} lacks {name}: restore it or export the bundle again.")
        if sha256_of(path) != digest:
            raise BundleError(f"The file {name} of {folder.name} was altered: restore it or export the bundle again.")
    return record
