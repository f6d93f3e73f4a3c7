"""Frames and the welcome: what is refused, and that the reason names it."""

from __future__ import annotations

import json
import os
import socket
import threading
from typing import Any

import pytest

from resslt import frames, welcome
from resslt.errors import Error, ProtocolError, ServerLost
from resslt.line import Line

GOOD: dict[str, Any] = {
    "protocol": 1,
    "version": "0.1.0",
    "run": "r",
    "digest": "ab",
    "spec": {"seed": 3},
    "policy_name": "small",
    "steps": 40,
    "steps_per_epoch": 20,
    "epochs": 2,
    "batch_size": 500,
    "rows": [0, 500],
    "from": 0,
    "views": [{"name": "weak", "role": "teacher", "size": 32}],
    "mean": [0.5, 0.5, 0.5],
    "std": [0.2, 0.2, 0.2],
    "classes": ["a", "b"],
    "num_classes": 2,
    "samples": 10000,
    "engine": "turbo/2",
    "max_frame": 1 << 20,
    "shm": {"bytes": 4096, "slots": 4, "slot_bytes": 1024},
}


def test_welcome_is_read() -> None:
    run = welcome.parse(GOOD | {"classes": None})
    assert (run.rows, run.views, run.ring) == ((0, 500), (welcome.View("weak", "teacher", 32),), welcome.Ring(4096, 4, 1024))
    assert (run.spec["seed"], run.classes) == (3, ())


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"protocol": 2}, "protocol 2"),
        ({"steps": -1}, "steps -1"),
        ({"steps_per_epoch": 0}, "steps_per_epoch 0"),
        ({"batch_size": True}, "batch_size True"),
        ({"rows": [3]}, "rows"),
        ({"rows": [5, 5]}, "rows"),
        ({"rows": [0, 501]}, "rows"),
        ({"views": [{"name": "weak", "role": "teacher", "size": 1 << 20}]}, "size"),
        ({"views": [7]}, "views"),
        ({"mean": [1, 2]}, "mean"),
        ({"std": ["a", "b", "c"]}, "std"),
        ({"shm": {"bytes": 4096, "slots": 5, "slot_bytes": 1024}}, "ring"),
        ({"shm": 3}, "shm"),
        ({"max_frame": 1 << 60}, "max_frame"),
    ],
)
def test_welcome_that_cannot_be(change: dict[str, Any], named: str) -> None:
    with pytest.raises(ProtocolError, match=named):
        welcome.parse(GOOD | change)


@pytest.mark.parametrize(
    ("sent", "error", "said"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", ProtocolError, "does not speak"),
        (frames.pack(frames.WELCOME, b"x" * 2000), ProtocolError, "2000 bytes"),
        (frames.pack(frames.WELCOME, b"x" * 100)[:50], ServerLost, "closed"),
        (b"", ServerLost, "closed"),
    ],
)
def test_bytes_that_are_no_frame(sent: bytes, error: type[Error], said: str) -> None:
    ours, theirs = socket.socketpair()
    line = Line(ours, "unix:test", silence=5)
    line.limit = 1000
    theirs.sendall(sent)
    theirs.close()
    with pytest.raises(error, match=said):
        line.receive(None)
    line.close()


def test_frame_in_pieces_survives_time_outs() -> None:
    ours, theirs = socket.socketpair()
    line = Line(ours, "unix:test", silence=5)
    whole = frames.pack_json(frames.EVENT, {"event": "epoch", "epoch": 1})
    for at in range(len(whole)):
        assert line.receive(deadline=0) is None
        theirs.sendall(whole[at : at + 1])
    frame = line.receive(None)
    assert frame is not None
    assert frames.parse_json(frame.body.data, "event") == {"event": "epoch", "epoch": 1}
    line.close()
    theirs.close()


def test_silence_is_a_lost_server() -> None:
    ours, theirs = socket.socketpair()
    line = Line(ours, "unix:test", silence=0.2)
    with pytest.raises(ServerLost, match="silent for 0.2 s"):
        line.receive(None)
    line.close()
    theirs.close()


def test_large_body_comes_whole_and_aligned() -> None:
    ours, theirs = socket.socketpair()
    line = Line(ours, "unix:test", silence=5)
    line.limit = 1 << 24
    body = os.urandom(3 << 20)
    sender = threading.Thread(target=theirs.sendall, args=(frames.pack(frames.DATA, body),))
    sender.start()
    frame = line.receive(None)
    sender.join()
    assert frame is not None
    assert bytes(frame.body.data) == body
    assert frame.body.ctypes.data % 64 == 0
    line.close()
    theirs.close()


def test_error_of_the_wire() -> None:
    from resslt import errors

    message = {"kind": "mismatch", "op": "open run", "where": "r1", "hint": "use its seed", "text": "open run r1: another\nseed"}
    e = errors.from_wire(json.loads(json.dumps(message)))
    assert isinstance(e, errors.MismatchError)
    assert str(e) == "open run r1: another seed (hint: use its seed)"
    assert (e.kind, e.op, e.where, e.hint) == ("mismatch", "open run", "r1", "use its seed")
    assert isinstance(errors.from_wire({"kind": "unheard-of", "text": 5}), errors.ServerError)
