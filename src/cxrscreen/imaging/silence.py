"""No Python warnings while files are read, in however many threads."""

import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

# All that reads DICOM comes here first.
from cxrscreen.imaging import chinese  # noqa: F401 - imported, it mends what is read

_lock = threading.Lock()
_inside = 0
_filters = ExitStack()


@contextmanager
def without_warnings() -> Iterator[None]:
    """Silence the libraries' warnings: they quote header values, which may name a patient.

    ``warnings.catch_warnings`` swaps one list of filters for the whole process, so two threads that overlap would lift
    each other's silence and leave the wrong filters behind. Here the first thread in silences and the last one out
    restores what it found.
    """
    global _inside  # noqa: PLW0603 - the filters are global too
    with _lock:
        if _inside == 0:
            _filters.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                _filters.close()
