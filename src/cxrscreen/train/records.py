"""Records of trainings, evaluations and audits in an MLflow store; by default an SQLite file in a folder."""

import json
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cxrscreen import __version__
from cxrscreen.errors import CxrscreenError
from cxrscreen.train.record_content import fit_name

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

Kind = Literal["training", "evaluation", "audit"]
Ending = Literal["FINISHED", "FAILED", "KILLED"]
EXPERIMENT = "cxrscreen"
DATABASE = "records.db"
CONTINUED = "record.json"
"""File in a work folder that says which record the next run of the same training goes on with."""
ENVIRONMENT = {
    # Nothing is told to anybody about the use of this software.
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    # A training does not wait long for a server that is away.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",
}
MOST = 100
"""Entries that a store takes at once."""


@contextmanager
def _answering() -> Iterator[None]:
    """Make of what a store refuses, or does not answer, a :class:`CxrscreenError`."""
    from mlflow.exceptions import MlflowException  # noqa: PLC0415

    try:
        yield
    except MlflowException as error:
        # Its own words may hold the address of the store, with a password.
        raise CxrscreenError(
            f"The record store refused or did not answer ({error.error_code}): check that it is there and may be "
            "written."
        ) from error


@dataclass(frozen=True)
class Store:
    """An open store: the client, and the experiment in which all records stand.

    All methods raise a :class:`CxrscreenError` where the store refuses or does not answer.
    """

    client: "MlflowClient"
    experiment: str

    @_answering()
    def runs(self, condition: str = "", most: int = 1000) -> "list[Run]":
        """Give recorded runs, latest first.

        Parameters
        ----------
        condition
            In MLflow's search language, for example ``tags.kind = 'training'``; empty: all.
        most
            How many at most.
        """
        return list(
            self.client.search_runs(
                [self.experiment], condition, max_results=most, order_by=["attributes.start_time DESC"]
            )
        )

    @_answering()
    def begin(self, name: str, tags: Mapping[str, str]) -> str:
        """Begin a run and give its id."""
        run = self.client.create_run(
            self.experiment, run_name=name, tags={"software": f"cxrscreen {__version__}", **tags}
        )
        return str(run.info.run_id)

    @_answering()
    def write(
        self,
        run: str,
        *,
        settings: Mapping[str, str] | None = None,
        figures: Mapping[str, float] | None = None,
        tags: Mapping[str, str] | None = None,
        step: int = 0,
    ) -> None:
        """Add settings, figures at a step, and tags to a run."""
        from mlflow.entities import Metric, Param, RunTag  # noqa: PLC0415 - an extra, and slow to import

        now = int(time.time() * 1000)
        params = [Param(name, value) for name, value in (settings or {}).items()]
        metrics = [Metric(fit_name(name), value, now, step) for name, value in (figures or {}).items()]
        labels = [RunTag(name, value) for name, value in (tags or {}).items()]
        for start in range(0, max(len(params), len(metrics), len(labels)), MOST):
            part = slice(start, start + MOST)
            self.client.log_batch(run, metrics[part], params[part], labels[part])

    @_answering()
    def end(self, run: str, ending: Ending = "FINISHED") -> None:
        """Say how a run ended."""
        self.client.set_terminated(run, ending)


