"""What a bundle was learned from: that part of its card, and whether it was this recipe and these images."""

import gzip
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ValidationError

from cxrscreen.data.manifest import Manifest
from cxrscreen.data.protocols import Split
from cxrscreen.systems.bundle import CARD, Bundle, Card, DataCard, open_bundle

LEARNED = "split-learned.json.gz"
"""A bundle's own split: what taught it, and what chose its epoch."""


def already_made(out: Path, recipe: BaseModel, manifest: Manifest) -> Bundle | None:
    """The bundle in a folder, if this recipe has made it of images with these labels, sources and groups; else None.

    Raises
    ------
    BundleError
        If the folder holds a bundle that cannot be opened.
    """
    if not (out / CARD).is_file():
        return None
    made = open_bundle(out)
    try:
        # Read as a recipe: a setting younger than the card has its default there.
        same = type(recipe).model_validate(made.card.recipe) == recipe
    except ValidationError:
        return None
    return made if same and made.card.data.images_sha256 == images_digest(manifest) else None


def data_card(
    manifest: Manifest, splits: Mapping[str, Split], seed: int, sources: Mapping[str, Sequence[str]] | None = None
) -> DataCard:
    """Say what was learned from.

    Parameters
    ----------
    manifest
        The images.
    splits
        By name; all training parts count as learned from.
    seed
        Of the splits.
    sources
        By name of a split the sources to which it was restricted; None: none was.
    """
    table = manifest.table
    trained = sorted({i for split in splits.values() for i in split.train})
    counts: dict[str, dict[str, int]] = {}
    for (source, label), rows in table.loc[trained].groupby(["source", "label"]):
        counts.setdefault(str(source), {})[str(label)] = len(rows)
    return DataCard(
        images_sha256=images_digest(manifest),
        splits={name: split.digest for name, split in splits.items()},
        seed=seed,
        images=counts,
        licences=sorted({text for text in table.loc[trained, "license"] if text}),
        sources={name: list(names) for name, names in (sources or {}).items()},
    )


def data_gaps(manifest: Manifest, splits: Iterable[Split]) -> list[str]:
    """Say what is not known of the images that taught a bundle or chose its epoch: patients and ages, for the card."""
    used = sorted({i for split in splits for part in ("train", "validation") for i in split.part(part)})
    rows = manifest.table.loc[used]
    nameless, ageless, children = (
        int(wrong.sum())
        for wrong in (rows["patient_id"] == "", ~rows["pediatric"].isin(("true", "false")), rows["pediatric"] == "true")
    )
    said = []
    if nameless:
        said.append(
            f"{nameless} of the {len(used)} images that taught it or chose its epoch have no patient number: each "
            "counts as a patient of its own, so that a patient may be in two parts."
        )
    if ageless or children:
        said.append(
            f"Of these {len(used)} images {children} are known to be of children, and of {ageless} no age is known."
        )
    return said


def own_sources(card: Card, protocol: str, manifest: Manifest) -> tuple[str, ...]:
    """Sources to which a bundle's own split was restricted, if the manifest is that of its images; else none is.

    Images of another hospital are asked about whatever their source is called.
    """
    if images_digest(manifest) != card.data.images_sha256:
        return ()
    return tuple(card.data.sources.get(protocol, ()))


def facts_stamp(manifest: Manifest, image_ids: Iterable[str]) -> str:
    """What a manifest says of images, which the digest of a split does not tell: labels, sources and groups."""
    return images_digest(Manifest(manifest.table.loc[sorted(set(image_ids))], manifest.root))


def images_digest(manifest: Manifest) -> str:
    """Fingerprint of a manifest's ids, labels, sources and groups; SHA-256, hexadecimal."""
    facts = manifest.table[["image_id", "label", "source", "group"]].reset_index(drop=True).sort_values("image_id")
    return hashlib.sha256(facts.to_csv(index=False).encode()).hexdigest()


def taught_by(split: Path, manifest: Manifest, part: str) -> frozenset[str] | None:
    """Find the images of a manifest that a bundle must not be measured on.

    Parameters
    ----------
    split
        The bundle's :data:`LEARNED`.
    manifest
        The images.
    part
        ``test``: neither what taught it nor what chose its epoch may be measured; ``validation``: the latter may.

    Returns
    -------
    frozenset
        Ids of these images and of all others of their patients; None where the bundle does not say.
    """
    if not split.is_file():
        return None
    parts = json.loads(gzip.decompress(split.read_bytes()))
    names = ("train",) if part == "validation" else ("train", "validation")
    table = manifest.table
    groups = table.loc[table.index.isin([i for name in names for i in parts[name]]), "group"]
    return frozenset(str(i) for i in table.index[table["group"].isin(groups)])
