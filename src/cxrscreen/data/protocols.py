"""Protocols: named rules that turn a manifest into patient- and duplicate-disjoint splits."""

import gzip
import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from cxrscreen.data.manifest import LABELS, PNEUMONIA_LABELS, Manifest
from cxrscreen.data.masks import HEART_INCLUDED_SOURCES
from cxrscreen.errors import ManifestError

Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = ("train", "validation", "test")

SHARES: Mapping[str, tuple[float, float, float]] = {"covid19": (0.50, 0.25, 0.25)}
"""Train / validation / test shares of images by label (cascade paper, section 3); all other labels 80/10/10."""
DEFAULT_SHARES = (0.80, 0.10, 0.10)

LUNG_SOURCES = ("shenzhen", "montgomery")
"""The sources on which the cascade paper trains and tests stage 1."""
LUNG_VALIDATION_SHARE = 0.10


@dataclass(frozen=True)
class Rule:
    """A reason to leave images out, by name, so that nothing is dropped by accident.

    Parameters
    ----------
    name
        Short name, as it appears in the split file.
    drops
        From the table, a boolean series: True = left out.
    """

    name: str
    drops: Callable[[pd.DataFrame], "pd.Series[bool]"]


LATERAL = Rule("lateral views", lambda t: t["view"] == "L")
FOUND_COPIES = ("armiro/422", "radiography-covid/COVID-3273")
"""Images of the data pack that its own search missed: a copy of a Cohen image, and another image of one patient who has
no number. Found by ``cxrscreen audit --only leakage``; left out after the draw, so that no other image changes part."""
DUPLICATE = Rule("copies of another image", lambda t: (t["duplicate_of"] != "") | t["image_id"].isin(FOUND_COPIES))
PAEDIATRIC = Rule("paediatric images", lambda t: t["pediatric"] == "true")
UNLABELLED = Rule("neither normal nor pneumonia", lambda t: ~t["label"].isin(("normal", *PNEUMONIA_LABELS)))
NOT_PNEUMONIA = Rule("not pneumonia", lambda t: ~t["label"].isin(PNEUMONIA_LABELS))
NO_LUNG_MASK = Rule(
    "no lung mask, or an automatic one", lambda t: (t["lung_mask"] == "") | (t["lung_mask_origin"] == "automatic")
)
HEART_INCLUDED = Rule("lung masks that include the heart", lambda t: t["source"].isin(HEART_INCLUDED_SOURCES))
NOT_JSRT = Rule("not in JSRT", lambda t: t["source"] != "jsrt")
NO_HEART_MASK = Rule("no heart mask", lambda t: t["heart_mask"] == "")
PATCH_CLASSES: Mapping[str, tuple[str, ...]] = {
    "normal": ("normal",),
    "bacterial": ("bacterial",),
    "tuberculosis": ("tuberculosis",),
    "viral": ("viral", "covid19"),
}
"""Labels by class of the patch-voting paper, section III-A: viral pneumonia and COVID-19 are one class."""
IN_NO_PATCH_CLASS = Rule(
    "in none of the four classes",
    lambda t: ~t["label"].isin([label for own in PATCH_CLASSES.values() for label in own]),
)
CXNET_CLASSES: Mapping[str, tuple[str, ...]] = {
    "normal": ("normal",),
    "other_pneumonia": ("bacterial", "viral", "fungal", "pneumonia"),
    "covid19": ("covid19",),
}
"""Labels by class of the COVID-CXNet paper, section 5.3; tuberculosis is no community-acquired pneumonia."""
IN_NO_CXNET_CLASS = Rule(
    "in none of the three classes",
    lambda t: ~t["label"].isin([label for own in CXNET_CLASSES.values() for label in own]),
)
OTHER_PNEUMONIA = Rule("pneumonia other than COVID-19", lambda t: ~t["label"].isin(("normal", "covid19")))
NO_FINDING = Rule("the source gives no finding", lambda t: t["label"] == "unknown")
NOT_LUNG_SOURCE = Rule("not in Shenzhen or Montgomery", lambda t: ~t["source"].isin(LUNG_SOURCES))


@dataclass(frozen=True)
class Protocol:
    """A named way to split.

    Parameters
    ----------
    name
        As given to ``--protocol``.
    rules
        What is left out, in order.
    positive
        Labels with truth 1; all that remains otherwise has truth 0.
    lungs
        True for the segmentation split: the base split's validation and test parts form the test part (20 %), a tenth
        of its training part validates.
    only_test
        True for a set that trains nothing: all its images are the test part.
    classes
        Labels by class where several classes are told apart; the truth is then the place of the class.
    narrower
        What is left out once all parts are drawn, so that no other image changes part.
    """

    name: str
    rules: tuple[Rule, ...]
    positive: tuple[str, ...] = ()
    lungs: bool = False
    only_test: bool = False
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    narrower: tuple[Rule, ...] = ()


_ADULTS = (DUPLICATE, LATERAL, PAEDIATRIC, UNLABELLED)
_PATCH_RULES = (*_ADULTS, IN_NO_PATCH_CLASS)
_COMIT_RULES = (DUPLICATE, LATERAL, PAEDIATRIC, NO_FINDING)


