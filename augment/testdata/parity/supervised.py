#!/usr/bin/env python3
"""Fixtures of supervised_test.go: torchvision's evaluation transform and automatic
augmentations on PIL pictures, as SHA-256 of the pixels.

    PYTHON supervised.py [--photos imagenet-sample-700.tar]

Made with torchvision 0.29.2 and Pillow 13.0.0 of PyPI. Debian 12's torchvision 0.14.1 and
Pillow 9.4.0 give the same digests, except for the pictures that are more than twice as high
as wide: Pillow 13 filters along their columns first. Writes eval/*.jpg, eval.json (a case: the picture,
resize, size, filter, digest), tv_augment.json (a case: the law, operation, magnitude, sign,
side of the view, digest) and, where the photos are, eval_photos.txt. Files that are
there are kept, so that another encoder moves no digest: remove them to make new ones.
"""

import argparse
import hashlib
import io
import json
import os
import tarfile

import numpy as np
from PIL import Image
from torchvision import transforms as T
from torchvision.transforms import autoaugment
from torchvision.transforms.functional import InterpolationMode as I

FILTERS = {"bilinear": I.BILINEAR, "bicubic": I.BICUBIC}


def digest(picture):
    return hashlib.sha256(np.asarray(picture.convert("RGB")).tobytes()).hexdigest()[:16]


def raw(w, h):
    """The picture that supervised_test.go makes by the same integers: slopes and noise."""
    y, x, c = np.meshgrid(*(np.arange(n, dtype=np.uint64) for n in (h, w, 3)), indexing="ij")
    noise = ((x * 73856093) ^ (y * 19349663) ^ (c * 83492791)) * 2654435761 & 0xFFFFFFFF
    slope = (x * 97 // w + y * 97 // h + c * 20) & 255
    return Image.fromarray(((slope + (noise >> 25)) & 255).astype(np.uint8), "RGB")


def evaluate(picture, resize, size, name):
    """What torchvision's presets do: the loader converts to RGB first."""
    t = T.Compose([T.Resize(resize, FILTERS[name]), T.CenterCrop(size)])
    return digest(t(picture.convert("RGB")))


JPEGS = {
    "420-301x257.jpg": (301, 257, "RGB", dict(quality=80, subsampling=2)),
    "444-257x389.jpg": (257, 389, "RGB", dict(quality=70, subsampling=0)),
    "422-progressive-467x300.jpg": (467, 300, "RGB", dict(quality=70, subsampling=1, progressive=True)),
    "gray-341x256.jpg": (341, 256, "L", dict(quality=80)),
    "cmyk-255x333.jpg": (255, 333, "CMYK", dict(quality=70)),
    "small-97x61.jpg": (97, 61, "RGB", dict(quality=90, subsampling=2)),
}
SIDES = [
    (256, 256), (256, 341), (341, 256), (500, 375), (375, 500), (257, 255), (333, 500), (1, 1), (1, 70), (90, 1),
    (3, 2), (31, 37), (224, 224), (225, 223), (640, 97), (97, 641), (1023, 767), (513, 512), (300, 451), (1500, 7),
]  # fmt: skip


def eval_cases():
    os.makedirs("eval", exist_ok=True)
    for name, (w, h, mode, options) in JPEGS.items():
        if not os.path.exists("eval/" + name):
            soft = raw(w, h).resize((w // 3 + 1, h // 3 + 1), Image.BICUBIC).resize((w, h), Image.BICUBIC)
            soft.convert(mode).save("eval/" + name, "JPEG", **options)
    pictures = [("eval/" + name, Image.open("eval/" + name)) for name in sorted(JPEGS)]
    pictures += [("files/" + name, Image.open("files/" + name)) for name in sorted(os.listdir("files")) if name.endswith((".jpg", ".png"))]
    pictures += [(f"{w}x{h}", raw(w, h)) for w, h in SIDES]
    cases = []
    for at, picture in pictures:
        for resize, size in ((256, 224), (232, 224), (40, 33), (64, 64)):
            # Wide slivers at 256 are 50,000 pixels long: once is enough.
            if max(picture.size) > 200 * min(picture.size) and resize > 64:
                continue
            for name in FILTERS:
                cases.append(dict(picture=at, resize=resize, size=size, filter=name, sha256=evaluate(picture, resize, size, name)))
    return cases


def q14(factor):
    """A factor as a plan holds it: a multiple of 2^-14."""
    return np.floor(factor * 16384 + 0.5) / 16384


def augment_cases():
    view = Image.open("view.png").convert("RGB")
    cases = []
    for law, t in (("rand", autoaugment.RandAugment()), ("wide", autoaugment.TrivialAugmentWide())):
        for side in (48, 31):
            img = view if side == 48 else view.resize((side, side), Image.BILINEAR)
            space = t._augmentation_space(31, (side, side)) if law == "rand" else t._augmentation_space(31)
            for op, (magnitudes, signed) in space.items():
                for m in range(31) if magnitudes.ndim else [9]:
                    for sign in (1, -1) if signed else (1,):
                        v = sign * float(magnitudes[m].item()) if magnitudes.ndim else 0.0
                        if op in ("Brightness", "Color", "Contrast", "Sharpness"):
                            v = q14(1 + v) - 1
                        # In float32 the 16th of 31 from 0 to 32 is 16 or 15.999999, by the
                        # version of PyTorch, and torchvision then cuts it.
                        if op.startswith("Translate"):
                            v = round(v, 3)
                        out = autoaugment._apply_op(img, op, v, I.NEAREST, None)
                        cases.append(dict(law=law, op=op, m=m, negative=sign < 0, side=side, sha256=digest(out)))
    return cases


def write(name, cases):
    with open(name, "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")


def photos(tar):
    with tarfile.open(tar) as archive, open("eval_photos.txt", "w") as f:
        f.write("# Photo; digests of Resize(256) and CenterCrop(224), bilinear and bicubic. See supervised.py.\n")
        for member in archive:
            if member.isfile() and member.size > 0:
                picture = Image.open(io.BytesIO(archive.extractfile(member).read()))
                f.write(f"{member.name} {evaluate(picture, 256, 224, 'bilinear')} {evaluate(picture, 256, 224, 'bicubic')}\n")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--photos", help="the sample of ImageNet, to write eval_photos.txt")
    args = p.parse_args()
    if args.photos:
        args.photos = os.path.abspath(args.photos)
    os.chdir(os.path.dirname(os.path.abspath(__file__)))
    write("eval.json", eval_cases())
    write("tv_augment.json", augment_cases())
    if args.photos:
        photos(args.photos)


main()
