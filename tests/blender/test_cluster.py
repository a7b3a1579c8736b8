# SPDX-License-Identifier: GPL-3.0-or-later
"""Batches on a Dask cluster: a real scheduler and workers, as processes on this machine.

It runs where Dask is installed: `make dask`.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import pickletools
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import batches
import distributed
import pytest
import sessions
from distributed.protocol import pickle as distributed_pickle
from sessions import nothing_left

from bl_ext.user_default.csm_retopo import batch
from bl_ext.user_default.csm_retopo.api.errors import CsmError
from bl_ext.user_default.csm_retopo.batch import (
    cluster as batch_cluster,
    cluster_task,
    summary as batch_summary,
)
from bl_ext.user_default.csm_retopo.scene.assets.catalogs import CATALOGS_NAME, catalog_id
from standin import Fault, StandIn

__all__ = ["nothing_left"]

BLENDER = """
import sys
import bpy
from bl_ext.user_default.csm_retopo import cli
sys.exit(cli.main(sys.argv[1:]))
"""


class Cluster:
    """A scheduler and its workers."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
        self.workers: list[subprocess.Popen[bytes]] = []
        self._blender = folder / "blender.py"
        self._blender.write_text(BLENDER, encoding="utf-8")
        port = self.address.rpartition(":")[2]
        self.scheduler = self._start(
            "scheduler", "scheduler", "--host", "127.0.0.1", "--port", port, "--no-show"
        )
        end = time.monotonic() + 60
        while not self._listens():
            assert time.monotonic() < end
            time.sleep(0.05)

    def add_worker(self, command: str = "") -> subprocess.Popen[bytes]:
        """A worker with a thread; its Blender is this one unless another command is given."""
        name = f"worker-{len(self.workers)}"
        worker = self._start(
            name,
            *("worker", self.address, "--nthreads", "1", "--no-nanny", "--host", "127.0.0.1"),
            *("--local-directory", str(self._folder / name), "--no-dashboard"),
            CSM_RETOPO_COMMAND=command or f"{sys.executable} {self._blender}",
        )
        self.workers.append(worker)
        return worker

    def logs(self) -> str:
        return "".join(path.read_text(errors="replace") for path in self._folder.glob("*.log"))

    def close(self) -> None:
        for process in [*self.workers, self.scheduler]:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _start(self, name: str, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        with (self._folder / f"{name}.log").open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "dask", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "DASK_DISTRIBUTED__DASHBOARD__LINK": "", **environment},
                start_new_session=True,
            )

    def _listens(self) -> bool:
        host, _, port = self.address.removeprefix("tcp://").partition(":")
        with socket.socket() as probe:
            return probe.connect_ex((host, int(port))) == 0


@pytest.fixture
def cluster(tmp_path: Path, service: StandIn) -> Iterator[Cluster]:
    folder = tmp_path / "cluster"
    folder.mkdir()
    running = Cluster(folder)
    try:
        yield running
        said = running.logs()
        for secret in ("CANARY", "sig=", "x-api-key"):
            assert secret not in said
    finally:
        running.close()


def test_the_same_as_on_one_machine(cluster: Cluster, service: StandIn, tmp_path: Path) -> None:
    ids = sessions.serve(service, 6)
    unknown = sessions.new_id()
    given = [*ids, unknown, "nonsense", ids[0]]
    for _ in range(2):
        cluster.add_worker()
    there = {
        each.name: each for each in batch.run(given, tmp_path / "d", scheduler=cluster.address)
    }
    here = {each.name: each for each in batch.run(given, tmp_path / "m", jobs=1)}
    assert {name: (each.status, each.error) for name, each in there.items()} == {
        name: (each.status, each.error) for name, each in here.items()
    }
    assert there[ids[0]].report == here[ids[0]].report
    assert there[ids[0]].folder == tmp_path / "d" / ids[0]
    assert batches.tree(tmp_path / "d") == batches.tree(tmp_path / "m")
    # What is done is not done again.
    service.clear()
    again = list(batch.run(ids, tmp_path / "d", scheduler=cluster.address))
    assert {str(each.status) for each in again} == {"already"}
    assert not service.requests


