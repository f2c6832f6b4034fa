"""Bundles: a folder that is a model, with the card that says what it is and how it was measured."""

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from cxrscreen.errors import BundleError, RecipeError

CARD = "card.yaml"
FORMAT: Literal[1] = 1


class CardPart(BaseModel):
    """Base of the card's parts: unknown keys are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class OperatingPoint(CardPart):
    """A threshold, with where it comes from; it belongs to this bundle's version and to no other.

    Attributes
    ----------
    threshold
        In [0, 1].
    rule
        How it was chosen, in words.
    site
        The images on which it was chosen.
    sensitivity, specificity
        What it reached on those images, weighted as they were for the choice; None in cards of older versions. Other
        images show less.
    """

    threshold: float = Field(ge=0, le=1)
    rule: str
    site: str
    sensitivity: float | None = Field(default=None, ge=0, le=1)
    specificity: float | None = Field(default=None, ge=0, le=1)


class Calibration(CardPart):
    """How a stage's temperature was found.

    Attributes
    ----------
    method
        In words.
    site
        The images of the fit.
    loss_before, loss_after
        Mean negative log-likelihood in nats on those images, without and with the temperature.
    """

    method: str
    site: str
    loss_before: float
    loss_after: float


class StageCard(CardPart):
    """One decision: its operating points by name, and the one in use.

    Attributes
    ----------
    operating_points
        By name; their thresholds are of calibrated probabilities.
    default
        Name of the one in use.
    temperature
        Logits are divided by it before the sigmoid, so that probabilities are calibrated on the validation images.
    calibration
        Where the temperature comes from; None where it was not fitted.
    """

    operating_points: dict[str, OperatingPoint]
    default: str
    temperature: float = Field(default=1.0, gt=0)
    calibration: Calibration | None = None

    @model_validator(mode="after")
    def _has_its_default(self) -> Self:
        if self.default not in self.operating_points:
            raise ValueError(f"the default {self.default!r} is no operating point")
        return self

    def point(self) -> OperatingPoint:
        """The operating point in use."""
        return self.operating_points[self.default]


class DataCard(CardPart):
    """What the networks were trained on.

    Attributes
    ----------
    images_sha256
        Fingerprint of the manifest's ids, labels, sources and groups.
    splits
        Digest of each protocol's split.
    seed
        Seed of the splits.
    images
        Training images by source and label.
    licences
        What the sources state.
    sources
        By protocol the sources to which its split was restricted; a protocol that is not named took all.
    """

    images_sha256: str
    splits: dict[str, str]
    seed: int
    images: dict[str, dict[str, int]]
    licences: list[str]
    sources: dict[str, list[str]] = Field(default_factory=dict)


class Card(CardPart):
    """The model card, as stored in ``card.yaml``.

    Attributes
    ----------
    format
        Version of this schema.
    name, version, system, created
        Identity; ``system`` is the folder under ``cxrscreen.systems`` that runs it.
    summary, intended_use, not_for, limits, licence
        In plain words.
    preprocessing
        Settings of the system's preprocessing; training and screening read the same ones.
    stages
        By probability name.
    data
        What it was trained on.
    recipe
        The recipe that trained it.
    results
        Measured figures with intervals, each with the command that gives it.
    files
        SHA-256 of every other file in the folder.
    """

    format: Literal[1] = FORMAT
    name: str
    version: str
    system: str
    created: str
    summary: str
    intended_use: str
    not_for: list[str]
    limits: list[str]
    licence: str
    preprocessing: dict[str, Any]
    stages: dict[str, StageCard]
    data: DataCard
    recipe: dict[str, Any]
    results: dict[str, Any] = Field(default_factory=dict)
    files: dict[str, str]

    @property
    def bundle_id(self) -> str:
        """``name@version``."""
        return f"{self.name}@{self.version}"


@dataclass(frozen=True)
class Bundle:
    """A bundle's folder and card."""

    folder: Path
    card: Card

    def file(self, name: str) -> Path:
        """Path of one of the bundle's files."""
        return self.folder / name


