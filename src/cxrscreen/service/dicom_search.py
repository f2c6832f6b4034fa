"""The search through the catalogue of instances: matching as of C-FIND, by study, series or instance."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword
from sqlalchemy import ColumnElement, SQLColumnExpression, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from cxrscreen.service.problems import ServiceError
from cxrscreen.service.store.exchange import Instance

Level = Literal["study", "series", "instance"]
LARGEST_PAGE: Final = 1000
PAGE: Final = 100
_Condition = Callable[[str], ColumnElement[bool]]


@dataclass(frozen=True)
class Query:
    """What is looked for.

    Parameters
    ----------
    matches
        Value by keyword; of the keywords in :data:`KEYS`.
    included
        Keywords whose attributes are wanted besides the usual ones; ``"all"``: whatever is there.
    limit, offset
        Which part of the list.
    """

    matches: Mapping[str, str]
    included: frozenset[str] = frozenset()
    limit: int = PAGE
    offset: int = 0


@dataclass(frozen=True, eq=False)
class Found:
    """One line of an answer.

    Parameters
    ----------
    instance
        The instance, or one of the study or series, which shares its attributes with the others.
    instances, series
        How many the study or series has.
    modalities
        Of the study.
    """

    instance: Instance
    instances: int = 1
    series: int = 1
    modalities: tuple[str, ...] = ()


def parse_query(parameters: Sequence[tuple[str, str]]) -> tuple[Query, bool]:
    """Read the parameters of a search (DICOM PS3.18 section 8.3.4).

    Parameters
    ----------
    parameters
        Names and values; attributes by keyword or as eight hexadecimal digits.

    Returns
    -------
    query, fuzzy
        What is looked for, and whether fuzzy matching of names was asked for.

    Raises
    ------
    ServiceError
        If a parameter is unknown, or no attribute that can be matched: leaving it out would find too much.
    """
    matches: dict[str, str] = {}
    included: set[str] = set()
    numbers = {"limit": PAGE, "offset": 0}
    fuzzy = False
    for name, value in parameters:
        if name in numbers:
            if not re.fullmatch(r"[0-9]{1,9}", value):
                raise ServiceError(f"The parameter {name} is no number; write it in digits.")
            numbers[name] = int(value)
        elif name == "fuzzymatching":
            fuzzy = value.lower() == "true"
        elif name == "includefield":
            included |= {"all" if one == "all" else _keyword(one) for one in re.split("[,]", value) if one}
        else:
            keyword = _keyword(name)
            if keyword not in KEYS:
                raise ServiceError(f"Searches by {keyword} are not answered; see the conformance statement.")
            matches[keyword] = value
    return Query(matches, frozenset(included), min(numbers["limit"], LARGEST_PAGE), numbers["offset"]), fuzzy


def find(session: Session, level: Level, query: Query) -> tuple[list[Found], bool]:
    """Search.

    Parameters
    ----------
    session
        One that reads.
    level
        What each line of the answer is.
    query
        What is looked for. A study matches where one of its instances does.

    Returns
    -------
    found, more
        Studies latest first, series and instances by their numbers; whether there are more than the limit.
    """
    conditions = [KEYS[keyword](value) for keyword, value in query.matches.items() if value not in ("", "*")]
    if level == "instance":
        order = (Instance.study_instance_uid, Instance.series_number, Instance.instance_number, Instance.id)
        chosen = select(Instance).where(*conditions).order_by(*order)
        rows = session.scalars(chosen.limit(query.limit + 1).offset(query.offset)).all()
        return [Found(row) for row in rows[: query.limit]], len(rows) > query.limit
    grouped = Instance.study_instance_uid if level == "study" else Instance.series_instance_uid
    order_by: tuple[SQLColumnExpression[object], ...] = (func.max(Instance.study_date).desc().nulls_last(), grouped)
    if level == "series":
        order_by = (Instance.study_instance_uid, func.min(Instance.series_number), grouped)
    groups = (grouped,) if level == "study" else (grouped, Instance.study_instance_uid)
    wanted = select(grouped).where(*conditions).group_by(*groups).order_by(*order_by)
    uids = session.scalars(wanted.limit(query.limit + 1).offset(query.offset)).all()
    lines = _described(session, grouped, uids[: query.limit])
    return lines, len(uids) > query.limit


def _described(session: Session, grouped: InstrumentedAttribute[str], uids: Sequence[str]) -> list[Found]:
    counted = {
        row[0]: row[1:]
        for row in session.execute(
            select(
                grouped,
                func.min(Instance.id).label("any"),
                func.count(),
                func.count(Instance.series_instance_uid.distinct()),
            )
            .where(grouped.in_(uids))
            .group_by(grouped)
        )
    }
    # Of a study with a received image that one speaks: what was made of it has the same patient and study.
    received = select(grouped, func.min(Instance.id)).where(grouped.in_(uids), Instance.result_id.is_(None))
    speaking = {uid: row[0] for uid, row in counted.items()} | {
        row[0]: row[1] for row in session.execute(received.group_by(grouped))
    }
    rows = {row.id: row for row in session.scalars(select(Instance).where(Instance.id.in_(speaking.values())))}
    modalities: dict[str, set[str]] = {uid: set() for uid in uids}
    for uid, modality in session.execute(select(grouped, Instance.modality).where(grouped.in_(uids)).distinct()):
        if modality:
            modalities[uid].add(modality)
    return [
        Found(rows[speaking[uid]], counted[uid][1], counted[uid][2], tuple(sorted(modalities[uid])))
        for uid in uids
        if uid in counted
    ]


def _keyword(name: str) -> str:
    """Return an attribute's keyword; one of a sequence is named by its own last part."""
    if re.fullmatch(r"[0-9A-Fa-f]{8}", name):
        keyword = keyword_for_tag(int(name, 16))
        if keyword:
            return keyword
    elif tag_for_keyword(name) is not None and dictionary_VR(name):
        return name
    raise ServiceError(f"{name[:64]!r} is no attribute of DICOM; write its keyword or its tag as eight digits.")


