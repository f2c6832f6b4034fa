import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from cxrscreen.batch.budget import BYTES_PER_PIXEL, MemoryBudget


@pytest.mark.parametrize(("limit", "at_once"), [(2 * BYTES_PER_PIXEL * 100, 2), (1, 1)])
def test_no_more_is_held_than_fits_and_one_always_may(limit: int, at_once: int) -> None:
    budget, lock, holding, most = MemoryBudget(limit), threading.Lock(), 0, 0
    together = threading.Barrier(at_once)

    def work(_: int) -> None:
        nonlocal holding, most
        with budget.held_for(100):
            with lock:
                holding += 1
                most = max(most, holding)
            # Nobody leaves before as many hold as may.
            together.wait(20)
            with lock:
                holding -= 1

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(8)))
    assert most == at_once


def test_what_failed_gives_its_share_back() -> None:
    budget = MemoryBudget(1)
    with pytest.raises(RuntimeError), budget.held_for(100):
        raise RuntimeError
    with budget.held_for(100):
        pass
