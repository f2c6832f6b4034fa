"""How long to wait before the next try, and for an answer."""

from typing import Final

FIRST_WAIT: Final = 2.0
LONGEST_WAIT: Final = 300.0
"""Seconds between tries: doubled from the first to the longest."""
LONGEST_PATIENCE: Final = 86_400.0
"""Seconds."""


def backoff(tries: int, spread: float = 0.0) -> float:
    """Return how long to wait after so many tries that failed in a row.

    Parameters
    ----------
    tries
        From 1.
    spread
        In [0, 1): which part of the wait's last quarter to leave out, so that nodes do not all come back at once.

    Returns
    -------
    float
        Seconds, at most :data:`LONGEST_WAIT`.
    """
    doubled = FIRST_WAIT * 2.0 ** min(tries - 1, 30)
    return min(doubled, LONGEST_WAIT) * (1.0 - 0.25 * spread)


def patience(seconds: float, silences: int) -> float:
    """Return how long to wait for an answer that did not come so many times in a row.

    Doubled with each, so that an archive slower than was thought is waited for in the end.

    Parameters
    ----------
    seconds
        The first wait.
    silences
        From 0.

    Returns
    -------
    float
        Seconds, at most the longer of ``seconds`` and :data:`LONGEST_PATIENCE`.
    """
    return min(seconds * 2.0 ** min(silences, 30), max(seconds, LONGEST_PATIENCE))
