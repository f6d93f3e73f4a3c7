"""The tutorials run from top to bottom, and say no error."""

from __future__ import annotations

from pathlib import Path

import pytest

import resslt
from conftest import ROOT

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")
pytestmark = pytest.mark.torch

TUTORIALS = sorted((ROOT / "python" / "tutorials").glob("*.ipynb"))


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda p: p.stem)
def test_tutorial_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(resslt.__file__).parents[1]))  # the kernel runs in another folder
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("RESSLT_AUGMENTD", str(ROOT / "bin" / "augmentd"))
    notebook = nbformat.read(path, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "the outputs are not kept: clear them"
    nbclient.NotebookClient(notebook, timeout=900, resources={"metadata": {"path": str(tmp_path)}}).execute()


def test_there_are_tutorials() -> None:
    assert [p.stem for p in TUTORIALS] == ["1_plain_loop", "2_lightning", "3_timm", "4_farm"]