def test_a_worker_dies_and_another_joins(
    cluster: Cluster, service: StandIn, tmp_path: Path
) -> None:
    ids = sessions.serve(service, 16)
    first = cluster.add_worker()
    cluster.add_worker()
    results = []
    for result in batch.run(ids, tmp_path / "out", scheduler=cluster.address):
        results.append(result)
        if len(results) == 5:
            first.kill()
            cluster.add_worker()
    assert sorted(each.name for each in results) == sorted(ids)
    assert all(each.is_whole for each in results), [each.error for each in results]
    names = {path.name for path in (tmp_path / "out").iterdir() if not path.name.startswith(".")}
    assert names == {*ids, *batches.SUMMARY_FILES}
    assert all((tmp_path / "out" / each / "session.blend").is_file() for each in ids)


def test_workers_keep_a_pause_that_another_was_asked_for(
    cluster: Cluster, service: StandIn, tmp_path: Path
) -> None:
    first, second = sessions.serve(service, 2)
    output = tmp_path / "out"
    service.add_fault("/v3/*", Fault("status", status=429, headers={"Retry-After": "15"}))
    cluster.add_worker()
    alone = batches.start(output, first)
    batches.wait_until_paused(output, alone)
    (result,) = batch.run([second], output, scheduler=cluster.address)
    assert result.is_whole
    said = batches.finish(alone)
    assert alone.returncode == 0, said
    asked, *others = [each.time_s for each in service.api_requests]
    assert len(others) == 2
    assert min(others) >= asked + 15.0


def test_each_worker_keeps_its_own(cluster: Cluster, service: StandIn, tmp_path: Path) -> None:
    ids = sessions.serve(service, 3)
    cluster.add_worker()
    own = tmp_path / "own"
    output = tmp_path / "out"
    options = {
        "scheduler": cluster.address,
        "worker_output": str(own),
        "options": batch.Options(asset_library=True),
    }
    results = {each.name: each for each in batch.run(ids, output, **options)}
    for name in ids:
        assert results[name].folder == own / name
        assert results[name].kept_on == socket.gethostname()
        assert (own / name / "session.blend").is_file()
        assert sorted(os.listdir(output / name)) == ["report.json", "thumbnails.webp"]
    document = json.loads((output / batch_summary.JSON_NAME).read_text())
    assert [each["folder"] for each in document["sessions"]] == [str(own / each) for each in ids]
    assert {each["kept_on"] for each in document["sessions"]} == {socket.gethostname()}
    # It is a library where the files are.
    catalogs = (own / CATALOGS_NAME).read_text()
    assert all(catalog_id(name) in catalogs for name in ids)
    assert not (output / CATALOGS_NAME).exists()
    again = list(batch.run(ids, output, **options))
    assert {str(each.status) for each in again} == {"already"}
    assert again[0].folder == own / again[0].name


def test_left_early(cluster: Cluster, service: StandIn, tmp_path: Path) -> None:
    ids = sessions.serve(service, 12)
    cluster.add_worker()
    running = batch.run(ids, tmp_path / "out", scheduler=cluster.address)
    first = next(running)
    running.close()
    done = {path.parent.name for path in (tmp_path / "out").glob("*/session.blend")}
    assert first.name in done
    assert len(done) < len(ids)
    # Their Blenders have ended.
    end = time.monotonic() + 20
    while (left := _blenders(cluster)) and time.monotonic() < end:
        time.sleep(0.1)
    assert not left
    results = batch.run(ids, tmp_path / "out", scheduler=cluster.address)
    assert all(each.is_whole for each in results)
    assert not (tmp_path / "out" / ".csm_retopo").exists()


