"""What an audit is given and what it gives back: one question, its answer in a sentence, tables and figures."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from cxrscreen.data.manifest import Manifest
from cxrscreen.data.protocols import Part, Split
from cxrscreen.evaluate.bootstrap import Estimate
from cxrscreen.imaging.radiograph import Radiograph
from cxrscreen.systems.bundle import Bundle
from cxrscreen.systems.contract import System
from cxrscreen.systems.decisions import Decision, decision_for

Cell = str | int | float | bool | Estimate | None
"""One cell of a table; an `Estimate` is shown with its interval, None as a dash."""


@dataclass(frozen=True)
class AuditTable:
    """A table of an audit.

    Parameters
    ----------
    title
        What it holds, in plain words.
    columns
        Headings.
    rows
        Each of the length of ``columns``.

    Raises
    ------
    ValueError
        If a row has another length.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def __post_init__(self) -> None:
        if any(len(row) != len(self.columns) for row in self.rows):
            raise ValueError(f"every row of the table {self.title!r} must have {len(self.columns)} cells")

    def content(self) -> dict[str, Any]:
        """Plain values for JSON; an estimate becomes a mapping."""
        rows = [[plain(cell) for cell in row] for row in self.rows]
        return {"title": self.title, "columns": list(self.columns), "rows": rows}


@dataclass(frozen=True, eq=False)
class AuditFigure:
    """A figure of an audit.

    Parameters
    ----------
    title
        What it shows, in plain words.
    figure
        Made with matplotlib's object interface; holds no patient's name or number.
    alt
        The same in a sentence for a reader who cannot see it.
    """

    title: str
    figure: Figure
    alt: str


@dataclass(frozen=True, eq=False)
class AuditPart:
    """The answer to one question about a system.

    Parameters
    ----------
    name
        Short and file-safe, for example ``"black-lungs"``; as given to ``--only``.
    title
        In plain words.
    question
        What is asked, one sentence.
    design
        How it was asked: images, steps, rule of passing.
    passed
        True or False by that rule; None where the part has no rule or there were too few images to apply it.
    finding
        The answer in one plain sentence, with its main figure and interval.
    tables, figures
        What it rests on.
    not_to_conclude
        What a reader might wrongly take from it, in a sentence or two.
    scores
        Scores of edited images, from `untouched.rescored`, so that another audit can be compared image by image; None
        where there are none.
    stopped
        Whether the audit ended without an answer; ``finding`` then says why, which may name a file.
    """

    name: str
    title: str
    question: str
    design: str
    passed: bool | None
    finding: str
    tables: tuple[AuditTable, ...]
    figures: tuple[AuditFigure, ...]
    not_to_conclude: str
    scores: pd.DataFrame | None = None
    stopped: bool = False

    def content(self) -> dict[str, Any]:
        """Plain values for JSON; of the figures only titles and descriptions."""
        return {
            "name": self.name,
            "title": self.title,
            "question": self.question,
            "design": self.design,
            "passed": self.passed,
            "finding": self.finding,
            "stopped": self.stopped,
            "tables": [table.content() for table in self.tables],
            "figures": [{"title": figure.title, "alt": figure.alt} for figure in self.figures],
            "not_to_conclude": self.not_to_conclude,
        }


@dataclass(frozen=True, eq=False)
class AuditData:
    """What every audit is given.

    Parameters
    ----------
    system
        What is audited, loaded.
    bundle
        Its folder and card.
    manifest
        The images.
    splits
        By protocol, in the order of the system's decisions; each is answered by another one.
    chosen
        Image ids by protocol and part, sorted: the whole part, or a sample of it where a limit was set.
    read
        From a file to a radiograph.
    seed, replicates
        Of every draw, and of the bootstrap.
    advance
        Called with a few words before each longer step, for the progress display.
    cache
        Folder that outlives the run, for what is slow to make; None: nothing is kept.
    """

    system: System
    bundle: Bundle
    manifest: Manifest
    splits: Mapping[str, Split]
    chosen: Mapping[tuple[str, Part], tuple[str, ...]]
    read: Callable[[Path], Radiograph]
    seed: int
    replicates: int
    advance: Callable[[str], None]
    cache: Path | None = None

    def images(self, protocol: str, part: Part = "test") -> tuple[str, ...]:
        """Image ids to use of one part of a protocol's split."""
        return self.chosen[protocol, part]

    def decision(self, protocol: str) -> Decision:
        """The system's decision that answers a protocol."""
        return decision_for(self.bundle.card.system, protocol)

    def radiograph(self, image_id: str) -> Radiograph:
        """Read one image."""
        return self.read(self.manifest.image_file(image_id))


def plain(value: Any) -> Any:
    """Give a value as JSON can hold it: dataclasses and mappings as dicts, what is not finite as None."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return plain(dataclasses.asdict(value))
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "item"):
        return plain(value.item())
    return None if isinstance(value, float) and not math.isfinite(value) else value
