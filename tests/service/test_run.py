import json
import os
import subprocess
import sys
import threading
import time

import httpx
import psutil
import pytest

from cxrscreen.service import run
from cxrscreen.service.run import _Place, serve, with_token
from cxrscreen.service.settings import SettingsError, load_settings


def test_a_token_is_drawn_for_this_machine_alone(settings):
    same, drawn = with_token(settings)
    assert (same, drawn) == (settings, None)
    open_one = settings.model_copy(update={"api_token": None})
    served, drawn = with_token(open_one)
    assert len(drawn) >= 32
    assert served.api_token.get_secret_value() == drawn
    assert with_token(open_one)[1] != drawn
    with pytest.raises(SettingsError, match=r"0\.0\.0\.0 without a token"):
        with_token(open_one.model_copy(update={"host": "0.0.0.0"}))


def test_a_worker_that_dies_at_once_waits_longer_each_time_and_one_that_lived_does_not(monkeypatch):
    class Dead:
        exitcode = -9

    place, pauses, now = _Place(), [], 1000.0
    for _ in range(8):
        place.process, place.started_at = Dead(), now
        place.died(0, now + 1)
        pauses.append(place.start_at - (now + 1))
    assert pauses == [0.5, 1, 2, 4, 8, 16, 30, 30]
    place.process, place.started_at = Dead(), now
    place.died(0, now + 100)
    assert place.start_at - (now + 100) == 0.5


def test_a_worker_that_cannot_be_started_is_started_later(settings, monkeypatch):
    stop, started = threading.Event(), []

    class Unlucky:
        exitcode = None

        def __init__(self, **_given):
            started.append(self)

        def start(self):
            if len(started) < 3:
                raise BlockingIOError("Resource temporarily unavailable")
            self.exitcode = 0
            stop.set()

        def is_alive(self):
            return False

        def join(self, _seconds=None):
            assert self.exitcode == 0

    class Spawn:
        Process = Unlucky

    monkeypatch.setattr(run.multiprocessing, "get_context", lambda _way: Spawn)
    monkeypatch.setattr(run, "_FIRST_PAUSE_SECONDS", 0.01)
    run._supervise(settings.model_copy(update={"workers": 1}), stop)
    assert len(started) == 3


def test_the_server_answers_until_it_is_told_to_stop(context, settings, monkeypatch):
    servers, ports = [], []
    made = run._Server

    class Known(made):
        def __init__(self, *given):
            super().__init__(*given)
            servers.append(self)

    monkeypatch.setattr(run, "_Server", Known)
    monkeypatch.setattr(run, "set_up_logs", lambda *_given: None)
    alone = settings.model_copy(update={"port": 0, "workers": 0})
    thread = threading.Thread(target=serve, args=(alone,), kwargs={"started": ports.append})
    thread.start()
    end = time.monotonic() + 300
    while not ports and time.monotonic() < end:
        time.sleep(0.05)
    assert httpx.get(f"http://127.0.0.1:{ports[0]}/health", timeout=60).json()["status"] == "alive"
    taken = settings.model_copy(update={"port": ports[0], "workers": 0})
    with pytest.raises(SettingsError, match="Nothing can listen"):
        serve(taken)
    servers[0].should_exit = True
    thread.join(300)
    assert not thread.is_alive()


@pytest.mark.parametrize("early", [False, True])
def test_told_to_stop_it_takes_its_workers_along(tmp_path, early):
    log = (tmp_path / "log").open("wb")
    command = [sys.executable, "-m", "cxrscreen", "serve", "--folder", str(tmp_path / "data"), "--port", "0"]
    server = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "CXRSCREEN_API_TOKEN": "t" * 24})
    known = psutil.Process(server.pid)
    end = time.monotonic() + 300
    while not (
        workers := [each for each in known.children(recursive=True) if "spawn_main" in " ".join(each.cmdline())]
    ):
        assert time.monotonic() < end
        time.sleep(0.02)
    while not early and b"cxrscreen serves" not in (tmp_path / "log").read_bytes():
        assert time.monotonic() < end
        time.sleep(0.05)
    server.terminate()
    assert server.wait(300) == 0
    assert not any(worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE for worker in workers)


def test_settings_go_to_a_worker_process_whole(settings):
    import pickle

    assert pickle.loads(pickle.dumps(settings)) == settings
    assert json.loads(load_settings(folder=settings.folder).model_dump_json())["workers"] == 1
