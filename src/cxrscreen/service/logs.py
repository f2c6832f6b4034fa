"""The log: one JSON object a line, without names, identifiers of patients or what a request held."""

import logging
import traceback
from collections.abc import Sequence
from typing import Literal

import structlog
from structlog.typing import Processor


def set_up_logs(level: str, form: Literal["json", "text"]) -> None:
    """Send every log of the process to stderr in one form.

    Parameters
    ----------
    level
        ``"debug"``, ``"info"``, ``"warning"`` or ``"error"``.
    form
        ``"json"`` for machines, ``"text"`` for people.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: Processor = (
        structlog.processors.JSONRenderer() if form == "json" else structlog.dev.ConsoleRenderer(colors=False)
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # Its lines hold addresses with query strings; our own line of each request holds the route's template.
    logging.getLogger("uvicorn.access").disabled = True
    logging.getLogger("alembic").setLevel("WARNING")
    logging.getLogger("uvicorn.error").setLevel("WARNING" if level != "debug" else "DEBUG")


def places_of(error: BaseException, *, at_most: int = 4) -> Sequence[str]:
    """Say where an error was raised, innermost last, without its text, which may hold what a file or request held."""
    frames = traceback.extract_tb(error.__traceback__)[-at_most:]
    return [f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno} {frame.name}" for frame in frames]
