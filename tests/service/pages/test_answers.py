import base64
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from cxrscreen.report.figures import colour_scale
from cxrscreen.service.pages.answers import Answer, differ, scales, title_of


def answers(*findings: str | None) -> list[Answer]:
    return [cast(Answer, SimpleNamespace(record=SimpleNamespace(finding=finding))) for finding in findings]


@pytest.mark.parametrize(
    ("findings", "contradict"),
    [
        ((), False),
        (("covid19",), False),
        (("covid19", None), False),
        (("normal", "normal"), False),
        (("covid19", "viral"), False),
        (("other_pneumonia", "viral"), False),
        (("other_pneumonia", "bacterial"), False),
        (("normal", "covid19"), True),
        (("covid19", "other_pneumonia"), True),
        (("bacterial", "viral"), True),
        (("covid19", "viral", "other_pneumonia"), True),
        (("tuberculosis", "other_pneumonia"), True),
    ],
)
def test_answers_differ_where_one_excludes_the_other(findings: tuple[str | None, ...], contradict: bool) -> None:
    assert differ(answers(*findings)) is contradict


def test_the_colours_of_explanations_are_the_reports_and_those_of_coverage_are_not() -> None:
    saliency, coverage = (
        np.frombuffer(base64.b64decode(scales()[kind]), np.uint8).reshape(256, 3) for kind in ("saliency", "coverage")
    )
    # The report blends the strongest value at 72 % over grey 96.
    assert np.abs(saliency[255] * 0.72 + 96 * 0.28 - colour_scale(2)[1]).max() <= 1
    assert np.abs(saliency.astype(int) - coverage).max() > 100


def test_a_system_without_a_title_goes_by_its_name() -> None:
    assert title_of("patch_voting") == "Patch voting"
    assert title_of("other\x00") == "other\N{REPLACEMENT CHARACTER}"
