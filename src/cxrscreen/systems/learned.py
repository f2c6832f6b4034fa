"""The part of a card that says what was learned from, made of the manifest and the splits."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence

from cxrscreen.data.manifest import Manifest
from cxrscreen.data.protocols import Split
from cxrscreen.systems.bundle import DataCard


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


def facts_stamp(manifest: Manifest, image_ids: Iterable[str]) -> str:
    """What a manifest says of images, which the digest of a split does not tell: labels, sources and groups."""
    return images_digest(Manifest(manifest.table.loc[sorted(set(image_ids))], manifest.root))


def images_digest(manifest: Manifest) -> str:
    """Fingerprint of a manifest's ids, labels, sources and groups; SHA-256, hexadecimal."""
    facts = manifest.table[["image_id", "label", "source", "group"]].reset_index(drop=True).sort_values("image_id")
    return hashlib.sha256(facts.to_csv(index=False).encode()).hexdigest()
