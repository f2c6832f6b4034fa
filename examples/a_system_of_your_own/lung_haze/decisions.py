"""What the system decides, and which protocols ask it."""

from cxrscreen.systems.decisions import Decision

DECISIONS = (Decision("pneumonia", "pneumonia / normal", ("stage2",), control="normal"),)
