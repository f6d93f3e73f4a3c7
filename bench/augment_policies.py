"""What the peers of `resslt bench augment` share: the presets' views with their
ranges and probabilities, the files in memory, the drawing of crops, the timing.
"""

import argparse
import json
import math
import os
import pathlib
import random
import resource
import time


def weak(size, scale=(0.2, 1.0), cubic=True):
    return {"size": size, "scale": scale, "cubic": cubic, "flip": 0.5}


def strong(size, scale, cubic=True, saturation=0.2, solarize=0.1):
    return {
        "size": size,
        "scale": scale,
        "cubic": cubic,
        "flip": 0.5,
        "jitter": (0.8, 0.4, 0.4, saturation, 0.1),
        "gray": 0.2,
        "blur": (0.5, 0.1, 2.0),
        "solarize": solarize,
    }


# augment/presets: imagenet, imagenet-multi, small.
POLICIES = {
    "imagenet": [weak(224), strong(224, (0.14, 1.0))],
    "imagenet-multi": [
        weak(224),
        strong(224, (0.14, 1.0)),
        strong(192, (0.117, 0.86)),
        strong(160, (0.095, 0.715)),
        strong(128, (0.073, 0.571)),
        strong(96, (0.05, 0.429)),
    ],
    "small": [weak(32, cubic=False), strong(32, (0.2, 1.0), cubic=False, saturation=0.4, solarize=0)],
}


def arguments(doc):
    p = argparse.ArgumentParser(description=doc)
    p.add_argument("--policy", choices=sorted(POLICIES), default="imagenet")
    p.add_argument("--data", required=True, help="folder of JPEG files, at any depth")
    p.add_argument("--seconds", type=float, default=10)
    p.add_argument("--samples", type=int, default=2000, help="hold at most so many files in memory")
    return p.parse_args()


def files(folder, most):
    """The bytes of at most so many files, evenly from the folder."""
    names = sorted(p for p in pathlib.Path(folder).rglob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp"))
    n = min(len(names), most)
    return [names[i * len(names) // n].read_bytes() for i in range(n)]


def crop(width, height, scale, ratio=(3 / 4, 4 / 3)):
    """torchvision's RandomResizedCrop.get_params, as albumentations draws it: x, y, w, h."""
    area = width * height
    for _ in range(10):
        target = area * random.uniform(*scale)
        aspect = math.exp(random.uniform(math.log(ratio[0]), math.log(ratio[1])))
        w, h = round(math.sqrt(target * aspect)), round(math.sqrt(target / aspect))
        if 0 < w <= width and 0 < h <= height:
            return random.randint(0, width - w), random.randint(0, height - h), w, h
    side = min(width, height)
    return (width - side) // 2, (height - side) // 2, side, side


def cpu():
    u = resource.getrusage(resource.RUSAGE_SELF)
    return u.ru_utime + u.ru_stime


def run(engine, args, make):
    """Times make(bytes, views), a sample after another, and prints one JSON object."""
    random.seed(0)
    data, views = files(args.data, args.samples), POLICIES[args.policy]

    def lap(seconds):
        n, began, used = 0, time.perf_counter(), cpu()
        while time.perf_counter() - began < seconds:
            out = make(data[n % len(data)], views)
            assert [v.shape for v in out] == [(s["size"], s["size"], 3) for s in views]
            n += 1
        return n, time.perf_counter() - began, cpu() - used

    lap(args.seconds / 10)
    n, wall, used = lap(args.seconds)
    print(
        json.dumps(
            {
                "engine": engine,
                "policy": args.policy,
                "samples_per_second": n / wall,
                "samples_per_cpu_second": n / used,
                "views_per_second": n * len(views) / wall,
                "workers": 1,
                "samples": n,
                "rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
                "cpus": len(os.sched_getaffinity(0)),
            }
        )
    )
