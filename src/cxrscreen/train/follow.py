"""A process that computes its share of a training: ``python -m cxrscreen.train.follow``, as the first one starts it."""

import os
import sys
import warnings

from torch import distributed
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from cxrscreen.errors import CxrscreenError
from cxrscreen.train.crew import Crew, crew_here
from cxrscreen.train.loop import Work, run_share
from cxrscreen.train.together import ARRIVAL, HERE, hear, join


def follow(crew: Crew) -> None:
    """Do what the first process tells, phase after phase, until it has no more; writes nothing.

    Parameters
    ----------
    crew
        The crew and this process's place in it.

    Raises
    ------
    CxrscreenError
        What the first process raises at the same moment, which is the one to report it.
    """
    # What there is to warn of, the first process says.
    warnings.simplefilter("ignore")
    join(crew)
    while isinstance(work := hear(), Work):
        run_share(work, crew)
    distributed.destroy_process_group()


def main() -> None:
    """Join the process that started this one, and do one phase."""
    crew = crew_here()
    port = int(os.environ["MASTER_PORT"])
    store = TCPStore(os.environ["MASTER_ADDR"], port, is_master=False, timeout=ARRIVAL)
    store.add(HERE, 1)
    warnings.simplefilter("ignore")
    join(crew, store)
    try:
        run_share(hear(), crew)
    except CxrscreenError as error:
        sys.exit(str(error))
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
