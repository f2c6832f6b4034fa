"""What COVID-CXNet decides, and which protocols ask it; a bundle makes the first two decisions or the third."""

from typing import Final

from cxrscreen.systems.covid_cxnet.classes import BINARY_STAGE
from cxrscreen.systems.decisions import Decision

NETWORK: Final = "classifier"

DECISIONS: Final = (
    Decision(
        "pneumonia",
        "pneumonia / normal",
        ("cxnet-pneumonia", "stage2-adults", "stage2"),
        control="normal",
        network=NETWORK,
    ),
    Decision(
        "covid19",
        "COVID-19 / other pneumonia",
        ("cxnet-covid19", "stage3-adults", "stage3"),
        control="covid19",
        network=NETWORK,
    ),
    Decision(BINARY_STAGE, "COVID-19 / normal", ("cxnet-binary",), control="covid19", network=NETWORK),
)
"""The first protocol of each sets its operating points, by the classes that are taught; the others hold tuberculosis as
well."""