def open_store(where: str, *, new: bool = True) -> Store:
    """Open a store, or make it.

    Parameters
    ----------
    where
        A folder, which holds an SQLite file, or the URI of an MLflow store: ``sqlite:///...``, ``https://...``.
    new
        Make a folder's store where there is none.

    Raises
    ------
    CxrscreenError
        If MLflow is not installed, there is no store, or it does not answer.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        from mlflow.tracking import MlflowClient  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise CxrscreenError(
            f"Records need {error.name}, which is not installed: install cxrscreen[records]."
        ) from error
    remote = "://" in where
    folder = Path(where).absolute()
    if not (remote or new or (folder / DATABASE).is_file()):
        raise CxrscreenError(f"There are no records in {folder.name}: give the folder or URI that --record named.")
    try:
        if not remote:
            folder.mkdir(parents=True, exist_ok=True)
        _quiet()
        client = MlflowClient(where if remote else f"sqlite:///{folder / DATABASE}")
        found = client.get_experiment_by_name(EXPERIMENT)
        if found is not None:
            return Store(client, str(found.experiment_id))
        artifacts = None if remote else (folder / "artifacts").as_uri()
        return Store(client, str(client.create_experiment(EXPERIMENT, artifact_location=artifacts)))
    # Whatever a store's driver raises, the sentence is the same.
    except Exception as error:
        raise CxrscreenError(
            f"The record store {'at that URI' if remote else folder.name} cannot be opened ({type(error).__name__}): "
            "check that it is there and may be written."
        ) from error


class TrainingRecord:
    """A training's record, which never stops the training: what cannot be written is left out, with one warning.

    It begins with the first thing there is to write, and goes on where a run of the same training before it stopped.

    Parameters
    ----------
    where
        See :func:`open_store`.
    work
        The training's work folder, which remembers the record.
    name
        Of the run.
    settings, tags
        Written when the record begins.
    warn
        Is told, once, that the record is incomplete.
    """

    def __init__(
        self,
        where: str,
        work: Path,
        name: str,
        *,
        settings: Mapping[str, str],
        tags: Mapping[str, str],
        warn: Callable[[str], None],
    ) -> None:
        self.where, self.work, self.name = where, work, name
        self.settings, self.tags, self.warn = settings, tags, warn
        self._store: Store | None = None
        self._run = ""
        self._given_up = False

    def epoch(self, folder: Path, number: int, logged: Mapping[str, float]) -> None:
        """Write what an epoch logged, as ``PHASE/NAME`` at the step that is its number; a listener of the loop."""
        phase = folder.relative_to(self.work).as_posix() if folder.is_relative_to(self.work) else folder.name
        self.write(figures={f"{phase}/{name}": value for name, value in logged.items()}, step=number)

    def write(self, **what: Any) -> None:
        """Add to the record; see :meth:`Store.write`."""
        self._try(lambda: self._begun().write(self._run, **what))

    def end(self, ending: Ending) -> None:
        """Say how the training ended, if anything of it was recorded."""
        if self._store is not None:
            self._try(lambda: self._begun().end(self._run, ending))

    def _begun(self) -> Store:
        if self._store is not None:
            return self._store
        store = open_store(self.where)
        run = self._continued(store)
        if run is None:
            run = store.begin(self.name, {"kind": "training", **self.tags})
            store.write(run, settings=self.settings)
            self.work.mkdir(parents=True, exist_ok=True)
            (self.work / CONTINUED).write_text(json.dumps({"run": run}) + "\n", encoding="ascii")
        else:
            store.client.update_run(run, status="RUNNING")
        self._store, self._run = store, run
        return store

    def _continued(self, store: Store) -> str | None:
        """The record of an earlier run of this training, where this store has it."""
        file = self.work / CONTINUED
        if not file.is_file():
            return None
        run = str(json.loads(file.read_text(encoding="ascii"))["run"])
        return run if store.runs(f"attributes.run_id = '{run}'", most=1) else None

    def _try(self, action: Callable[[], None]) -> None:
        if self._given_up:
            return
        try:
            action()
        # A store can fail in any way, and a training of days is worth more than its record.
        except Exception as error:
            self._given_up = True
            reason = str(error) if isinstance(error, CxrscreenError) else f"The record failed ({type(error).__name__})."
            self.warn(f"{reason} The training goes on; its record is incomplete.")


def add_record(
    store: Store,
    kind: Kind,
    name: str,
    *,
    digest: str,
    bundle: str,
    splits: Mapping[str, str],
    figures: Mapping[str, float],
    tags: Mapping[str, str],
) -> str | None:
    """Record something that is finished, under the training of its bundle where one alone comes into question.

    Parameters
    ----------
    store
        Where to.
    kind, name
        What it is.
    digest
        Of the file it comes from: the same one is recorded once.
    bundle
        ``name@version``, which two trainings of one recipe share.
    splits
        Digest by protocol of the splits that this says the bundle was trained with; a training with another split of
        the same protocol did not make it. Empty: nothing is said.
    figures, tags
        What was found.

    Returns
    -------
    str or None
        The new run's id; None where this was recorded before.

    Raises
    ------
    CxrscreenError
        If the store fails; what it holds of this by then is marked as failed and may be recorded again.
    """
    if store.runs(f"tags.digest = '{digest}'", most=1):
        return None
    trained = [run for run in store.runs("tags.kind = 'training'") if _trained(run.data.tags, bundle, splits)]
    parent = {"mlflow.parentRunId": trained[0].info.run_id} if len(trained) == 1 else {}
    run = store.begin(name, {"kind": kind, "bundle": bundle, **parent})
    try:
        store.write(run, figures=figures, tags=tags)
        store.end(run)
        # Last, since it says that all of it is there.
        store.write(run, tags={"digest": digest})
    except Exception:
        with suppress(CxrscreenError):
            store.end(run, "FAILED")
        raise
    return run


@_answering()
def curves_of(store: Store, run: str, names: Iterable[str]) -> dict[str, list[float]]:
    """Values of figures by step; of a step that was written twice, as after a stop, the later one.

    Raises
    ------
    CxrscreenError
        If the store refuses or does not answer.
    """
    curves = {}
    for name in names:
        values = {entry.step: entry.value for entry in store.client.get_metric_history(run, name)}
        curves[name] = [values[step] for step in sorted(values)]
    return curves


def _trained(tags: Mapping[str, str], bundle: str, splits: Mapping[str, str]) -> bool:
    """Whether a training may have made a bundle: it has its id, and no split of a protocol that is another one."""
    return tags.get("bundle") == bundle and all(
        tags.get(f"data.split.{protocol}", digest) == digest for protocol, digest in splits.items()
    )


def _quiet() -> None:
    """Keep the store from telling of its tables."""
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
