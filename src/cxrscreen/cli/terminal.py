"""The terminal of a long command, kept free of what libraries print."""

import io
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console


@contextmanager
def undisturbed_terminal() -> Iterator[Console]:
    """Give a console on stderr, while what C libraries print there goes nowhere.

    libtiff, the JPEG library inside GDCM and others write their complaints about damaged files to file descriptor 2,
    into the middle of a progress bar; what a person needs of them is in the reason of the failed file. With ``--debug``
    everything is shown.

    Yields
    ------
    Console
        On the stderr of the process, which is put back at the end.
    """
    number = _stderr_number()
    if number is None or logging.getLogger("cxrscreen").isEnabledFor(logging.DEBUG):
        yield Console(stderr=True)
        return
    sys.stderr.flush()
    with (
        os.fdopen(os.dup(number), "w", encoding=sys.stderr.encoding, errors="backslashreplace") as terminal,
        Path(os.devnull).open("w") as nowhere,
    ):
        os.dup2(nowhere.fileno(), number)
        try:
            yield Console(file=terminal)
        finally:
            os.dup2(terminal.fileno(), number)


def _stderr_number() -> int | None:
    try:
        return sys.stderr.fileno()
    except (AttributeError, io.UnsupportedOperation, ValueError):
        return None
