"""A loaded system as what the node asks: a file in, a radiograph and its result out."""

from pathlib import Path

from cxrscreen.dicom_node.listen import Screen, Screened
from cxrscreen.imaging.read import read
from cxrscreen.systems.contract import Policy, System


def screen_with(system: System, *, policy: Policy = "standard", force: bool = False, explain: bool = True) -> Screen:
    """Make the function by which a node or a command screens a file.

    Parameters
    ----------
    system
        The loaded system.
    policy, force, explain
        See :meth:`cxrscreen.systems.contract.System.screen`.
    """

    def screen(path: Path) -> Screened:
        radiograph = read(path)
        return Screened(radiograph, system.screen(radiograph, policy=policy, force=force, explain=explain))

    return screen
