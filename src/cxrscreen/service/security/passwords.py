"""Passwords: kept as Argon2id, and only those that are hard to guess."""

import base64
import secrets
import threading
import unicodedata
from collections.abc import Iterable
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.profiles import RFC_9106_LOW_MEMORY
from zxcvbn import zxcvbn

from cxrscreen.service.problems import ServiceError

SHORTEST: Final = 12
LONGEST: Final = 256
_HARD_ENOUGH: Final = 3
"""Of zxcvbn's 0 to 4: ten billion guesses and more."""
_JUDGED: Final = 72
"""Characters that zxcvbn looks at; more makes it slow."""
_hasher = PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY)
# Each takes 64 MiB: a crowd at the door waits instead of taking all memory.
_turn = threading.BoundedSemaphore(4)


class WeakPasswordError(ServiceError):
    """A password that is too short, too long or easily guessed."""


def check_password(password: str, known: Iterable[str] = ()) -> None:
    """See whether a password may be used.

    Parameters
    ----------
    password
        12 to 256 characters; what they are does not matter, only how hard it is to guess.
    known
        What others know of its owner, such as the account's name.

    Raises
    ------
    WeakPasswordError
        If it may not.
    """
    text = _normal(password)
    if not _is_text(text):
        raise WeakPasswordError("The password holds half a character, which nobody can type again; take another.")
    if len(text) < SHORTEST:
        raise WeakPasswordError(f"The password is too short; take {SHORTEST} characters or more.")
    if len(text) > LONGEST:
        raise WeakPasswordError(f"The password is too long; take {LONGEST} characters or fewer.")
    if zxcvbn(text[:_JUDGED], user_inputs=["cxrscreen", *known])["score"] < _HARD_ENOUGH:
        raise WeakPasswordError(
            "The password is common or easily guessed; take several words that do not belong together."
        )


def hash_password(password: str) -> str:
    """Return what is kept of a password: Argon2id with RFC 9106's parameters for little memory (64 MiB), in text."""
    with _turn:
        return _hasher.hash(_normal(password))


def password_fits(kept: str | None, password: str) -> bool:
    """Tell whether a password is the one that is kept; it takes as long where none is kept.

    Parameters
    ----------
    kept
        What :func:`hash_password` gave; None for an account that has no password, or does not exist.
    password
        As given; one that is too long, or no text, fits nothing.
    """
    text = _normal(password)
    if len(text) > LONGEST:
        text, kept = text[:LONGEST], None
    if not _is_text(text):
        text, kept = "", None
    with _turn:
        try:
            _hasher.verify(_nobodys() if kept is None else kept, text)
        except (VerificationError, InvalidHashError):
            return False
    return kept is not None


def is_outdated(kept: str) -> bool:
    """Tell whether a password was kept with other parameters than today's and should be hashed anew."""
    return _hasher.check_needs_rehash(kept)


def _normal(password: str) -> str:
    # The same characters typed on another keyboard may come as other code points.
    return unicodedata.normalize("NFKC", password)


def _is_text(text: str) -> bool:
    """Tell whether a text can be written in UTF-8: JSON can hold half of a pair of surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _nobodys() -> str:
    """Return what would be kept of a password that nobody knows: as much work to compare with as a real one."""
    salt, none = base64.b64encode(secrets.token_bytes(16)).decode().rstrip("="), "A" * 43
    return f"$argon2id$v=19$m={_hasher.memory_cost},t={_hasher.time_cost},p={_hasher.parallelism}${salt}${none}"
