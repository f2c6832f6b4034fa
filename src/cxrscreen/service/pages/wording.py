"""The words of the pages that the report does not have, in one place."""

from collections.abc import Mapping
from typing import Final

from cxrscreen.service.store.models import Diagnosis, StudyState, TestResult

STATES: Final[dict[StudyState, tuple[str, str]]] = {
    "waiting": ("Waiting", "In the queue or being screened."),
    "screened": ("Screened", "The system gave an answer; a person still has to read the image."),
    "refused": ("Refused", "The gate took the image for something the model was not made for: no score."),
    "failed": ("Failed", "The image could not be screened; nothing is known about it."),
}
"""What a person reads for each state of a study: a word and what it means."""

DIAGNOSES: Final[dict[Diagnosis, str]] = {
    "normal": "Normal",
    "covid19": "COVID-19",
    "other_pneumonia": "Other pneumonia",
    "viral": "Viral pneumonia, not COVID-19",
    "bacterial": "Bacterial pneumonia",
    "tuberculosis": "Tuberculosis",
    "other": "Something else",
    "unclear": "Still unclear",
}
"""Final diagnoses a reader can name."""

TESTS: Final[dict[TestResult, str]] = {
    "positive": "Positive",
    "negative": "Negative",
    "indeterminate": "Indeterminate",
}
"""Results of an RT-PCR test."""

SHORTCUTS: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "Everywhere": (
        ("?", "Show or hide this list"),
        ("G then W", "Worklist"),
        ("G then U", "Send images"),
        ("G then F", "Figures"),
        ("D", "Light or dark"),
    ),
    "Worklist": (
        ("J or ↓", "Next study"),
        ("K or ↑", "Previous study"),
        ("Enter", "Open the study"),
        ("/", "Find a patient"),
        ("U", "Show what is new"),
    ),
    "Study": (
        ("Drag", "Window and level"),
        ("Wheel", "Zoom at the pointer"),
        ("Shift + drag", "Move the image"),
        ("↑ ↓ ← →", "Move the image, once it is focused (Tab or a click)"),
        ("Shift + ↑ ↓", "Brighter, darker (level)"),
        ("Shift + ← →", "Less, more contrast (window)"),
        ("+ and −", "Zoom in, zoom out"),
        ("I", "Invert"),
        ("A", "Spread the grey values over the screen"),
        ("R", "Reset the view"),
        ("L", "Lungs on or off"),
        ("1 to 9", "Choose a map"),
        ("0", "No map"),
        (", and .", "Map fainter, stronger"),
        ("X", "Hold to hide all overlays"),
        ("N", "Next study that nobody has read"),
        ("E", "Go to the reader's answer"),
        ("P", "Print"),
    ),
}
"""Keys by page; they can be switched off in the list itself."""
