import gc
import os
import sys

# Before NumPy and torch come, which read it once: two workers with two threads each would be in each other's way.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import HealthCheck, settings

# The exporter makes millions of small objects, and each full collection would look through all that torch has loaded.
gc.set_threshold(50_000, 50, 1_000)

# A busy machine is no fault of the code.
settings.register_profile("no deadline", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("no deadline")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Give the tests of a folder to one worker: they share its fixtures, and some of those train networks.

    Not where worksteal is asked for, which cuts the list of all tests in two and evens out the end.
    """
    if config.getoption("dist") == "worksteal":
        return None
    from xdist.scheduler import LoadFileScheduling

    class LoadFolderScheduling(LoadFileScheduling):
        def _split_scope(self, nodeid):
            return super()._split_scope(nodeid).rpartition("/")[0]

    return LoadFolderScheduling(config, log)


@pytest.fixture(autouse=True)
def undetermined():
    """A training makes torch deterministic for the whole process, which refuses operations that other tests use."""
    yield
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.use_deterministic_algorithms(False)
