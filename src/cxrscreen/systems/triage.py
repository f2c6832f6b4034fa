"""From a screening to a suggestion for the order of work, after the triage workflow of Oh et al. 2020 (Fig. 9)."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Final, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from cxrscreen.errors import CxrscreenError
from cxrscreen.systems.contract import Finding, Screening, Stage

Action = Literal["pcr_or_ct_first", "treat_as_bacterial", "tb_work_up", "routine", "cannot_say"]
NO_CLASSES: Final = "none"
"""In ``leading``: the system gives no probability to the classes of the policy."""

GATING: Final = "pneumonia"
"""The decision behind which the others are asked only if it is positive."""

Share = Annotated[float, Field(ge=0.0, le=1.0)]


class TriageError(CxrscreenError):
    """A triage policy that is missing, malformed or impossible."""


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Rule(_Settings):
    """When a suggestion is made; every condition that is given must hold.

    Attributes
    ----------
    suggestion
        What is suggested.
    findings
        The screening's finding is one of these.
    leading
        The class with the largest score (or, without scores, probability) is one of these; ``none`` stands for a system
        without such classes.
    positive, negative
        These decisions were asked and reach, or do not reach, their operating point.
    at_least, below
        Bounds of a decision's probability, by its name; a decision that was not asked meets none.
    """

    suggestion: Action
    findings: tuple[Finding, ...] = ()
    leading: tuple[str, ...] = ()
    positive: tuple[str, ...] = ()
    negative: tuple[str, ...] = ()
    at_least: Mapping[str, Share] = {}
    below: Mapping[str, Share] = {}

    @model_validator(mode="after")
    def _has_a_condition(self) -> Self:
        conditions = (self.findings, self.leading, self.positive, self.negative, self.at_least, self.below)
        if not any(conditions):
            raise ValueError("a rule needs a condition")
        return self


class TriagePolicy(_Settings):
    """What is suggested for which result.

    Attributes
    ----------
    name
        Shown with every suggestion.
    rules
        The first that fits counts; where none fits, nothing is suggested (``cannot_say``).
    near_threshold
        A probability closer than this to its operating point is uncertain; decisions behind a negative one on pneumonia
        do not count.
    classes
        Decisions that compete for one place, where a system has them.
    least_lead
        By how much the largest class score must exceed the next one, normal among them; of a system without class
        scores, the largest probability of ``classes`` where the finding is not normal.
    limited_quality
        What a limited quality makes of any suggestion.
    """

    name: str = Field(min_length=1)
    rules: tuple[Rule, ...] = Field(min_length=1)
    near_threshold: Share = 0.05
    classes: tuple[str, ...] = ()
    least_lead: Share = 0.10
    limited_quality: Literal["cannot_say", "keep"] = "cannot_say"

    @model_validator(mode="after")
    def _knows_its_classes(self) -> Self:
        for rule in self.rules:
            for name in rule.leading:
                if name != NO_CLASSES and name not in self.classes:
                    raise ValueError(f"leading names {name}, which is not among the classes")
        return self


@dataclass(frozen=True)
class Suggestion:
    """What is suggested for one radiograph: an order of work, never a treatment.

    Parameters
    ----------
    action
        ``"pcr_or_ct_first"``, ``"treat_as_bacterial"``, ``"tb_work_up"``, ``"routine"`` or ``"cannot_say"``.
    reason
        Why, in one sentence.
    policy
        Name of the policy.
    """

    action: Action
    reason: str
    policy: str


def suggest(screening: Screening, policy: TriagePolicy | None = None) -> Suggestion:
    """Turn a result into a suggestion for the order of work.

    Parameters
    ----------
    screening
        Of any system.
    policy
        None: the package's.

    Returns
    -------
    Suggestion
        ``"cannot_say"`` where the radiograph was refused, its refusal overridden, its quality limited (as the policy
        says), a deciding probability is close, or no rule fits: a person reads it.
    """
    chosen = policy or default_policy()
    doubt = _doubt(screening, chosen)
    if doubt:
        return Suggestion("cannot_say", doubt, chosen.name)
    for rule in chosen.rules:
        if _fits(rule, screening, chosen):
            return Suggestion(rule.suggestion, _reason(screening, chosen), chosen.name)
    unknown = ": its cause is not told apart" if screening.finding == "other_pneumonia" else ""
    reason = f"No rule of the policy fits {_words(screening, chosen)}{unknown}."
    return Suggestion("cannot_say", reason, chosen.name)


def load_policy(path: Path) -> TriagePolicy:
    """Read a policy from YAML; see ``systems/triage.yaml`` in the package for an example.

    Raises
    ------
    TriageError
        If the file cannot be read, is no mapping, or a setting is unknown, missing or out of range.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TriageError(f"The triage policy {path.name} cannot be read: give a YAML file in UTF-8.") from error
    return parse_policy(text, path.name)


