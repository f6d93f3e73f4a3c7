"""Measures one peer of `resslt bench augment`: all views of one picture after another.

    augment_peer.py PEER --policy imagenet --data FOLDER [--seconds S]

Prints one JSON object. Samples a CPU-second are over the whole tree of processes. Files are
in memory, for DALI in the page cache; one thread.
"""

import argparse
import importlib.metadata
import json
import pathlib
import random
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "loaders"))

import augment_policies
import measure
import transforms

PACKAGES = {
    "opencv": ["opencv-python-headless"],
    "albumentations": ["albumentationsx", "opencv-python-headless"],
    "pil": ["torchvision", "pillow"],
    "v2": ["torchvision"],
    "dali": ["nvidia-dali-cuda130"],
}
BATCH = 32  # DALI's, which renders no single samples


def files(folder):
    names = (p for p in sorted(pathlib.Path(folder).rglob("*")) if p.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp"))
    return list(names)


def check(sample, views):
    assert [sorted(v.shape) for v in sample] == [sorted((s["size"], s["size"], 3)) for s in views]
    assert all(str(v.dtype).endswith("uint8") for v in sample)


def by_dali(folder, views):
    """How many samples a call makes, and the call."""
    import dali_pipeline

    names = [str(p) for p in files(folder)]
    p = dali_pipeline.rendering(names, views, batch_size=BATCH, num_threads=1, device_id=None, prefetch_queue_depth=2)
    p.build()

    def call():
        check([v.at(0) for v in p.run()], views)

    return BATCH, call


def by_samples(peer, folder, views):
    if peer in ("pil", "v2"):
        import torch

        torch.set_num_threads(1)
        torch.manual_seed(0)
    if peer == "opencv":
        import cv2

        cv2.setNumThreads(1)
    make, data, n = transforms.MAKERS[peer](views), [p.read_bytes() for p in files(folder)], 0

    def call():
        nonlocal n
        check(make(data[n % len(data)]), views)
        n += 1

    return 1, call


def lap(seconds, call):
    """Calls for so long: how many, the seconds and the CPU-seconds."""
    n, wall, used = 0, time.perf_counter(), measure.tree_cpu()
    while time.perf_counter() - wall < seconds:
        call()
        n += 1
    return n, time.perf_counter() - wall, measure.tree_cpu() - used


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("peer", choices=sorted(PACKAGES))
    p.add_argument("--policy", choices=sorted(augment_policies.POLICIES), default="imagenet")
    p.add_argument("--data", required=True, help="folder of JPEG files, at any depth")
    p.add_argument("--seconds", type=float, default=6)
    args = p.parse_args()

    random.seed(0)
    views = augment_policies.POLICIES[args.policy]
    size, call = by_dali(args.data, views) if args.peer == "dali" else by_samples(args.peer, args.data, views)
    lap(max(1, args.seconds / 5), call)
    n, wall, used = lap(args.seconds, call)
    print(
        json.dumps(
            {
                "engine": ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES[args.peer]),
                "policy": args.policy,
                "samples_per_second": n * size / wall,
                "samples_per_cpu_second": n * size / used,
                "samples": n * size,
            }
        )
    )


if __name__ == "__main__":
    main()
