"""The words of the report: labels, sentences and limits, in one place so that they can be read and weighed together."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cxrscreen.report.record import as_text
from cxrscreen.systems.contract import Finding, SaliencyMap, Stage
from cxrscreen.systems.triage import Action

FINDING_LABELS: Final[dict[Finding, str]] = {
    "covid19": "COVID-19",
    "other_pneumonia": "Other pneumonia",
    "viral": "Viral pneumonia or COVID-19",
    "bacterial": "Bacterial pneumonia",
    "tuberculosis": "Tuberculosis",
    "normal": "Normal",
}
"""What a person reads for each finding, in the order of the summary."""

TRIAGE_LABELS: Final[dict[Action, tuple[str, str]]] = {
    "pcr_or_ct_first": (
        "RT-PCR / CT first",
        "Ask for RT-PCR or CT before the others; one negative test does not exclude COVID-19.",
    ),
    "treat_as_bacterial": (
        "Treat as bacterial",
        "Place in the line for bacterial pneumonia; whether and how to treat is the clinician's decision.",
    ),
    "tb_work_up": (
        "TB work-up",
        "Ask for the local tuberculosis tests; the radiograph alone proves nothing.",
    ),
    "routine": ("Routine", "Usual order of reading; a normal call excludes no disease."),
    "cannot_say": ("Cannot say: read by a person", "No order is suggested."),
}
"""What a person reads for each suggestion: a title and what it means."""

LIMITS: Final[tuple[tuple[str, str], ...]] = (
    (
        "It is not a diagnosis.",
        "A laboratory test and a clinician decide whether somebody has COVID-19 or another disease. A radiograph can "
        "be normal early in the disease, and other diseases can look the same.",
    ),
    (
        "“Normal” means only that no pneumonia was called.",
        "Nodules, effusion, pneumothorax, fractures, heart disease, tubes and lines are not looked for.",
    ),
    (
        "A score is not the chance that this person is ill.",
        "It depends on the hospitals, devices and people the model learned from; elsewhere the same score can mean "
        "something else. Check the operating point on your own cases before relying on it.",
    ),
    (
        "A heat map shows what moved the score, not where the disease is.",
        "It is coarse, can lie beside a lesion or outside the lungs, and a convincing map does not make a wrong "
        "answer right.",
    ),
    (
        "The lung outline is an estimate.",
        "Dense opacities may be left out of it; check it before trusting the lung area or anything that follows.",
    ),
    (
        "An image without objection is not proven to be in scope.",
        "The gate knows the mistakes it was measured on; a strange image can pass it, and it can refuse a good one.",
    ),
    (
        "The suggested order of work is no treatment advice.",
        "It follows from the system's answer by fixed rules whose margins were fitted on no patients; it carries every "
        "mistake of the answer, and nobody has measured what following it does to patients.",
    ),
    (
        "The order of the worklist is a suggestion.",
        "Every radiograph still has to be read. A refused file has no score, and a failed one has not been looked at "
        "at all.",
    ),
)
"""What the report does not say: pairs of a claim and its explanation."""

_CALLED: Final[dict[str, tuple[str, str]]] = {
    "pneumonia": ("called pneumonia (any type)", "called normal"),
    "covid19": ("called COVID-19", "called other pneumonia"),
    "covid19_against_normal": (
        "called COVID-19; this system knows no other pneumonia, and may mean one",
        "called normal; another pneumonia is not looked for",
    ),
    "unhealthy": ("called unhealthy", "called healthy"),
    "covid19_against_all": ("speaks for COVID-19", "does not speak for COVID-19"),
    "other_pneumonia": ("speaks for a pneumonia other than COVID-19", "does not speak for another pneumonia"),
    "viral": ("speaks for viral pneumonia or COVID-19", "does not speak for viral pneumonia or COVID-19"),
    "bacterial": ("speaks for bacterial pneumonia", "does not speak for bacterial pneumonia"),
    "tuberculosis": ("speaks for tuberculosis", "does not speak for tuberculosis"),
}
"""Where classes compete, the finding is the one with the most votes, so that a decision alone calls nothing."""
_COMPETING: Final[dict[str, tuple[str, str]]] = {
    "Pneumonia or tuberculosis, against normal": (
        "speaks for a disease (pneumonia or tuberculosis)",
        "does not speak for a disease",
    ),
}
"""By title, where a decision of the same name as another system's stands beside competing classes and calls nothing."""
_COLUMNS: Final[dict[str, str]] = {
    "pneumonia": "Pneumonia",
    "covid19": "COVID-19",
    "covid19_against_normal": "COVID-19 / normal",
    "unhealthy": "Unhealthy",
    "covid19_against_all": "COVID-19 / all",
    "other_pneumonia": "Other pneumonia",
    "viral": "Viral, with COVID-19",
    "bacterial": "Bacterial",
    "tuberculosis": "Tuberculosis",
}


def findings_of(stage_names: Sequence[str]) -> tuple[Finding, ...]:
    """Return the findings to count, in order, where systems with these decisions screened.

    Parameters
    ----------
    stage_names
        Names of the decisions of all screenings; none: those of a system that names COVID-19.
    """
    stages = set(stage_names) or {"covid19"}
    if "covid19" in stages:
        stages.add("other_pneumonia")
    if stages & {"covid19_against_normal", "covid19_against_all"}:
        stages.add("covid19")
    return tuple(finding for finding in FINDING_LABELS if finding in stages or finding == "normal")


def stage_sentence(stage: Stage) -> str:
    """Say in plain words what one decision came to.

    Parameters
    ----------
    stage
        The decision; its name chooses the words, an unknown name gets neutral ones.
    """
    if stage.probability is None:
        return "Not asked: an earlier decision made this one needless."
    words = _COMPETING.get(stage.title) or _CALLED.get(stage.name, ("called positive", "called negative"))
    reached, missed = words
    if stage.positive:
        return f"At or above the operating point of {stage.threshold:.2f}: {reached}."
    return f"Below the operating point of {stage.threshold:.2f}: {missed}."


def column_title(stage_name: str) -> str:
    """Return the heading of a decision's column in the worklist."""
    return _COLUMNS.get(stage_name, stage_name)


def lung_share_sentence(saliency: SaliencyMap) -> str:
    """Say how much of a map lies inside the lungs."""
    if saliency.lung_share is None:
        return "The map is empty: nothing spoke for it."
    return f"{saliency.lung_share:.0%} of it lies inside the lungs."


def shown_name(path: Path) -> str:
    """Return a file's name without its folder, fit for a page and a terminal: what cannot be printed becomes ``�``."""
    return printable(as_text(Path(path.name)))


def without_folders(sentence: str, path: Path) -> str:
    """Return a sentence about a file with the file's name in place of its path, so that no folder is shown."""
    sentence = as_text(sentence)
    # the longer first: a relative folder is the end of the absolute one
    for folder in (path.absolute().parent, path.parent):
        if folder.name:
            shown = as_text(folder)
            sentence = sentence.replace(f"{shown}/", "").replace(f"{shown}\\", "")
    return printable(sentence)


def printable(text: str) -> str:
    """Return the text with control and other unprintable characters replaced by ``�``."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
