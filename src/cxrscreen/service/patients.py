"""Whom an image shows: the person of its number, where nothing else that is said of them contradicts."""

import unicodedata
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from cxrscreen.service.header import Person
from cxrscreen.service.store.columns import new_id
from cxrscreen.service.store.models import Patient

Likeness = tuple[int, bool]
"""How many of name and birth date both say and agree on, and whether all is the same, said or not."""


def patient_of(session: Session, person: Person, now: datetime, *, vouched: bool = False) -> Patient:
    """Give the patient whom a sender names: a known one, or a new one.

    A number alone does not make a person: devices send placeholders such as ``0``, and two sites may give one number.
    A known patient of the number is taken where name, birth date and sex do not contradict and one of name and birth
    date agrees, or where all three are the same, said or not. Where two are equally like, it is neither.

    Parameters
    ----------
    session
        One that writes.
    person
        Whom the sender names.
    now
        The moment.
    vouched
        Whether somebody wrote the number for this image by hand: it is then enough where it stands for one patient.

    Returns
    -------
    Patient
        With what was not known of them before.
    """
    # Locked until the transaction ends: what somebody else adds to one of them may contradict this person.
    bearers = session.scalars(
        select(Patient)
        .where(Patient.reference == person.reference, Patient.issuer == person.issuer)
        .order_by(Patient.bearer)
        .with_for_update()
    ).all()
    stands_for_one = vouched and len(bearers) == 1
    alike = {bearer: found for bearer in bearers if (found := _likeness(bearer, person, vouched=stands_for_one))}
    best = [bearer for bearer, likeness in alike.items() if likeness == max(alike.values())]
    if len(best) == 1:
        (known,) = best
        known.name = known.name or person.name
        known.birth_date = known.birth_date or person.birth_date
        known.sex = known.sex or person.sex
        return known
    patient = Patient(
        id=new_id(),
        reference=person.reference,
        issuer=person.issuer,
        bearer=max((bearer.bearer for bearer in bearers), default=0) + 1,
        name=person.name,
        birth_date=person.birth_date,
        sex=person.sex,
        created_at=now,
    )
    session.add(patient)
    session.flush()
    return patient


def contradicts(person: Person, known: Patient | None) -> bool:
    """Tell whether a further image of a study names somebody else than the study's patient.

    The study's own identifier vouches for what the image leaves out, not for what it says: a name where the study has
    none is a contradiction too, for it would put a name to the images that have none.
    """
    if known is None or known.reference != person.reference:
        return True
    if known.issuer and person.issuer and known.issuer != person.issuer:
        return True
    return _likeness(known, person, vouched=True) is None


def _likeness(known: Patient, person: Person, *, vouched: bool) -> Likeness | None:
    """Compare what is said of two people of one number; None where they must be taken for two."""
    names = _names(known.name, known.reference), _names(person.name, person.reference)
    births = known.birth_date, person.birth_date
    # Devices write O where nobody said, so that it contradicts nothing.
    sexes = known.sex if known.sex != "O" else None, person.sex if person.sex != "O" else None
    shared = next(((one, other) for one, other in zip(*names, strict=True) if one and other), None)
    agree = [
        None if shared is None else shared[0] == shared[1],
        None if None in births else births[0] == births[1],
        None if None in sexes else sexes[0] == sexes[1],
    ]
    if False in agree:
        return None
    same = names[0] == names[1] and births[0] == births[1] and sexes[0] == sexes[1]
    agreeing = sum(answer is True for answer in agree[:2])
    if agreeing or same or (vouched and not any(names[1])):
        return agreeing, same
    return None


def _names(name: str | None, reference: str) -> tuple[str, str, str]:
    """Return family, given and middle name as letters alone, in each of a DICOM name's three ways of writing.

    Case, spaces, punctuation, empty components and titles make no other person. A name that repeats the number says
    nothing: collections without names are written so.
    """
    groups = (name or "").split("=")[:3]
    found = [_letters("".join(group.split("^")[:3])) for group in groups]
    found = ["" if letters == _letters(reference) else letters for letters in found]
    one, two, three = (*found, "", "", "")[:3]
    return one, two, three


def _letters(text: str) -> str:
    plain = unicodedata.normalize("NFKC", text).casefold()
    return "".join(letter for letter in plain if unicodedata.category(letter)[0] not in "PZ")
