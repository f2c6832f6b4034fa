import io

import numpy as np
import pytest

from cxrscreen import RESEARCH_USE
from cxrscreen.data.findings import FINDINGS
from cxrscreen.explain.lime import LimeExplanation
from cxrscreen.systems.covid_cxnet.explanation import Explanation
from cxrscreen.systems.covid_cxnet.figures import explanation_figure, findings_figure
from cxrscreen.systems.covid_cxnet.pipeline import NOT_APART


def test_the_chart_says_by_what_and_how_it_was_learned():
    chances = {"a.png": dict.fromkeys(FINDINGS, 0.2)}
    said = findings_figure(chances, "Chart", source="a linear layer", caution=NOT_APART)
    assert said.axes[0].get_xlabel() == "Probability given by a linear layer"
    caption = " ".join(said.get_supxlabel().split())
    assert NOT_APART in caption
    assert RESEARCH_USE in caption
    assert NOT_APART not in " ".join(findings_figure(chances, "Chart", source="it").get_supxlabel().split())


@pytest.mark.parametrize("name", ["x$\\y$.png", "_a.png", "a_b^c.png", "M\\xfcller.png"])
def test_an_image_is_named_in_the_legend_as_it_is(name):
    chances = {name: dict.fromkeys(FINDINGS, 0.2), "b.png": dict.fromkeys(FINDINGS, 0.4)}
    figure = findings_figure(chances, "Chart", source="it")
    figure.savefig(io.BytesIO(), format="svg")
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == [name, "b.png"]


def test_what_the_gate_doubts_stands_below_the_explanation():
    grey = np.full((16, 16), 0.5, np.float32)
    found = LimeExplanation(np.ones((16, 16), np.int64), np.full(1, 0.3, np.float32), 0.5, 0.7)
    explanation = Explanation("normal", grey, np.ones((16, 16), np.uint8), grey, found, 1.0, 1.0)
    doubt = "This looks like the chest of a child; results measured on adults say nothing about children."
    said = explanation_figure(explanation, "Explanation", [doubt]).get_supxlabel()
    assert doubt in " ".join(said.split())
    assert RESEARCH_USE in said
    assert doubt not in " ".join(explanation_figure(explanation, "Explanation").get_supxlabel().split())
