"""What patch voting decides, and which protocols ask it; its vote among the four classes answers ``patch-classes``."""

from typing import Final

from cxrscreen.systems.decisions import Decision

DECISIONS: Final = (
    Decision(
        "pneumonia",
        "pneumonia / normal",
        ("patch-pneumonia", "stage2-adults", "stage2"),
        control="normal",
        network="classifier",
    ),
    Decision("bacterial", "bacterial / all others", ("patch-bacterial",), control="bacterial", network="classifier"),
    Decision(
        "tuberculosis",
        "tuberculosis / all others",
        ("patch-tuberculosis",),
        control="tuberculosis",
        network="classifier",
    ),
    Decision("viral", "viral with COVID-19 / all others", ("patch-viral",), control="covid19", network="classifier"),
)
