"""One line of ``screenings.jsonl``: what is kept of every file, screened, refused or failed."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cxrscreen.imaging.radiograph import Radiograph
from cxrscreen.systems.contract import Finding, Quality, Screening, Status, Verdict
from cxrscreen.systems.triage import Suggestion, TriagePolicy, suggest

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Seconds = Annotated[float, Field(ge=0.0)]


class ScreeningRecord(BaseModel):
    """The result for one file; its JSON schema is ``ScreeningRecord.model_json_schema()``.

    A file that the gate refused has the same keys: ``verdict`` holds the reasons, and probabilities, finding and triage
    score are null. So has a failed one: ``error`` holds the reason, ``warnings`` is empty, ``bundle`` names the model
    that was asked, and every other result is null.

    Raises
    ------
    pydantic.ValidationError
        If a value is out of range, or results and error contradict the status.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    file: str = Field(description="The path as it was given; bytes that are no text are written as \\xNN.")
    status: Status
    error: str | None = Field(description="Why the file failed, one sentence; null where it was screened or refused.")
    verdict: Verdict | None = Field(
        description="The gate's judgement: its policy, its concerns by code, and whether a refusal was overridden."
    )
    quality: Quality | None = Field(description="'limited' where a warning touches the trust in the result.")
    probabilities: dict[str, Share | None] | None = Field(
        description="By decision ('pneumonia', 'covid19', 'viral' ...); null where an earlier one made it needless."
    )
    finding: Finding | None = Field(
        description="'viral' includes COVID-19, which such a system does not tell from other viruses."
    )
    triage_score: Share | None = Field(description="Larger is read first.")
    triage: Suggestion | None = Field(
        description="A suggestion for the order of work, no treatment advice; 'cannot_say' where a person has to read."
    )
    lung_area_fraction: Share | None = Field(description="Share of the image covered by lung.")
    warnings: tuple[str, ...]
    bundle: str = Field(description="name@version of the model bundle.")
    seconds: Seconds | None = Field(description="Time spent on this file: reading, screening and writing.")
    timings: dict[str, Seconds] | None = Field(description="The same time by step.")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        answers = (self.probabilities, self.finding, self.triage_score)
        rest = (self.verdict, self.quality, self.triage, self.lung_area_fraction, self.seconds, self.timings)
        if self.status == "failed":
            if not self.error or any(value is not None for value in (*answers, *rest)):
                raise ValueError("a failed file has an error and no result")
            return self
        if self.error is not None or any(value is None for value in rest):
            raise ValueError("a file that did not fail has a verdict, measurements, times and no error")
        if self.verdict is not None and self.verdict.refused != (self.status == "refused"):
            raise ValueError("the status and the verdict contradict each other")
        if self.status == "refused" and any(value is not None for value in answers):
            raise ValueError("a refused file has no probability, finding or score")
        if self.status == "refused" and self.triage is not None and self.triage.action != "cannot_say":
            raise ValueError("nothing is suggested for a refused file")
        if self.status == "screened" and any(value is None for value in answers):
            raise ValueError("a screened file has every result")
        return self

    @classmethod
    def screened(
        cls,
        path: Path,
        radiograph: Radiograph,
        screening: Screening,
        *,
        read_seconds: float,
        write_seconds: float,
        policy: TriagePolicy | None = None,
    ) -> Self:
        """Make the record of a file that was screened, or refused by the gate.

        Parameters
        ----------
        path
            The file as it was given.
        radiograph, screening
            What was read and what was found; the warnings of both are kept, each once.
        read_seconds, write_seconds
            Time spent before and after the screening.
        policy
            Makes the suggestion; None: the package's.
        """
        steps = {name: value for name, value in screening.seconds.items() if name != "total"}
        screen_seconds = screening.seconds.get("total", sum(steps.values()))
        timings = {"read": read_seconds, **steps, "write": write_seconds}
        return cls(
            file=as_text(path),
            status=screening.status,
            error=None,
            verdict=screening.verdict,
            quality=screening.quality,
            probabilities=None if screening.status == "refused" else dict(screening.probabilities),
            finding=screening.finding,
            triage_score=screening.triage_score,
            triage=suggest(screening, policy),
            lung_area_fraction=screening.lung_area_fraction,
            warnings=all_warnings(radiograph, screening),
            bundle=screening.bundle,
            seconds=round(read_seconds + screen_seconds + write_seconds, 4),
            timings=_rounded(timings),
        )

    @classmethod
    def failed(cls, path: Path, error: str, bundle: str) -> Self:
        """Make the record of a file that could not be screened, with the reason in one sentence."""
        return cls(
            file=as_text(path),
            status="failed",
            error=as_text(error),
            verdict=None,
            quality=None,
            probabilities=None,
            finding=None,
            triage_score=None,
            triage=None,
            lung_area_fraction=None,
            warnings=(),
            bundle=bundle,
            seconds=None,
            timings=None,
        )

    def line(self) -> str:
        """Return the record as one line of JSON, ASCII only, without the line end."""
        return json.dumps(self.model_dump(mode="json"))

    @classmethod
    def from_line(cls, line: str) -> Self:
        """Read a line that :meth:`line` wrote."""
        return cls.model_validate_json(line)


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of one line of ``screenings.jsonl``."""
    return ScreeningRecord.model_json_schema()


def all_warnings(radiograph: Radiograph, screening: Screening) -> tuple[str, ...]:
    """Return the warnings of the reader and of the system, in this order, each once."""
    return tuple(dict.fromkeys((*radiograph.warnings, *screening.warnings)))


def as_text(path: Path | str) -> str:
    r"""Return a path, or a sentence with one, as valid Unicode; bytes of names that are no UTF-8 become ``\xNN``."""
    try:
        return str(path).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:
        return str(path).encode("utf-8", "backslashreplace").decode("utf-8")


def _rounded(timings: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in timings.items()}
