"""What the cascade decides, and which protocols ask it."""

from typing import Final

from cxrscreen.systems.decisions import Decision

DECISIONS: Final = (
    Decision("pneumonia", "pneumonia / normal", ("stage2", "stage2-adults"), control="normal"),
    Decision("covid19", "COVID-19 / other pneumonia", ("stage3", "stage3-adults"), control="covid19"),
)
