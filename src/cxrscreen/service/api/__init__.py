"""The routes, a file a subject; each declares the role that it needs."""

from typing import Final

PREFIX: Final = "/api/v1"
