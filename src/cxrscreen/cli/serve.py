"""``cxrscreen serve`` and ``cxrscreen work``: the screening server, and a worker of its own."""
# ruff: noqa: PLC0415 - imported on use, so that --help is quick

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from cxrscreen.errors import CxrscreenError

if TYPE_CHECKING:
    from cxrscreen.service.settings import Settings

_NEEDED = (
    "alembic",
    "argon2",
    "authlib",
    "dicomanonymizer",
    "fastapi",
    "fhir",
    "highdicom",
    "httpx2",
    "prometheus_client",
    "pydantic_settings",
    "pynetdicom",
    "python_multipart",
    "sqlalchemy",
    "zxcvbn",
)

Config = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", metavar="FILE", help="YAML or TOML file; the environment (CXRSCREEN_...) outranks it."
    ),
]
Folder = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Where images and results are kept. Default: cxrscreen-data.")
]


def serve(
    config: Config = None,
    folder: Folder = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on. Default: 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(help="Default: 8080.", min=0, max=65535)] = None,
    workers: Annotated[int | None, typer.Option(help="Worker processes; 0: none here. Default: 1.", min=0)] = None,
) -> None:
    """Run the screening server: accepts images by HTTP, screens them one after another, and keeps the results.

    Without further settings it listens to this machine alone, keeps everything in one folder (SQLite) and screens with
    the shipped cascade; a token for the API is drawn and shown once. PostgreSQL, more workers, other systems, limits
    and retention are settings. Ctrl-C or SIGTERM ends it after the requests and images in hand.
    """
    settings = settings_for(config, folder=folder, host=host, port=port, workers=workers)
    from cxrscreen import RESEARCH_USE
    from cxrscreen.service.run import serve as run
    from cxrscreen.service.run import with_token

    console = Console(stderr=True, highlight=False)
    settings, drawn = with_token(settings)

    def started(port: int) -> None:
        console.print(
            f"cxrscreen serves http://{settings.host}:{port} (Ctrl-C ends it). {RESEARCH_USE}", soft_wrap=True
        )
        if drawn is not None:
            console.print(
                f"Token for this run, shown once: {drawn}\nSend it as 'Authorization: Bearer ...'; set "
                "CXRSCREEN_API_TOKEN to choose one that stays.",
                soft_wrap=True,
            )

    run(settings, started=started)


def work(config: Config = None, folder: Folder = None) -> None:
    """Run one more worker, for a server whose folder and database this machine shares.

    Ctrl-C or SIGTERM ends it after the image in hand.
    """
    settings = settings_for(config, folder=folder)
    from cxrscreen.service.worker import run_worker

    run_worker(settings)


def settings_for(config: Path | None, **given: object) -> "Settings":
    """Put the server's settings together, or say which libraries are missing."""
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise CxrscreenError(
            "The server's libraries are not installed; install them with pip install 'cxrscreen[service]'."
        )
    from cxrscreen.service.settings import load_settings

    return load_settings(config, **given)
