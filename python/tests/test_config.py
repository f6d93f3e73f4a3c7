"""Arguments that cannot be are refused before anything is started, with what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from resslt import Error, Loader, NotFoundError, UsageError, ranks
from resslt.config import Config

RUN = dict(data="folder:x", policy="small", batch_size=8)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "give data="),
        ({"data": "folder:x"}, "needs policy="),
        (RUN | {"views": "tensorflow"}, "use torch, numpy, jax"),
        (RUN | {"client": "a b"}, "letters, digits"),
        (RUN | {"credits": 0}, "1 to 64"),
        (RUN | {"rank": 1}, "go together"),
        (RUN | {"rank": 2, "world": 2}, "count from 0"),
        (RUN | {"token": "t"}, "leave them out"),
        (RUN | {"connect": "unix:/x"}, "data, policy cannot be given"),
        ({"connect": "/x"}, "unix:PATH"),
        ({"connect": "tcp:host"}, "unix:PATH"),
        ({"connect": "tcp:host:0"}, "unix:PATH"),
        ({"connect": "unix:/" + "x" * 120}, "107 bytes"),
    ],
)
def test_refused_at_once(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Loader(**arguments)


@pytest.mark.parametrize(
    ("config", "flags"),
    [
        (Config(**RUN), ["--data=folder:x", "--policy=small", "--batch-size=8", "--epochs=0"]),
        (Config(recipe="r.yaml"), ["--recipe=r.yaml"]),
        (Config(recipe="r", settings={"seed": 1}, nats="nats://h", run="a"), ["--recipe=r", "--nats=nats://h", "--run=a", "--set=seed=1"]),
    ],
)
def test_flags_of_serve(config: Config, flags: list[str]) -> None:
    assert config.serve_flags() == flags


def test_no_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESSLT_PROGRAM", str(tmp_path / "gone"))
    with pytest.raises(NotFoundError, match="set it to the path"):
        Loader(**RUN)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("variables", "want"),
    [
        ({}, ranks.Ranks(0, 1, 1)),
        ({"RANK": "1", "WORLD_SIZE": "2"}, ranks.Ranks(1, 2, 2)),
        ({"RANK": "5", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4"}, ranks.Ranks(5, 8, 4)),
        ({"RANK": "2", "WORLD_SIZE": "2"}, "RANK 2"),
        ({"RANK": "x", "WORLD_SIZE": "2"}, "'x'"),
    ],
)
def test_ranks_of_torchrun(variables: dict[str, str], want: ranks.Ranks | str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    if isinstance(want, ranks.Ranks):
        assert ranks.detect() == want
        return
    with pytest.raises(UsageError, match=want):
        ranks.detect()


def test_several_machines_need_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "0", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match="connect= to every rank"):
        Loader(**RUN)  # type: ignore[arg-type]


def test_ranks_without_a_meeting_place(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TORCHELASTIC_RUN_ID", "MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_RESTART_COUNT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(Error, match="MASTER_PORT"):
        Loader(**RUN, rank=1, world=2)  # type: ignore[arg-type]
