from cxrscreen import RESEARCH_USE
from cxrscreen.data.findings import FINDINGS
from cxrscreen.systems.covid_cxnet.figures import findings_figure
from cxrscreen.systems.covid_cxnet.pipeline import NOT_APART


def test_the_chart_says_by_what_and_how_it_was_learned():
    chances = {"a.png": dict.fromkeys(FINDINGS, 0.2)}
    said = findings_figure(chances, "Chart", source="a linear layer", caution=NOT_APART)
    assert said.axes[0].get_xlabel() == "Probability given by a linear layer"
    caption = " ".join(said.get_supxlabel().split())
    assert NOT_APART in caption
    assert RESEARCH_USE in caption
    assert NOT_APART not in " ".join(findings_figure(chances, "Chart", source="it").get_supxlabel().split())
