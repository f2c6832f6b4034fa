"""What COMiT-Net decides, and which protocols ask it."""

from typing import Final

from cxrscreen.systems.comit_net.labels import COVID19, OTHER, UNHEALTHY
from cxrscreen.systems.decisions import Decision

NETWORK: Final = "comit"

DECISIONS: Final = (
    Decision(UNHEALTHY, "unhealthy / healthy", ("comit-unhealthy",), control="normal", network=NETWORK),
    Decision(COVID19, "COVID-19 / everything else", ("comit-covid19",), control="covid19", network=NETWORK),
    Decision(OTHER, "other pneumonia / everything else", ("comit-other",), control="normal", network=NETWORK),
)
