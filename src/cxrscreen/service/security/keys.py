"""Random keys, of which the database holds digests alone: who reads the database cannot use them."""

import hashlib
import hmac
import secrets
from typing import Final

_BYTES: Final = 32
TOKEN_PREFIX: Final = "cxs_"
"""Begins each token, so that scanners for leaked secrets, and people, know one when they see it."""


def draw_key() -> str:
    """Draw a key of 256 random bits, fit for a cookie or a header."""
    return secrets.token_urlsafe(_BYTES)


def digest_of(key: str) -> str:
    """Return the SHA-256 of a key, hexadecimal; a key this long needs no slower digest."""
    return hashlib.sha256(key.encode()).hexdigest()


def forgery_token(key: str) -> str:
    """Return the token against forged requests that belongs to a session's key.

    A page that shows it can be read by the service's own pages alone, and it does not give the key away: HMAC-SHA-256
    of a fixed text under the key, hexadecimal.
    """
    return hmac.new(key.encode(), b"cxrscreen: not forged", hashlib.sha256).hexdigest()