def open_bundle(name: str | Path) -> Bundle:
    """Find a bundle and check it.

    Parameters
    ----------
    name
        A folder, or the name of a bundle that ships with the package (``"cascade"``).

    Raises
    ------
    BundleError
        If it is not there, its card is malformed or of another version, or a file is missing or altered.
    """
    folder = _folder_of(name)
    card_file = folder / CARD
    if not card_file.is_file():
        raise BundleError(f"{folder.name} is no bundle: it has no {CARD}; give the folder that training wrote.")
    try:
        content = yaml.safe_load(card_file.read_text(encoding="utf-8"))
    # PyYAML lets an impossible date through as a plain ValueError.
    except (yaml.YAMLError, ValueError) as error:
        raise BundleError(f"The card of the bundle {folder.name} is not valid YAML: restore {CARD}.") from error
    try:
        card = Card.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BundleError(f"The card of the bundle {folder.name} is wrong at {where}: {first['msg']}.") from error
    for file, digest in card.files.items():
        path = folder / file
        if not path.is_file():
            raise BundleError(f"The bundle {folder.name} lacks {file}: restore it or train the bundle again.")
        if sha256_of(path) != digest:
            raise BundleError(f"The file {file} of the bundle {folder.name} was altered: restore it or train again.")
    return Bundle(folder, card)


def write_card(folder: Path, card: Card) -> Bundle:
    """Write a card into its folder and open the bundle, so that what was written is known to be readable."""
    text = yaml.safe_dump(card.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=110)
    (folder / CARD).write_text(text, encoding="utf-8")
    return open_bundle(folder)


PROVISIONAL = StageCard(
    operating_points={"half": OperatingPoint(threshold=0.5, rule="not chosen yet", site="none")}, default="half"
)
"""A decision before its operating points are chosen."""


def begin_bundle(out: Path) -> Path:
    """Make the folder in which a bundle is put together, beside ``out``; see :func:`finish_bundle`.

    Raises
    ------
    RecipeError
        If ``out`` is not a new or empty folder.
    """
    check_out(out)
    part = out.with_name(f"part-{out.name}")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    return part


def finish_bundle(part: Path, card: Card, out: Path) -> Bundle:
    """Write the card with the hashes of all files in ``part``, and make it the bundle at ``out``."""
    write_card(part, card.model_copy(update={"files": {file.name: sha256_of(file) for file in sorted(part.iterdir())}}))
    if out.is_dir():
        out.rmdir()
    return open_bundle(part.rename(out))


P = TypeVar("P")


def preprocessing_of(bundle: Bundle, kind: Callable[..., P]) -> P:
    """The preprocessing in a bundle's card, as the system's own type.

    Raises
    ------
    BundleError
        If the settings are not those of ``kind``.
    """
    try:
        return kind(**bundle.card.preprocessing)
    except (TypeError, ValueError) as error:
        raise BundleError(
            f"The card of {bundle.card.bundle_id} has a preprocessing that this version does not know: use the version "
            "of cxrscreen that trained it, or train it again."
        ) from error


def check_out(out: Path) -> None:
    """Raise a :class:`RecipeError` where a bundle cannot be written to ``out``; worth asking before training."""
    if out.name in {"", ".."}:
        raise RecipeError(f"A finished folder cannot take the place of {str(out)!r}: give the name of a new one.")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RecipeError(f"{out.name} is not an empty folder: give a new folder for the bundle.")


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def shipped_bundles() -> dict[str, Path]:
    """Folders of the bundles that ship with the package, by name."""
    return {
        folder.name: folder
        for root in reversed(_SHELVES)
        for folder in sorted(root.glob("*"))
        if (folder / CARD).is_file()
    }


_PACKAGE = Path(str(resources.files("cxrscreen")))
# In a source checkout the shipped bundles stand beside src.
_SHELVES = (_PACKAGE / "models", _PACKAGE.parents[1] / "models")


def _folder_of(name: str | Path) -> Path:
    given = Path(name)
    bare = given.name == str(name)
    # A bare name means a shipped bundle, also beside a folder of that name which is no bundle.
    if given.is_dir() and (not bare or (given / CARD).is_file()):
        return given
    if bare:
        for folder in (shelf / given.name for shelf in _SHELVES):
            if folder.is_dir():
                return folder
    shipped = ", ".join(shipped_bundles())
    raise BundleError(f"There is no bundle {str(name)!r}: give its folder, or the name of one that ships ({shipped}).")
