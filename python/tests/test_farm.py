"""A farm: a real broker, real workers that are killed and added, a run that leaves with its client."""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from conftest import ROOT, arguments, digests, run_python, wait_gone
from resslt import Loader


class Broker:
    """A NATS server of its own, with workers that come and go."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="resslt-broker-")
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        self.url = f"nats://127.0.0.1:{port}"
        config = Path(self._folder.name) / "nats.conf"
        limits = f'store_dir: "{self._folder.name}/js", max_mem: 1GB, max_file: 1GB'
        config.write_text(f"host: 127.0.0.1\nport: {port}\nmax_payload: 8MB\njetstream {{ {limits} }}\n")
        self._server = subprocess.Popen(["nats-server", "-c", str(config)], stderr=subprocess.DEVNULL)
        self.workers: list[subprocess.Popen[bytes]] = []
        _listening(port)

    def add(self, n: int) -> None:
        """Starts n workers."""
        log = Path(self._folder.name) / "workers.log"
        for _ in range(n):
            with log.open("ab") as f:
                command = [str(ROOT / "bin" / "augmentd"), "--nats", self.url, "--workers", "1"]
                self.workers.append(subprocess.Popen(command, stdout=f, stderr=f))

    def kill(self, n: int) -> None:
        """Kills n workers, as kill -9 does."""
        for _ in range(n):
            one = self.workers.pop(0)
            one.kill()
            one.wait()

    def runs(self) -> list[Any]:
        """The runs that the broker holds."""
        command = [os.environ["RESSLT_PROGRAM"], "farm", "ls", "--nats", self.url, "--json"]
        out = subprocess.run(command, check=True, capture_output=True, timeout=60).stdout
        runs: list[Any] = json.loads(out.splitlines()[-1]).get("runs") or []
        return runs

    def __enter__(self) -> Broker:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.kill(len(self.workers))
        self._server.kill()
        self._server.wait()
        self._folder.cleanup()


def _listening(port: int) -> None:
    end = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            assert time.monotonic() < end, "the broker does not listen"
            time.sleep(0.05)  # it announces nothing that could be waited for


def test_workers_come_and_go(caplog: pytest.LogCaptureFixture) -> None:
    with Loader(**arguments()) as calm:
        want = digests(calm)
    with Broker() as broker, Loader(**arguments(nats=broker.url, workers=None)) as loader, caplog.at_level(logging.WARNING, "resslt"):
        changes = {0: (2, 0), 4: (0, 2), 8: (4, 0), 12: (0, 3), 16: (1, 0)}  # step: added, killed
        broker.add(changes[0][0])
        got = []
        for batch in loader:
            got.append(batch.digest)
            add, kill = changes.get(batch.step, (0, 0)) if batch.step else (0, 0)
            broker.kill(kill)
            broker.add(add)
            if batch.step == 4:
                broker.add(1)
        assert got == want
        assert len(broker.runs()) == 1
        loader.close()
        assert broker.runs() == []


def test_a_killed_client_leaves_no_run(runtime: Path) -> None:
    code = """
import sys
from conftest import arguments
from resslt import Loader
loader = Loader(**arguments(nats=sys.argv[1], workers=None))
for batch in loader:
    print(loader._session._server.pid, flush=True)
    sys.stdin.read()
"""
    with Broker() as broker:
        broker.add(1)
        process = run_python(code, broker.url)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.stderr and process.stderr.read()
        assert len(broker.runs()) == 1
        process.kill()
        process.communicate()
        assert wait_gone(int(line), 30)
        assert broker.runs() == []


def test_a_named_run_stays(runtime: Path) -> None:
    with Broker() as broker:
        broker.add(1)
        with Loader(**arguments(nats=broker.url, workers=None, run="kept")) as loader:
            first = next(iter(loader)).digest
        assert len(broker.runs()) == 1
        with Loader(**arguments(nats=broker.url, workers=None, run="kept")) as again:
            assert next(iter(again)).digest == first
