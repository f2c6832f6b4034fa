"""A loaded system as what the node asks: a file in, a radiograph and its result out."""

from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from cxrscreen.data.masks import HEART
from cxrscreen.dicom_node.listen import Screen, Screened
from cxrscreen.imaging.radiograph import Radiograph
from cxrscreen.imaging.read import read
from cxrscreen.systems.contract import Policy, System


class _Organs(Protocol):
    def at_size(self, shape: tuple[int, int]) -> NDArray[np.uint8]: ...


@runtime_checkable
class SegmentsOrgans(Protocol):
    """A system that segments the heart beside the lungs."""

    def segment(self, radiograph: Radiograph) -> _Organs:
        """Segment lungs and heart; the mask is asked for at the radiograph's size, 3 for the heart."""


def screen_with(system: System, *, policy: Policy = "standard", force: bool = False, explain: bool = True) -> Screen:
    """Make the function by which a node or a command screens a file.

    Parameters
    ----------
    system
        The loaded system; where it segments the heart, the result has it.
    policy, force, explain
        See :meth:`cxrscreen.systems.contract.System.screen`.
    """

    def screen(path: Path) -> Screened:
        radiograph = read(path)
        screening = system.screen(radiograph, policy=policy, force=force, explain=explain)
        heart = None
        if screening.status == "screened" and isinstance(system, SegmentsOrgans):
            heart = system.segment(radiograph).at_size(radiograph.shape) == HEART
        return Screened(radiograph, screening, heart)

    return screen
