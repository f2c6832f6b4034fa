"""The server and its worker processes under one command, from start to a graceful stop."""

import multiprocessing
import secrets
import signal
import threading
import time
from collections.abc import Callable
from contextlib import closing
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Final

import structlog
import uvicorn
from pydantic import SecretStr

from cxrscreen.service.app import create_app
from cxrscreen.service.context import open_context
from cxrscreen.service.housekeeping import keep_house
from cxrscreen.service.logs import set_up_logs
from cxrscreen.service.security.first_admin import somebody_can_sign_in
from cxrscreen.service.settings import Settings, SettingsError
from cxrscreen.service.worker import run_worker

_LOG = structlog.get_logger(__name__)

_STOP_SECONDS: Final = 60.0
"""How long workers may take to end the image in hand."""
_LIVED_WELL_SECONDS: Final = 30.0
_FIRST_PAUSE_SECONDS: Final = 0.5
_LONGEST_PAUSE_SECONDS: Final = 30.0


def with_token(settings: Settings) -> tuple[Settings, str | None]:
    """See to it that the service is never open to everybody.

    Returns
    -------
    settings, token
        The settings, where needed with a token in them, and the token where one was drawn: it has to be shown once.

    Raises
    ------
    SettingsError
        If other machines could reach the service, and it has neither a token nor anybody who could sign in.
    """
    if settings.api_token is not None:
        return settings, None
    if not settings.on_loopback:
        with closing(open_context(settings)) as context:
            if somebody_can_sign_in(context):
                return settings, None
        raise SettingsError(
            f"The service would listen on {settings.host} without a token or an administrator; make one with "
            "cxrscreen users add NAME --role admin, or set CXRSCREEN_API_TOKEN to 16 characters or more."
        )
    drawn = secrets.token_urlsafe(24)
    return settings.model_copy(update={"api_token": SecretStr(drawn)}), drawn


def serve(settings: Settings, *, started: Callable[[int], None] | None = None) -> None:
    """Serve until SIGTERM or SIGINT; requests and images in hand are ended first.

    Parameters
    ----------
    settings
        With a token, see :func:`with_token`.
    started
        Called with the port once the service answers.

    Raises
    ------
    CxrscreenError
        If the store cannot be opened or the port is taken.
    """
    set_up_logs(settings.log_level, settings.log_format)
    context = open_context(settings)
    stop = threading.Event()
    supervisor = threading.Thread(target=_supervise, args=(settings, stop), name="supervisor")
    housekeeper = threading.Thread(target=keep_house, args=(context, stop), name="housekeeper")
    server = _Server(
        uvicorn.Config(
            create_app(settings, context),
            host=settings.host,
            port=settings.port,
            log_config=None,
            access_log=False,
            server_header=False,
            forwarded_allow_ips=list(settings.trusted_proxies),
            timeout_graceful_shutdown=30,
        ),
        started,
    )
    # Uvicorn listens to signals only while it runs, and raises them once more when it has stopped: without this a
    # SIGTERM would end this process before its workers, which would go on alone.
    listens = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, _stop_asked) if listens else None
    try:
        supervisor.start()
        housekeeper.start()
        server.run()
    except _StopAskedError:
        pass
    except SystemExit as error:
        raise SettingsError(
            f"Nothing can listen on {settings.host}, port {settings.port}; end what does, or choose another port."
        ) from error
    finally:
        stop.set()
        for thread in (supervisor, housekeeper):
            if thread.ident is not None:
                thread.join()
        context.close()
        if before is not None:
            signal.signal(signal.SIGTERM, before)
        _LOG.info("stopped")


class _StopAskedError(Exception):
    """SIGTERM, where nothing else listens to it."""


def _stop_asked(_number: int, _frame: FrameType | None) -> None:
    # Once: another one must not cut short what ends here.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise _StopAskedError


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, on_start: Callable[[int], None] | None) -> None:
        super().__init__(config)
        self._on_start = on_start

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        await super().startup(sockets)  # type: ignore[arg-type]
        if self.started and self._on_start is not None:
            port = self.servers[0].sockets[0].getsockname()[1]
            self._on_start(int(port))


def _supervise(settings: Settings, stop: threading.Event) -> None:
    """Keep the workers running, and what speaks to other systems.

    One that dies is started again, after a pause that grows while it dies at once.
    """
    spawn = multiprocessing.get_context("spawn")
    programs: list[Callable[[Settings, int], None]] = [run_worker] * settings.workers
    if settings.speaks_to_others:
        # Here and not above: a server that speaks to nobody starts without its libraries.
        from cxrscreen.service.dicom_exchange import run_exchange  # noqa: PLC0415

        programs.append(run_exchange)
    places: list[_Place] = [_Place() for _ in programs]
    while not stop.wait(0.2):
        now = time.monotonic()
        for number, place in enumerate(places):
            if place.process is not None and not place.process.is_alive():
                place.died(number, now)
            if place.process is None and now >= place.start_at:
                run = programs[number]
                process = spawn.Process(target=run, args=(settings, number), name=f"{run.__name__}-{number}")
                try:
                    process.start()
                except (OSError, MemoryError) as error:
                    # No memory or no processes left for a moment; the others still have to be watched.
                    place.not_started(number, now, error)
                else:
                    place.process, place.started_at = process, now
    for place in places:
        if place.process is not None and place.process.is_alive():
            place.process.terminate()
    end = time.monotonic() + _STOP_SECONDS
    for place in places:
        if place.process is not None:
            place.process.join(max(0.0, end - time.monotonic()))
            if place.process.is_alive():
                # Its lease runs out, and another worker takes the image.
                place.process.kill()
                place.process.join()


class _Place:
    """Where one worker runs, one after the other."""

    def __init__(self) -> None:
        self.process: BaseProcess | None = None
        self.started_at = 0.0
        self.start_at = 0.0
        self._pause = 0.0

    def died(self, number: int, now: float) -> None:
        code = self.process.exitcode if self.process is not None else None
        if now - self.started_at > _LIVED_WELL_SECONDS:
            self._pause = 0.0
        self._put_off(now)
        self.process = None
        cause = signal.Signals(-code).name if code is not None and code < 0 else code
        _LOG.error("worker ended", worker=number, cause=cause, again_in_seconds=self._pause)

    def not_started(self, number: int, now: float, error: Exception) -> None:
        self._put_off(now)
        _LOG.error("worker not started", worker=number, error=type(error).__name__, again_in_seconds=self._pause)

    def _put_off(self, now: float) -> None:
        self._pause = min(max(_FIRST_PAUSE_SECONDS, self._pause * 2), _LONGEST_PAUSE_SECONDS)
        self.start_at = now + self._pause
