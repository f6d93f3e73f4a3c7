"""Processes that are killed, stopped and forked: an error, or nothing left behind, in bounded time."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conftest import Serve, alive, arguments, digests, run_python, wait_gone
from resslt import ForkedError, Loader, ServerLost, WaitError, client

Make = Callable[..., Loader]

CLIENT = """
import sys
from conftest import arguments
from resslt import Loader
loader = Loader(**arguments())
for batch in loader:
    if batch.step == 5:
        print(loader._session._server.pid, batch.digest, flush=True)
        sys.stdin.read()
"""


def test_a_killed_client_leaves_nothing(runtime: Path) -> None:
    process = run_python(CLIENT)
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, process.stderr and process.stderr.read()
    server = int(line.split()[0])
    assert alive(server)
    process.kill()
    process.communicate()
    assert wait_gone(server, 20)
    assert list(runtime.iterdir()) == []


def test_a_loader_that_is_dropped_ends_its_server(runtime: Path) -> None:
    made = Loader(**arguments())
    next(iter(made))
    assert made._session._server is not None
    server = made._session._server.pid
    del made
    assert wait_gone(server, 20)
    assert list(runtime.iterdir()) == []


def test_a_killed_server_is_an_error_at_once(loader: Make) -> None:
    made = loader(epochs=None)
    batches = iter(made)
    next(batches)
    assert made._session._server is not None
    os.kill(made._session._server.pid, signal.SIGKILL)
    start = time.monotonic()
    with pytest.raises(ServerLost, match="killed by SIGKILL"):
        for _ in range(100):
            next(batches)
    assert time.monotonic() - start < 5


def test_a_stopped_server_is_an_error_in_time(loader: Make) -> None:
    made = loader(epochs=None)
    batches = iter(made)
    next(batches)
    assert made._session._server is not None
    os.kill(made._session._server.pid, signal.SIGSTOP)
    assert made._session._connection is not None
    made._session._connection._line.silence = 1.0  # it is 30 s, of which none should be waited here
    try:
        with pytest.raises(ServerLost, match="silent for 1 s"):
            for _ in range(100):
                next(batches)
    finally:
        os.kill(made._session._server.pid, signal.SIGCONT)


def test_a_server_that_is_told_to_stop_says_so(serve: Callable[..., Serve], caplog: pytest.LogCaptureFixture) -> None:
    server = serve("--epochs=0")
    with Loader(connect=server.address, views="numpy") as loader:
        batches = iter(loader)
        next(batches)
        server.stop()
        with pytest.raises(ServerLost), caplog.at_level(logging.WARNING):
            for _ in range(100):
                next(batches)
    assert server.process.returncode == 0


def test_a_client_that_comes_back_gets_what_it_had_not_used_up(serve: Callable[..., Serve]) -> None:
    address = serve().address
    with Loader(connect=address, views="numpy", digests=True, client="calm") as calm:
        want = digests(calm)
    process = run_python(
        "import sys\nfrom resslt import Loader\n"
        "for b in Loader(connect=sys.argv[1], views='numpy', digests=True):\n"
        "    if b.step == 5: print('there', flush=True); sys.stdin.read()\n",
        address,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"there\n"
    process.kill()
    process.communicate()
    hello = client.Hello(address=client.address.parse(address), start=-1)
    back = client.open_connection(hello)
    assert back.run.start == 5  # step 5 was handed out, and not used up
    rest = []
    for step in range(5, 20):
        raw = back.receive()
        assert raw is not None
        rest.append(raw.digest())
        back.ack(step)
    assert rest == want[5:]
    back.close()


def _use(loader: Loader, queue: Any) -> None:
    try:
        queue.put(("ok", digests(loader)))
    except ForkedError as e:
        queue.put(("forked", str(e)))


def test_forked_child(loader: Make) -> None:
    made = loader()
    batches = iter(made)
    want = [next(batches).digest]
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_use, args=(made, queue))
    child.start()
    kind, said = queue.get(timeout=30)
    child.join()
    assert (kind, child.exitcode) == ("forked", 0)
    assert "make a Loader in this process" in said
    want += [b.digest for b in batches]  # the child's end did not end the parent's session
    assert want == digests(loader(workers=1))


def test_spawned_child(loader: Make) -> None:
    made = loader()
    want = [b.digest for b in made]
    made.set_epoch(0)
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    child = context.Process(target=_use, args=(made, queue))
    child.start()
    assert queue.get(timeout=60) == ("ok", want)
    child.join()


def test_a_forked_child_does_not_keep_the_server(runtime: Path) -> None:
    code = CLIENT.replace("sys.stdin.read()", "import os, time\n        if os.fork() == 0: time.sleep(60)\n        sys.stdin.read()")
    process = run_python(code)
    assert process.stdout is not None
    server = int(process.stdout.readline().split()[0])
    process.kill()
    process.wait()
    assert wait_gone(server, 20)
    process.stdout.close()


def test_wait_that_is_too_long(loader: Make) -> None:
    """A broker without a worker never has a batch."""
    from test_farm import Broker

    with Broker() as broker:
        made = loader(nats=broker.url, workers=None, wait_timeout=1)
        with pytest.raises(WaitError, match="wait_timeout= more seconds"):
            next(iter(made))
