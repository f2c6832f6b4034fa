"""What patch voting decides, and which protocols ask it; its vote among the four classes answers ``patch-classes``."""

from typing import Final

from cxrscreen.systems.decisions import Decision

DECISIONS: Final = (
    Decision("pneumonia", "pneumonia / normal", ("patch-pneumonia", "stage2-adults", "stage2"), control="normal"),
    Decision("bacterial", "bacterial / all others", ("patch-bacterial",), control="bacterial"),
    Decision("tuberculosis", "tuberculosis / all others", ("patch-tuberculosis",), control="tuberculosis"),
    Decision("viral", "viral with COVID-19 / all others", ("patch-viral",), control="covid19"),
)