PROTOCOLS: Mapping[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol("lungs", (DUPLICATE, LATERAL, NO_LUNG_MASK, NOT_LUNG_SOURCE), lungs=True),
        Protocol("lungs-any", (DUPLICATE, LATERAL, NO_LUNG_MASK, HEART_INCLUDED), lungs=True),
        Protocol("lungs-jsrt", (DUPLICATE, LATERAL, NO_LUNG_MASK, NOT_JSRT), lungs=True, only_test=True),
        Protocol("stage2", (DUPLICATE, LATERAL, UNLABELLED), positive=PNEUMONIA_LABELS),
        Protocol("stage3", (DUPLICATE, LATERAL, NOT_PNEUMONIA), positive=("covid19",)),
        Protocol("stage2-adults", (DUPLICATE, LATERAL, PAEDIATRIC, UNLABELLED), positive=PNEUMONIA_LABELS),
        Protocol("stage3-adults", (DUPLICATE, LATERAL, PAEDIATRIC, NOT_PNEUMONIA), positive=("covid19",)),
        Protocol(
            "patch-organs",
            (DUPLICATE, LATERAL, NO_LUNG_MASK, HEART_INCLUDED),
            lungs=True,
            narrower=(NO_HEART_MASK,),
        ),
        Protocol("patch-classes", _PATCH_RULES, classes=PATCH_CLASSES),
        Protocol("patch-pneumonia", _PATCH_RULES, positive=PNEUMONIA_LABELS),
        *(
            Protocol(f"patch-{name}", _PATCH_RULES, positive=labels)
            for name, labels in PATCH_CLASSES.items()
            if name != "normal"
        ),
        Protocol("cxnet-classes", (*_ADULTS, IN_NO_CXNET_CLASS), classes=CXNET_CLASSES),
        Protocol("cxnet-binary", (*_ADULTS, OTHER_PNEUMONIA), positive=("covid19",)),
        Protocol("cxnet-pneumonia", (*_ADULTS, IN_NO_CXNET_CLASS), positive=PNEUMONIA_LABELS),
        Protocol("cxnet-covid19", (*_ADULTS, IN_NO_CXNET_CLASS, NOT_PNEUMONIA), positive=("covid19",)),
        Protocol("comit-images", (DUPLICATE, LATERAL)),
        Protocol("comit-unhealthy", _COMIT_RULES, positive=tuple(n for n in LABELS if n not in {"normal", "unknown"})),
        Protocol("comit-covid19", _COMIT_RULES, positive=("covid19",)),
        Protocol("comit-other", _ADULTS, positive=tuple(n for n in PNEUMONIA_LABELS if n != "covid19")),
    )
}
"""Paediatric images stay in unless the protocol's name ends in ``-adults`` or begins with ``patch-``, ``cxnet-`` or
``comit-`` (those papers' are of adults): Kermany holds most bacterial images. ``comit-images`` asks nothing: it parts
all images, children among them, for a network that learns from whatever labels each of them has."""


