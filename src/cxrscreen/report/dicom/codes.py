"""Coded concepts of the objects: SNOMED CT and DICOM where a code says exactly what is meant, else our own scheme."""

from typing import Final

from highdicom.sr import CodedConcept
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from cxrscreen.systems.contract import Finding, SaliencyMap

SCHEME: Final = "99CXRSCREEN"
SCHEME_NAME: Final = "cxrscreen private codes"

CHEST_RADIOGRAPHY: Final = Code("399208008", "SCT", "Plain chest X-ray")
PNEUMONIA: Final = Code("233604007", "SCT", "Pneumonia")
COVID19: Final = Code("840539006", "SCT", "COVID-19")
VIRAL_PNEUMONIA: Final = Code("75570004", "SCT", "Viral pneumonia")
BACTERIAL_PNEUMONIA: Final = Code("53084003", "SCT", "Bacterial pneumonia")
TUBERCULOSIS: Final = Code("154283005", "SCT", "Pulmonary tuberculosis")

NOTHING_CALLED: Final = Code("nothing-called", SCHEME, "No pneumonia called by the system; excludes no disease")
VIRAL_OR_COVID19: Final = Code("viral-or-covid19", SCHEME, "Viral pneumonia or COVID-19, not told apart")
UNHEALTHY: Final = Code("unhealthy", SCHEME, "Unhealthy lungs, of whatever cause")
REFUSED: Final = Code("refused", SCHEME, "Not screened: outside the scope of the system")
NOT_ASKED: Final = Code("not-asked", SCHEME, "Not asked: an earlier decision made it needless")

PROBABILITY: Final = Code("probability", SCHEME, "Probability given by the system (0 to 1)")
THRESHOLD: Final = Code("operating-point", SCHEME, "Threshold of the operating point (0 to 1)")
TRIAGE_SCORE: Final = Code("triage-score", SCHEME, "Triage score (0 to 1, larger is read first)")
DECISION: Final = Code("decision", SCHEME, "Decision at the operating point")
ANSWER: Final = Code("finding", SCHEME, "Answer of the system")
QUALITY: Final = Code("quality", SCHEME, "Trust in the result")
GOOD: Final = Code("good", SCHEME, "No warning touches the trust in the result")
LIMITED: Final = Code("limited", SCHEME, "A warning touches the trust in the result")
LUNG_SHARE: Final = Code("lung-share", SCHEME, "Share of the image covered by lung (0 to 1)")
CARDIOTHORACIC_RATIO: Final = Code("ctr", SCHEME, "Cardiothoracic ratio")
COVERAGE: Final = Code("coverage", SCHEME, "How often the system looked at a place")
DISEASE_SCORE: Final = Code("disease-map", SCHEME, "Score of disease at a place (0 to 1)")
RESEARCH_STATEMENT: Final = Code("research-use", SCHEME, "Statement of use")
WARNING: Final = Code("warning", SCHEME, "Warning")

FINDING_CODES: Final[dict[Finding, Code]] = {
    "normal": NOTHING_CALLED,
    "covid19": COVID19,
    "other_pneumonia": PNEUMONIA,
    "viral": VIRAL_OR_COVID19,
    "bacterial": BACTERIAL_PNEUMONIA,
    "tuberculosis": TUBERCULOSIS,
}
"""The code of each answer a system can give."""

STAGE_CODES: Final[dict[str, Code]] = {
    "pneumonia": PNEUMONIA,
    "covid19": COVID19,
    "covid19_against_normal": COVID19,
    "covid19_against_all": COVID19,
    "other_pneumonia": PNEUMONIA,
    "unhealthy": UNHEALTHY,
    "viral": VIRAL_OR_COVID19,
    "bacterial": BACTERIAL_PNEUMONIA,
    "tuberculosis": TUBERCULOSIS,
}
"""What each decision is about."""

_GRAD_CAM: Final = codes.DCM.GradientWeightedClassActivation
MAP_CODES: Final[dict[str, Code]] = {
    "h2": codes.DCM.ClassActivation,
    "h3": _GRAD_CAM,
    "grad-cam": _GRAD_CAM,
    "normal": _GRAD_CAM,
    "bacterial": _GRAD_CAM,
    "tuberculosis": _GRAD_CAM,
    "viral": _GRAD_CAM,
    "covid19": _GRAD_CAM,
    "other-pneumonia": _GRAD_CAM,
    "disease": DISEASE_SCORE,
}
"""What a map shows, by its name; others are plain saliency."""


def stage_code(name: str) -> Code:
    """Return the concept a decision is about; one of our own scheme for a decision without a code."""
    return STAGE_CODES[name] if name in STAGE_CODES else Code(name[:16], SCHEME, name[:64])


def map_code(saliency: SaliencyMap) -> Code:
    """Return the concept of what a map shows."""
    if saliency.kind == "coverage":
        return COVERAGE
    found: Code = MAP_CODES.get(saliency.name, codes.DCM.Saliency)
    return found


def concept(code: Code) -> CodedConcept:
    """Return a code as an item of a code sequence."""
    return CodedConcept.from_code(code)
