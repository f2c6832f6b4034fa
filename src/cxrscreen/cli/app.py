"""The ``cxrscreen`` command."""

import logging
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from typer.core import TyperGroup

from cxrscreen import RESEARCH_USE, __version__
from cxrscreen.cli.adapt import adapt
from cxrscreen.cli.audit import audit
from cxrscreen.cli.audit_log import audit_log
from cxrscreen.cli.biomarkers import biomarkers
from cxrscreen.cli.card import card
from cxrscreen.cli.compare_audits import compare_audits
from cxrscreen.cli.database import database
from cxrscreen.cli.dicom import dicom
from cxrscreen.cli.doctor import doctor
from cxrscreen.cli.early_detection import early_detection
from cxrscreen.cli.enhance import enhance
from cxrscreen.cli.evaluate import evaluate
from cxrscreen.cli.explain import explain
from cxrscreen.cli.export import export, import_check
from cxrscreen.cli.label_by_tests import label_by_tests
from cxrscreen.cli.learning_curves import learning_curves
from cxrscreen.cli.learning_rate import learning_rate
from cxrscreen.cli.metrics import metrics
from cxrscreen.cli.patch_voting import patch_voting
from cxrscreen.cli.phantoms import phantoms
from cxrscreen.cli.records import records
from cxrscreen.cli.reproduce import reproduce
from cxrscreen.cli.screen import screen
from cxrscreen.cli.serve import serve, work
from cxrscreen.cli.sources import sources
from cxrscreen.cli.train import train
from cxrscreen.cli.users import tokens, users
from cxrscreen.errors import CxrscreenError


class OneSentence(TyperGroup):
    """Commands whose expected errors are one sentence on stderr and exit code 2, never a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except CxrscreenError as error:
            Console(stderr=True).print(f"[red]{escape(str(error))}[/red]", soft_wrap=True, highlight=False)
            raise typer.Exit(2) from None


app = typer.Typer(
    name="cxrscreen",
    cls=OneSentence,
    help="Chest X-ray screening: lungs, pneumonia, COVID-19, and the maps that explain them.",
    epilog=RESEARCH_USE,
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)
for _command in (screen, doctor, phantoms, train, adapt, evaluate, early_detection, audit, metrics, card, reproduce):
    app.command(epilog=RESEARCH_USE)(_command)
app.command(epilog=RESEARCH_USE)(compare_audits)
app.command(epilog=RESEARCH_USE)(biomarkers)
app.command(epilog=RESEARCH_USE)(patch_voting)
app.command(epilog=RESEARCH_USE)(enhance)
app.command(epilog=RESEARCH_USE)(explain)
app.command(epilog=RESEARCH_USE)(learning_rate)
app.command(epilog=RESEARCH_USE)(learning_curves)
app.command(epilog=RESEARCH_USE)(serve)
app.command(epilog=RESEARCH_USE)(work)
app.command(epilog=RESEARCH_USE)(export)
app.command(epilog=RESEARCH_USE)(import_check)
app.add_typer(database)
app.add_typer(users)
app.add_typer(tokens)
app.add_typer(audit_log)
app.add_typer(dicom)
app.add_typer(records)
app.command(epilog=RESEARCH_USE)(label_by_tests)
app.add_typer(sources)


def main() -> None:
    """Run the command line; an interrupt ends it with exit code 130."""
    app()


def _show_version(asked: bool) -> None:
    if asked:
        Console().print(f"cxrscreen {__version__}", highlight=False)
        raise typer.Exit


@app.callback()
def _settings(
    debug: Annotated[bool, typer.Option("--debug", help="Log every step and the place of every fault.")] = False,
    _version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    from rich.logging import RichHandler  # noqa: PLC0415 - needed by few commands, and slow to import

    if debug:
        handler = RichHandler(console=Console(stderr=True), show_path=False)
        logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[handler])
        logging.getLogger("cxrscreen").setLevel(logging.DEBUG)