@dataclass(frozen=True)
class Split:
    """Images by part; no patient or duplicate group is in two parts.

    Parameters
    ----------
    name, seed
        The protocol and its seed.
    train, validation, test
        Image ids, sorted.
    truth
        0 or 1 by image id (always 1 for lungs, which have no classes), or the place of the class among several.
    groups
        Group by image id.
    dropped
        Number of images left out, by rule.
    """

    name: str
    seed: int
    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]
    truth: Mapping[str, int]
    groups: Mapping[str, str]
    dropped: Mapping[str, int]

    def __post_init__(self) -> None:
        owner: dict[str, Part] = {}
        for part in PARTS:
            for image_id in self.part(part):
                group = self.groups[image_id]
                if owner.setdefault(group, part) != part:
                    raise ManifestError(f"The split {self.name} has the group of {image_id} in two parts.")

    def part(self, name: Part) -> tuple[str, ...]:
        """Image ids of one part."""
        ids: tuple[str, ...] = getattr(self, name)
        return ids

    @property
    def digest(self) -> str:
        """SHA-256 over the parts: the same images in the same parts give the same digest."""
        text = json.dumps({part: self.part(part) for part in PARTS}, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def save(self, path: Path) -> None:
        """Write the split with its digest as JSON, compressed where the name ends in ``.gz``."""
        content: dict[str, object] = {
            "protocol": self.name,
            "seed": self.seed,
            "digest": self.digest,
            "dropped": dict(self.dropped),
            **{part: list(self.part(part)) for part in PARTS},
        }
        text = json.dumps(content, indent=1) + "\n"
        # A compressed file without a time stamp: the same split gives the same bytes.
        path.write_bytes(gzip.compress(text.encode(), mtime=0) if path.suffix == ".gz" else text.encode())


def make_split(name: str, manifest: Manifest, seed: int = 0, sources: Sequence[str] = ()) -> Split:
    """Split a manifest by a named protocol.

    Every protocol with the same seed draws on one base split of the whole manifest, stratified by source and label, so
    an image that tests one stage has trained none.

    Parameters
    ----------
    name
        A key of :data:`PROTOCOLS`.
    manifest
        The images.
    seed
        Seed of the draw.
    sources
        Only images of these; empty: of all. No image changes part.

    Raises
    ------
    ManifestError
        For an unknown protocol, or where nothing is left after its rules.
    """
    if name not in PROTOCOLS:
        raise ManifestError(f"There is no protocol {name!r}: use one of {', '.join(PROTOCOLS)}.")
    protocol = PROTOCOLS[name]
    base = _base_parts(manifest.table, seed)
    table, dropped = _left(manifest.table, protocol.rules)
    part_of = {str(group): base[str(group)] for group in table["group"]}
    if protocol.only_test:
        part_of = dict.fromkeys(part_of, "test")
    elif protocol.lungs:
        part_of = _lung_parts(part_of, seed)
    asked = (Rule("not of the sources asked for", lambda t: ~t["source"].isin(sources)),) if sources else ()
    table, dropped_later = _left(table, (*protocol.narrower, *asked))
    dropped |= dropped_later
    if table.empty:
        last = next((rule for rule in reversed(dropped) if dropped[rule]), "no image at all")
        raise ManifestError(
            f"The protocol {name} leaves no image of this manifest (the last ones were left out as: {last}): check its "
            "labels, views, masks and sources."
        )
    parts: dict[Part, list[str]] = {part: [] for part in PARTS}
    for image_id, group in zip(table["image_id"], table["group"], strict=True):
        parts[part_of[str(group)]].append(str(image_id))
    return Split(
        name=name,
        seed=seed,
        train=tuple(sorted(parts["train"])),
        validation=tuple(sorted(parts["validation"])),
        test=tuple(sorted(parts["test"])),
        truth={str(image_id): _truth(protocol, str(label)) for image_id, label in table["label"].items()},
        groups={str(image_id): str(group) for image_id, group in table["group"].items()},
        dropped=dropped,
    )


def truth_by_label(name: str) -> dict[str, int]:
    """Truth of every label that a protocol asks about, as in its splits."""
    protocol = PROTOCOLS[name]
    rules = [rule for rule in protocol.rules if rule in _LABEL_RULES]
    left, _ = _left(pd.DataFrame({"label": LABELS}), rules)
    return {str(label): _truth(protocol, str(label)) for label in left["label"]}


_LABEL_RULES = (UNLABELLED, NOT_PNEUMONIA, NO_FINDING, IN_NO_PATCH_CLASS)


def _left(table: pd.DataFrame, rules: Sequence[Rule]) -> tuple[pd.DataFrame, dict[str, int]]:
    """The images that rules leave, and how many each rule left out."""
    dropped = {}
    for rule in rules:
        out = rule.drops(table)
        dropped[rule.name] = int(out.sum())
        table = table[~out]
    return table, dropped


def _truth(protocol: Protocol, label: str) -> int:
    if protocol.classes:
        return next(place for place, labels in enumerate(protocol.classes.values()) if label in labels)
    return int(not protocol.positive or label in protocol.positive)


def _base_parts(table: pd.DataFrame, seed: int) -> dict[str, Part]:
    """Part of every group: within each stratum, shuffled groups go where images are most lacking."""
    # By id, so that the order of the manifest's rows does not move an image to another part.
    table = table.sort_index()
    strata: dict[tuple[str, str], list[str]] = defaultdict(list)
    sizes: dict[str, int] = {}
    for group, rows in table.groupby("group", sort=True):
        # A patient with COVID-19 counts as COVID-19 in all images, else by the first image's label.
        labels = set(rows["label"])
        label = "covid19" if "covid19" in labels else str(rows["label"].iloc[0])
        strata[(str(rows["source"].iloc[0]), label)].append(str(group))
        sizes[str(group)] = len(rows)
    part_of: dict[str, Part] = {}
    for stratum, groups in sorted(strata.items()):
        key = hashlib.sha256(f"{seed}/{stratum[0]}/{stratum[1]}".encode()).digest()
        order = np.random.default_rng(int.from_bytes(key[:8], "big")).permutation(len(groups))
        shares = SHARES.get(stratum[1], DEFAULT_SHARES)
        total = sum(sizes[group] for group in groups)
        filled = [0, 0, 0]
        for index in order:
            group = groups[int(index)]
            lack = [share * total - count for share, count in zip(shares, filled, strict=True)]
            # Relative lack keeps small strata represented in validation and test, not in training alone.
            chosen = max(range(3), key=lambda i: (lack[i] / shares[i], shares[i]))
            part_of[group] = PARTS[chosen]
            filled[chosen] += sizes[group]
    return part_of


def _lung_parts(base: Mapping[str, Part], seed: int) -> dict[str, Part]:
    training = sorted(group for group, part in base.items() if part == "train")
    order = np.random.default_rng(seed).permutation(len(training))
    held = {training[int(i)] for i in order[: round(LUNG_VALIDATION_SHARE * len(training))]}
    return {
        group: "test" if part != "train" else "validation" if group in held else "train" for group, part in base.items()
    }
