"""Age, sex and view as publishers write them."""

import re

OLDEST = 110.0
"""Ages above this, which several sources hold, are typing errors."""
ADULT = 18.0

_AGE = re.compile(r"(\d+(?:\.\d+)?)\s*(y|m|d|w)?[a-z]*\.?", re.IGNORECASE)
_YEARS = {"y": 1.0, "m": 1 / 12, "w": 7 / 365.25, "d": 1 / 365.25}


def years_of(text: str) -> float | None:
    """Age in years from text such as ``58``, ``058Y``, ``45yrs``, ``16month`` or ``64days``.

    Returns
    -------
    float or None
        Above 0 and at most 110; None where the text says no age, or no possible one. Zero is none: sources write it
        where they know nothing.
    """
    match = _AGE.fullmatch(text.strip())
    if match is None:
        return None
    years = float(match[1]) * _YEARS[(match[2] or "y").lower()]
    return years if 0 < years <= OLDEST else None


def age_columns(text: str) -> dict[str, str]:
    """Columns ``age`` and ``pediatric`` of a row.

    A bound or a decade (``50+``, ``early 40s``) gives no age, but says that this is no child where it is 18 or more.

    Returns
    -------
    dict
        Age in years, at most two decimals, or empty; pediatric is true, false or unknown.
    """
    years = years_of(text)
    if years is not None:
        return {"age": f"{round(years, 2):g}", "pediatric": "true" if years < ADULT else "false"}
    bound = re.fullmatch(r"(?:early |mid |late )?(\d{2})(?:\+|s)", text.strip(), re.IGNORECASE)
    return {"age": "", "pediatric": "false" if bound and float(bound[1]) >= ADULT else "unknown"}


def sex_of(text: str) -> str:
    """M, F, or empty: from M, F, male, female, femal and the like, in any case."""
    first = text.strip()[:1].upper()
    return first if first in ("M", "F") else ""


def view_of(text: str) -> str:
    """View position of the manifest, or ``unknown``; an erect AP is an AP."""
    words = re.split(r"[\s_-]+", text.strip().upper())
    if words[0] == "PA":
        return "PA"
    if words[0] in ("L", "LL", "RL", "LAT", "LATERAL"):
        return "L"
    if words[0] in ("AP", "APS"):
        return "AP Supine" if words[0] == "APS" or {"SUPINE", "HORIZONTAL"} & set(words[1:]) else "AP"
    return "unknown"