def parse_policy(text: str, name: str) -> TriagePolicy:
    """Make a policy of YAML text; ``name`` stands for it in messages. Errors as for `load_policy`."""
    try:
        content = yaml.safe_load(text)
    # PyYAML lets an impossible date through as a plain ValueError.
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise TriageError(f"The triage policy {name} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise TriageError(f"The triage policy {name} is not a mapping of settings: it needs a name and rules.")
    try:
        return TriagePolicy.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the whole"
        raise TriageError(f"The triage policy {name} is wrong at {place}: {first['msg']}; correct it there.") from error


@lru_cache(maxsize=1)
def default_policy() -> TriagePolicy:
    """Give the package's policy."""
    resource = files("cxrscreen.systems").joinpath("triage.yaml")
    return parse_policy(resource.read_text(encoding="utf-8"), "triage.yaml")


def _doubt(screening: Screening, policy: TriagePolicy) -> str:
    if screening.status == "refused":
        return "The gate refused this image, so there is no result to go by."
    if screening.verdict.overridden:
        return "The gate refused this image and was overridden, so its result is not to be relied on."
    if screening.quality == "limited" and policy.limited_quality == "cannot_say":
        return "The quality is limited: a warning touches the trust in the result."
    for stage in _deciding(screening, policy):
        if stage.probability is not None and abs(stage.probability - stage.threshold) < policy.near_threshold:
            return (
                f"The probability of the decision “{stage.name}” lies within {policy.near_threshold:.2f} of its "
                "operating point, so it could easily be the other one."
            )
    rivals = _rivals(screening, policy)
    if len(rivals) > 1 and rivals[0][1] - rivals[1][1] < policy.least_lead:
        return (
            f"The classes “{rivals[0][0]}” and “{rivals[1][0]}” are less than {policy.least_lead:.2f} apart, so it "
            "could easily be the other one."
        )
    return ""


def _deciding(screening: Screening, policy: TriagePolicy) -> tuple[Stage, ...]:
    """The decisions that made the finding, but for classes, which compete by their lead.

    Where pneumonia was denied, COVID-19 against other pneumonia is no question. Other decisions stand side by side.
    """
    stages = tuple(stage for stage in screening.stages if stage.name not in policy.classes)
    return stages[:1] if stages and stages[0].name == GATING and not stages[0].positive else stages


def _rivals(screening: Screening, policy: TriagePolicy) -> list[tuple[str, float]]:
    """What competed for the finding, the largest first: all class scores, or the diseases where one was found."""
    if screening.classes:
        return sorted(screening.classes.items(), key=lambda item: -item[1])
    return [] if screening.finding == "normal" else _ranked(screening, policy)


def _ranked(screening: Screening, policy: TriagePolicy) -> list[tuple[str, float]]:
    # Where classes compete, their scores made the finding; the decisions' probabilities are each of its own.
    found: Mapping[str, float | None] = screening.classes or screening.probabilities
    known = [(name, value) for name in policy.classes if (value := found.get(name)) is not None]
    return sorted(known, key=lambda item: -item[1])


def _fits(rule: Rule, screening: Screening, policy: TriagePolicy) -> bool:
    stages = {stage.name: stage for stage in screening.stages}
    ranked = _ranked(screening, policy)
    leading = ranked[0][0] if ranked else NO_CLASSES
    found = screening.probabilities
    return (
        (not rule.findings or screening.finding in rule.findings)
        and (not rule.leading or leading in rule.leading)
        and all(name in stages and stages[name].positive is True for name in rule.positive)
        and all(name in stages and stages[name].positive is False for name in rule.negative)
        and all((value := found.get(name)) is not None and value >= bound for name, bound in rule.at_least.items())
        and all((value := found.get(name)) is not None and value < bound for name, bound in rule.below.items())
    )


def _reason(screening: Screening, policy: TriagePolicy) -> str:
    return f"The system called {_words(screening, policy)}."


_WORDS: Final = {
    "covid19": "COVID-19",
    "other_pneumonia": "other pneumonia",
    "viral": "viral pneumonia or COVID-19",
    "bacterial": "bacterial pneumonia",
}


def _words(screening: Screening, policy: TriagePolicy) -> str:
    finding = _WORDS.get(str(screening.finding), str(screening.finding))
    ranked = _ranked(screening, policy)
    if screening.finding == "normal" or not ranked or ranked[0][0] == screening.finding:
        return f"“{finding}”"
    return f"“{finding}”, with “{ranked[0][0]}” as its most probable class"
