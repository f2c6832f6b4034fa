"""The classes of both versions, in words; no torch."""

from collections.abc import Mapping
from typing import Literal

from cxrscreen.data.protocols import CXNET_CLASSES
from cxrscreen.systems.contract import Finding

Version = Literal["binary", "three"]

CLASSES: Mapping[Version, tuple[Finding, ...]] = {
    "binary": ("normal", "covid19"),
    "three": ("normal", "other_pneumonia", "covid19"),
}
"""Classes by version, in the order of truth and, for three, of the logits; the paper calls the middle one CAP."""

WORDS: Mapping[Finding, str] = {
    "normal": "normal",
    "other_pneumonia": "other pneumonia",
    "covid19": "COVID-19",
}

BINARY_STAGE = "covid19_against_normal"
STAGES: Mapping[Version, Mapping[str, str]] = {
    "binary": {BINARY_STAGE: "COVID-19, against normal"},
    "three": {
        "pneumonia": "Pneumonia of any type, against normal",
        "covid19": "COVID-19, against other pneumonia",
    },
}
"""Titles of the decisions by name. The binary version says nothing of other pneumonia, which it never saw."""


def class_of_label(version: Version) -> dict[str, int]:
    """Place of a label's class; labels of no class are left out."""
    return {label: place for place, name in enumerate(CLASSES[version]) for label in CXNET_CLASSES[name]}
