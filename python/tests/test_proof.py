"""The examples, disturbed: workers killed and added, the client killed and resumed in mid-epoch.

The batches' digests, the losses and the weights at the end are those of the calm run.
The data sets are not part of the project: $RESSLT_DATA names the folder with
cifar10-exact-*.tar.xz and imagenet-sample-700.tar (by default ../shared/data beside the clone).
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from conftest import ROOT
from test_farm import Broker

pytest.importorskip("torch")
pytestmark = pytest.mark.torch

EXAMPLES = ROOT / "python" / "examples"
DATA = Path(os.environ.get("RESSLT_DATA", ROOT.parent / "shared" / "data"))
STEPS = int(os.environ.get("RESSLT_PROOF_STEPS", "200"))


@pytest.fixture(scope="module")
def cifar10(tmp_path_factory: pytest.TempPathFactory) -> str:
    return _unpacked(tmp_path_factory.mktemp("cifar10"), "cifar10-exact-train1.tar.xz")


@pytest.fixture(scope="module")
def imagenet(tmp_path_factory: pytest.TempPathFactory) -> str:
    return _unpacked(tmp_path_factory.mktemp("imagenet"), "imagenet-sample-700.tar")


def _unpacked(folder: Path, name: str) -> str:
    if not (DATA / name).exists():
        pytest.skip(f"{DATA / name} is missing (fix: RESSLT_DATA=FOLDER)")
    with tarfile.open(DATA / name) as tar:
        tar.extractall(folder, filter="data")
    return f"folder:{folder}"


class Example:
    """An example that runs, writing into a folder."""

    def __init__(self, script: str, out: Path, *arguments: str) -> None:
        self.out = out
        out.mkdir(exist_ok=True)
        paths = os.pathsep.join(filter(None, sys.path))
        with (out / "log").open("ab") as log:
            command = [sys.executable, str(EXAMPLES / script), "--out", str(out), *arguments]
            self.process = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": paths}, stdout=log, stderr=log)

    def steps(self) -> int:
        """Batches that it has logged."""
        log = self.out / "digests.txt"
        return len(log.read_text().splitlines()) if log.exists() else 0

    def reach(self, steps: int) -> None:
        """Waits until so many batches are logged."""
        while self.steps() < steps:
            assert self.process.poll() is None, (self.out / "log").read_text()
            time.sleep(0.05)  # a file's growth is not announced

    def finish(self) -> None:
        assert self.process.wait(timeout=1800) == 0, (self.out / "log").read_text()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def batches(self) -> dict[str, set[str]]:
        """What was logged of each step: one line, if a resumed run had the same batch and loss."""
        got: dict[str, set[str]] = {}
        for line in (self.out / "digests.txt").read_text().splitlines():
            step, _, rest = line.partition(" ")
            got.setdefault(step, set()).add(rest)
        return got

    def weights(self) -> str:
        return (self.out / "weights.txt").read_text()


@pytest.mark.parametrize(
    ("script", "fixture", "steps", "more"),
    [
        # The standard stem is a sixteenth of the work; what is shown is the same.
        ("cifar10_supervised.py", "cifar10", STEPS, ["--stem=standard", "--batch-size=64", "--checkpoint-every=5"]),
        ("simclr_lightly.py", "imagenet", int(os.environ.get("RESSLT_PROOF_STEPS", "22")), ["--batch-size=32", "--image-size=64"]),
    ],
    ids=["supervised", "simclr"],
)
def test_disturbed_runs_are_the_calm_one(
    script: str, fixture: str, steps: int, more: list[str], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    if script.startswith("simclr"):
        pytest.importorskip("lightly")
    data: str = request.getfixturevalue(fixture)
    flags = ["--data", data, "--steps", str(steps), "--threads=1", *more]
    calm = Example(script, tmp_path / "calm", *flags)
    calm.finish()
    want = calm.batches()
    assert len(want) == steps
    assert all(len(lines) == 1 for lines in want.values())

    with Broker() as broker:
        farm = [*flags, "--nats", broker.url, "--run", "proof"]
        one = Example(script, tmp_path / "disturbed", *farm)  # with no worker at all
        broker.add(2)
        one.reach(steps // 5)
        broker.kill(2)  # none is left
        broker.add(4)
        one.reach(steps // 2 + 2)
        one.kill()
        broker.kill(2)
        one = Example(script, tmp_path / "disturbed", *farm)
        one.reach(steps // 2 + 8)
        broker.kill(1)
        broker.add(3)
        one.finish()
        assert one.steps() > steps  # some were made again after the kill
        assert one.batches() == want
        assert one.weights() == calm.weights()
