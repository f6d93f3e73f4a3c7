"""What the tests share: the real program, real data, real servers.

RESSLT_PROGRAM names the program (bin/resslt of this clone by default). Fashion-MNIST is the
system's package, as in the tests in Go.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from resslt import Loader

ROOT = Path(__file__).resolve().parents[2]
FASHION = "fashion-mnist:/usr/share/datasets/fashion-mnist"
BATCH = 500  # rows; 20 steps an epoch of Fashion-MNIST's 10,000 test pictures

os.environ.setdefault("RESSLT_PROGRAM", str(ROOT / "bin" / "resslt"))


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder that this test's sockets are in, which has a short path, as sockets need it."""
    with tempfile.TemporaryDirectory(prefix="resslt-") as folder:
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        yield Path(folder) / f"resslt-{os.getuid()}"


def arguments(**changes: Any) -> dict[str, Any]:
    """Arguments of a small run; views are numpy's, so that no other library is needed."""
    run: dict[str, Any] = dict(data=FASHION, split="test", policy="small", batch_size=BATCH, image_size=28, seed=3, epochs=2)
    return run | dict(workers=2, views="numpy", digests=True) | changes


@pytest.fixture
def loader() -> Iterator[Callable[..., Loader]]:
    """Makes loaders of the small run, and closes them."""
    made: list[Loader] = []

    def make(**changes: Any) -> Loader:
        made.append(Loader(**arguments(**changes)))
        return made[-1]

    yield make
    for one in made:
        one.close()


class Serve:
    """A `resslt serve` as somebody else starts it."""

    def __init__(self, *flags: str, folder: Path, name: str = "serve") -> None:
        command = [os.environ["RESSLT_PROGRAM"], "serve", f"--data={FASHION}", "--split=test", "--policy=small", "--image-size=28"]
        command += [f"--batch-size={BATCH}", "--seed=3", "--epochs=2", "--workers=2", *flags]
        if not any(f.startswith("--listen") for f in flags):
            command.append(f"--listen=unix:{folder}/{name}.sock")
        self.log = folder / f"{name}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.log.read_text()
        self.ready: dict[str, Any] = json.loads(line)
        self.address: str = self.ready["listen"]

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=30)
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Serve]]:
    """Starts servers, and stops them."""
    made: list[Serve] = []

    def start(*flags: str, **kwargs: Any) -> Serve:
        made.append(Serve(*flags, folder=tmp_path, name=f"serve{len(made)}", **kwargs))
        return made[-1]

    yield start
    for one in made:
        if one.process.poll() is None:
            one.stop()


def run_python(code: str, *args: str, **env: str) -> subprocess.Popen[bytes]:
    """Another Python process, whose code imports from this folder."""
    paths = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", code, *args]
    return subprocess.Popen(command, env=os.environ | {"PYTHONPATH": paths} | env, stdin=pipe, stdout=pipe, stderr=pipe)


def wait_gone(pid: int, seconds: float) -> bool:
    """Whether a process that is not ours to wait for ends within some seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not alive(pid):
            return True
        time.sleep(0.02)  # the end of a stranger's process is not announced
    return False


def alive(pid: int) -> bool:
    """Whether a process runs; one that ended and that nobody waited for does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"


def digests(batches: Any) -> list[str]:
    """The digests of batches, in their order."""
    return [b.digest for b in batches]