def _blenders(cluster: Cluster) -> list[str]:
    found = []
    for worker in cluster.workers:
        for task in Path(f"/proc/{worker.pid}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                found += task.read_text().split()
    return found


def test_a_worker_without_blender(
    cluster: Cluster, service: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_cluster, "RETRIES", 0)
    (session_id,) = sessions.serve(service, 1)
    cluster.add_worker("/nowhere/blender")
    (result,) = batch.run([session_id], tmp_path / "out", scheduler=cluster.address)
    assert "/nowhere/blender can't be started on" in result.error
    assert "CSM_RETOPO_COMMAND" in result.error


def test_the_scheduler_goes_away(cluster: Cluster, service: StandIn, tmp_path: Path) -> None:
    ids = sessions.serve(service, 12)
    cluster.add_worker()
    results = []
    running = batch.run(ids, tmp_path / "out", scheduler=cluster.address)
    results += [next(running), next(running)]
    cluster.scheduler.kill()
    with pytest.raises(CsmError, match=r"scheduler at .* is gone"):
        results.extend(running)
    assert 2 <= len(results) < 12
    assert (tmp_path / "out" / "summary.csv").is_file()


def test_what_is_sent_is_text_for_any_python() -> None:
    """Nothing that this Python has compiled, which another one crashes at; also when a scheduler
    has taken it apart and put it together again.
    """
    source = Path(cluster_task.__file__).read_text(encoding="utf-8")
    for sent in (cluster_task.plugin(source, "name"), cluster_task.task(source, "name")):
        pickled = distributed_pickle.dumps(sent)
        arrived = subprocess.run(
            [sys.executable, "-c", _ARRIVE], input=pickled, check=True, capture_output=True
        ).stdout
        for each in (pickled, arrived):
            operations = list(pickletools.genops(each))
            assert not any(operation.name == "GLOBAL" for operation, _, _ in operations)
            texts = [text for _, text, _ in operations if isinstance(text, str)]
            assert texts[:2] == ["builtins", "eval"]
            globals_ = [operation for operation, _, _ in operations if "GLOBAL" in operation.name]
            assert len(globals_) == 1


_ARRIVE = """
import sys
from distributed.protocol import pickle
arrived = pickle.loads(sys.stdin.buffer.read())
assert arrived.name == "name" and type(arrived).__module__ == "csm_retopo_cluster_task"
sys.stdout.buffer.write(pickle.dumps(arrived))
"""


@pytest.mark.parametrize("make_address", [lambda port: f"tcp://127.0.0.1:{port}", str])
def test_no_scheduler(
    make_address: Callable[[int], str],
    service: StandIn,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batch_cluster, "CONNECT_TIMEOUT_S", 2.0)
    ids = sessions.serve(service, 1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        address = make_address(taken.getsockname()[1])
        with pytest.raises(CsmError, match="can't be reached"):
            next(batch.run(ids, tmp_path / "out", scheduler=address))
    assert not service.requests


def test_what_is_no_address_is_told_at_once(
    service: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = []
    monkeypatch.setattr(distributed.Client, "_close", lambda self, **_: closed.append(self))
    ids = sessions.serve(service, 1)
    for address in ("nonsense", "http://127.0.0.1:1", "tls://127.0.0.1:1"):
        with pytest.raises(CsmError, match=f"scheduler at {address} can't be reached"):
            next(batch.run(ids, tmp_path / "out", scheduler=address))
        gc.collect()
    assert not closed


@pytest.mark.parametrize("with_interrupt", [False, True])
def test_something_that_is_no_scheduler(
    with_interrupt: bool, service: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as the dashboard's port: it takes the connection, and never says what Dask waits for."""
    monkeypatch.setattr(batch_cluster, "CONNECT_LIMIT_S", 2.0)
    monkeypatch.setattr(batch_cluster, "CONNECT_TIMEOUT_S", 3.0)
    ids = sessions.serve(service, 1)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        if not with_interrupt:
            with pytest.raises(CsmError, match="can't be reached"):
                next(batch.run(ids, tmp_path / "out", scheduler=address))
            silent.close()
            for thread in threading.enumerate():  # nobody is there to answer any more
                if thread.name == "csm-retopo-dask":
                    thread.join(30.0)
            return
        process = batches.start(tmp_path / "out", *ids, "--scheduler", address)
        with silent.accept()[0]:
            process.send_signal(signal.SIGINT)
            said = batches.finish(process)
    assert process.returncode == 130, said
    assert "interrupted" in said
    assert not (tmp_path / "out" / ".csm_retopo").exists()
