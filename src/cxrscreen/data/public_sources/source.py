"""What is told of a public data set: who made it, on what terms, how to fetch it, and what is wrong with it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cxrscreen.data.public_sources.gathering import Gathering

NO_CHECKSUMS = "none known that its publisher gives"


@dataclass(frozen=True)
class Source:
    """A public data set and the function that reads it.

    Parameters
    ----------
    name
        As on the command line; also the manifest's ``source``, and the start of its image and patient ids.
    title, home, terms, citation, size
        For people; the terms in a line, which does not replace reading them.
    fetch
        What a person does to get it, step by step.
    layout
        Files that are expected, as their publisher names them.
    labels
        How the publisher's words become labels.
    faults
        What is known to be wrong with it.
    read
        Takes the folder and what gathers the rows; raises ``SourceError`` where the layout is another.
    checksums
        What the publisher gives to check a download by.
    """

    name: str
    title: str
    home: str
    terms: str
    citation: str
    size: str
    fetch: tuple[str, ...]
    layout: tuple[str, ...]
    labels: tuple[str, ...]
    faults: tuple[str, ...]
    read: Callable[[Path, Gathering], None]
    checksums: str = NO_CHECKSUMS