def _text(column: InstrumentedAttribute[str | None], *, any_case: bool = False) -> _Condition:
    """Match a single value, with * and ? where they are in it."""

    def condition(value: str) -> ColumnElement[bool]:
        left = func.lower(column) if any_case else column
        wanted = value.lower() if any_case else value
        if not re.search(r"[*?]", wanted):
            return left == wanted
        pattern = re.sub(r"([%_~])", r"~\1", wanted).replace("*", "%").replace("?", "_")
        return left.like(pattern, escape="~")

    return condition


def _uids(column: InstrumentedAttribute[str]) -> _Condition:
    def condition(value: str) -> ColumnElement[bool]:
        return column.in_([uid.strip() for uid in re.split(r"[,\\]", value)])

    return condition


def _span(column: InstrumentedAttribute[str | None], name: str, digits: int) -> _Condition:
    """Match a day or time, or a span of them: ``20200101-20200131``, open on either side."""

    def condition(value: str) -> ColumnElement[bool]:
        plain = value if digits == 8 else re.sub(r":|\.[0-9]*", "", value)
        first, dash, last = plain.partition("-")
        side_is = r"([0-9]{8})?" if digits == 8 else rf"[0-9]{{0,{digits}}}"
        if not all(re.fullmatch(side_is, side) for side in (first, last)) or not (first or last):
            raise ServiceError(f"{name} is no day, time or span of them; write for example 20200301-20200331.")
        if not dash:
            return column.startswith(first) if digits == 6 else column == first
        within = [column >= first] if first else []
        # A shorter time stands for all that begin with it.
        within += [column <= last.ljust(digits, "9")] if last else []
        return within[0] if len(within) == 1 else within[0] & within[1]

    return condition


def _number(column: InstrumentedAttribute[int | None], name: str) -> _Condition:
    def condition(value: str) -> ColumnElement[bool]:
        if not re.fullmatch(r"[+-]?[0-9]{1,9}", value):
            raise ServiceError(f"{name} is no number; write it in digits.")
        return column == int(value)

    return condition


def _modalities(value: str) -> ColumnElement[bool]:
    # Of any instance of the study, not of the one that matches the rest.
    wanted = [modality.strip() for modality in re.split(r"[,\\]", value)]
    return Instance.study_instance_uid.in_(select(Instance.study_instance_uid).where(Instance.modality.in_(wanted)))


KEYS: Final[Mapping[str, _Condition]] = {
    "StudyInstanceUID": _uids(Instance.study_instance_uid),
    "StudyDate": _span(Instance.study_date, "StudyDate", 8),
    "StudyTime": _span(Instance.study_time, "StudyTime", 6),
    "AccessionNumber": _text(Instance.accession_number),
    "ModalitiesInStudy": _modalities,
    "ReferringPhysicianName": _text(Instance.referring_physician, any_case=True),
    "PatientName": _text(Instance.patient_name, any_case=True),
    "PatientID": _text(Instance.patient_id),
    "StudyID": _text(Instance.study_id),
    "SeriesInstanceUID": _uids(Instance.series_instance_uid),
    "Modality": _text(Instance.modality),
    "SeriesNumber": _number(Instance.series_number, "SeriesNumber"),
    "SOPInstanceUID": _uids(Instance.sop_instance_uid),
    "SOPClassUID": _uids(Instance.sop_class_uid),
    "InstanceNumber": _number(Instance.instance_number, "InstanceNumber"),
}
"""Attributes that are matched."""
