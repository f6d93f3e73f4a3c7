"""Measures one loader: batches of the pair of views as torch tensors.

    measure.py PEER --data FOLDER --packed FOLDER [--cores N] [--cpu-seconds S]

Prints one JSON object. Samples a CPU-second are over the whole tree of processes, the
server's included. As many batches are taken as use up about S CPU-seconds, so that a machine
with other work measures as much as an idle one. Nothing is done with a batch: a loader has
no more of them ready when the clock stops than when it starts.
"""

import argparse
import json
import os
import pathlib
import time

TICKS = os.sysconf("SC_CLK_TCK")


def tree_cpu():
    """CPU-seconds of this process and of all that it started, those that ended too."""
    used, children = {}, {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                fields = pathlib.Path("/proc", entry, "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # it has ended
            children.setdefault(int(fields[1]), []).append(int(entry))
            used[int(entry)] = sum(map(int, fields[11:15]))
    total, left = 0, [os.getpid()]
    while left:
        pid = left.pop()
        total += used.get(pid, 0)
        left += children.get(pid, [])
    return total / TICKS


def check(views, batch):
    """The views are two uint8 tensors of torch, of the whole batch."""
    import torch

    assert len(views) == 2, len(views)
    for v in views:
        assert isinstance(v, torch.Tensor) and v.dtype == torch.uint8 and v.device.type == "cpu", (type(v), v.dtype)
        assert v.numel() == batch * 3 * 224 * 224, v.shape


def take(batches, n):
    """The last of n batches, and the seconds and CPU-seconds that they took."""
    wall, used, views = time.perf_counter(), tree_cpu(), None
    for _ in range(n):
        views = next(batches)
    return views, time.perf_counter() - wall, tree_cpu() - used


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("peer")
    p.add_argument("--data", required=True)
    p.add_argument("--packed", required=True)
    p.add_argument("--cores", type=int, default=1)
    p.add_argument("--workers", type=int, default=None, help="default: what the peer does best with")
    p.add_argument("--batch", type=int, default=64)
    p.add_argument("--cpu-seconds", type=float, default=8)
    args = p.parse_args()

    import peers
    import torch

    torch.set_num_threads(1)
    began = time.perf_counter()
    version, batches = peers.PEERS[args.peer](args)
    batches = iter(batches)
    check(next(batches), args.batch)
    first = time.perf_counter() - began
    # Four batches to warm up and to learn what one takes, then as many as the time is for.
    _, _, used = take(batches, 4)
    n = max(4, round(args.cpu_seconds * 4 / used))
    views, wall, used = take(batches, n)
    check(views, args.batch)
    print(
        json.dumps(
            {
                "peer": args.peer,
                "version": version,
                "cores": args.cores,
                "samples_per_second": n * args.batch / wall,
                "samples_per_cpu_second": n * args.batch / used,
                "batches": n,
                "cpu_seconds": used,
                "wall_seconds": wall,
                "first_batch_seconds": first,
            }
        ),
        flush=True,
    )
    os._exit(0)  # some loaders hang while they are taken apart


if __name__ == "__main__":
    main()
