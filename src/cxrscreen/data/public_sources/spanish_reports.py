"""Labels of the reports of PadChest and BIMCV-COVID19, which one group made with one list of words."""

import ast

COVID, UNSURE_COVID = "COVID 19", "COVID 19 uncertain"
EXCLUDED = "exclude"
_SAYS_NOTHING = {"unchanged", "suboptimal study", ""}
_IN_ORDER = (
    ("covid19", {COVID}),
    ("tuberculosis", {"tuberculosis"}),
    ("unknown", {UNSURE_COVID}),
    ("viral", {"viral pneumonia"}),
    ("pneumonia", {"pneumonia", "atypical pneumonia"}),
    ("nodule", {"nodule", "multiple nodules"}),
)


def findings_of(text: str) -> tuple[str, ...] | None:
    """Findings from the text of a Python list (``['normal', ' unchanged']``), each once, blanks trimmed.

    Returns
    -------
    tuple of str or None
        Empty for an empty cell; None where the text is no whole list, as in a few rows that were cut.
    """
    if text.strip().lower() in ("", "nan"):
        return ()
    try:
        listed = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    if not isinstance(listed, list):
        return None
    return tuple(dict.fromkeys(str(item).strip() for item in listed if str(item).strip()))


def label_of(findings: tuple[str, ...]) -> str:
    """Label of a report's findings.

    ``normal`` alone is normal. What only compares (``unchanged``) or judges the image (``suboptimal study``) says
    nothing; COVID-19 called uncertain is unknown, whatever pneumonia the report also calls: it may be COVID-19's.
    """
    found = set(findings) - _SAYS_NOTHING
    if not found:
        return "unknown"
    if found == {"normal"}:
        return "normal"
    return next((label for label, words in _IN_ORDER if words & found), "other")
