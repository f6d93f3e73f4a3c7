#!/usr/bin/env python3
"""Fixtures of timm_test.go: the pixels of every operation of timm's RandAugment.

    PYTHON timm_augment.py

Made with timm 1.0.31 and Pillow 13.0.0 of PyPI (make fixtures). Of timm only the file of the
operations is loaded, which needs neither PyTorch nor torchvision. The functions are timm's own;
what a plan holds as integers is rounded as there: factors to Q14, maps to Q16. Writes
timm_augment.json, a case a line: the operation by timm's name, its level, sign, filter, fill,
side of the view, and the SHA-256 of the pixels; and timm_levels.json, a histogram of the levels
that timm draws.
"""

import hashlib
import importlib.util
import json
import math
import os
import random

from PIL import Image

FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
LEVELS = [0, 0.35, 1.3, 2.5, 3.7, 5, 6.21, 7.77, 8.6, 9.4, 10]
SIGNED = ("Rotate", "Shear", "Translate")
FACTORS = ("Color", "Contrast", "Brightness", "Sharpness")


def load():
    timm = importlib.util.find_spec("timm").submodule_search_locations[0]
    spec = importlib.util.spec_from_file_location("auto_augment", os.path.join(timm, "data", "auto_augment.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rounded(v, one):
    return math.floor(v * one + 0.5) / one


class Picture(Image.Image):
    """A picture whose affine maps are a plan's: pixel (x, y) from a·x + b·y + c, in Q16."""

    def transform(self, size, method, data, *args, **kwargs):
        a, b, c, d, e, f = data
        c, f = rounded(c + a / 2 + b / 2, 65536), rounded(f + d / 2 + e / 2, 65536)
        a, b, d, e = (rounded(v, 65536) for v in (a, b, d, e))
        data = (a, b, c - a / 2 - b / 2, d, e, f - d / 2 - e / 2)
        return super().transform(size, method, data, *args, **kwargs)


def picture(image):
    out = Picture()
    out.im, out._mode, out._size = image.im, image.mode, image.size
    return out


def cases(timm):
    view = Image.open("view.png").convert("RGB")
    for increasing, names in ((False, timm._RAND_TRANSFORMS), (True, timm._RAND_INCREASING_TRANSFORMS)):
        for side in (48, 31):
            image = view if side == 48 else view.resize((side, side), Image.BILINEAR)
            for name in names:
                if increasing and not name.endswith("Increasing"):
                    continue
                geometric = name.startswith(SIGNED)
                signed = geometric or name.startswith(FACTORS) and increasing
                for level in LEVELS if timm.LEVEL_TO_ARG[name] else [5]:
                    for negative in (False, True) if signed else (False,):
                        for filter in FILTERS if geometric else ("bilinear",):
                            timm._randomly_negate = lambda v, negative=negative: -v if negative else v
                            args = timm.LEVEL_TO_ARG[name](level, {}) if timm.LEVEL_TO_ARG[name] else ()
                            if name.startswith("Posterize") and args[0] == 0:
                                continue  # Pillow 13 refuses to keep no bits; older ones gave black
                            if name.startswith(FACTORS):
                                args = (rounded(args[0], 16384),)
                            fill = (124, 116, 104) if side == 48 else (1, 2, 255)
                            out = timm.NAME_TO_OP[name](picture(image), *args, fillcolor=fill, resample=FILTERS[filter])
                            sha = hashlib.sha256(out.convert("RGB").tobytes()).hexdigest()[:16]
                            yield dict(op=name, level=level, negative=negative, filter=filter, fill=fill, side=side, sha256=sha)


def levels(timm):
    """How often timm draws which level: quarters of 0 … 10, and the two ends."""
    random.seed(1)
    out = []
    for m, mstd in ((10, 0.5), (9, 0.5), (1, 2.0)):
        drawn = [0] * 42
        op = timm.AugmentOp("Rotate", prob=1, magnitude=m, hparams=dict(magnitude_std=mstd))
        op.level_fn, op.aug_fn = lambda level, _: (level,), lambda _, level, **__: level
        for _ in range(10000):
            level = op(None)
            drawn[0 if level == 0 else 41 if level == 10 else 1 + int(4 * level)] += 1
        out.append(dict(m=m, mstd=mstd, drawn=drawn))
    return out


def write(name, rows):
    with open(name, "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(r) for r in rows) + "\n]\n")


def main():
    os.chdir(os.path.dirname(os.path.abspath(__file__)))
    timm = load()
    write("timm_augment.json", list(cases(timm)))
    write("timm_levels.json", levels(timm))


main()
