"""The weak and the strong view of preset `imagenet` in the peers' own operations, with the
same ranges and probabilities (bench/augment_policies.py).

Each of make_*() returns a function: an encoded picture's bytes to the views, two uint8
arrays or tensors. The file is decoded once for both views.
"""

import io
import pathlib
import random
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import augment_policies

VIEWS = augment_policies.POLICIES["imagenet"]


def make_albumentations():
    """AlbumentationsX on OpenCV's decoder: bytes to (S,S,3) arrays."""
    import albumentations as A
    import cv2
    import numpy as np

    cv2.setNumThreads(0)  # as its documentation advises within workers
    cv2.ocl.setUseOpenCL(False)

    def compose(s):
        ops = [
            A.RandomResizedCrop(size=(s["size"], s["size"]), scale=s["scale"], interpolation=cv2.INTER_CUBIC, area_for_downscale="image"),
            A.HorizontalFlip(p=s["flip"]),
        ]
        if "jitter" in s:
            p, brightness, contrast, saturation, hue = s["jitter"]
            spread = lambda v: (1 - v, 1 + v)
            ops += [
                A.ColorJitter(
                    brightness_range=spread(brightness),
                    contrast_range=spread(contrast),
                    saturation_range=spread(saturation),
                    hue_range=(-hue, hue),
                    p=p,
                ),
                A.ToGray(p=s["gray"]),
                A.GaussianBlur(blur_range=(0, 0), sigma_range=s["blur"][1:], p=s["blur"][0]),
                A.Solarize(threshold_range=(0.5, 0.5), p=s["solarize"]),
            ]
        return A.Compose(ops)

    views = [compose(s) for s in VIEWS]

    def make(data):
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
        return [t(image=picture)["image"] for t in views]

    return make


def make_pil():
    """torchvision on PIL pictures: bytes to (S,S,3) arrays."""
    import augment_torchvision
    import numpy as np
    from PIL import Image

    transforms = augment_torchvision.TRANSFORMS["imagenet"]

    def make(data):
        picture = Image.open(io.BytesIO(data)).convert("RGB")
        return [np.asarray(t(picture)) for t in transforms]

    return make


def make_v2():
    """torchvision's v2 transforms on uint8 tensors: bytes to (3,S,S) tensors."""
    import torch
    from torchvision.io import ImageReadMode, decode_image
    from torchvision.transforms import InterpolationMode, v2

    def compose(s):
        ops = [
            v2.RandomResizedCrop(s["size"], scale=s["scale"], interpolation=InterpolationMode.BICUBIC, antialias=True),
            v2.RandomHorizontalFlip(s["flip"]),
        ]
        if "jitter" in s:
            ops += [
                v2.RandomApply([v2.ColorJitter(*s["jitter"][1:])], p=s["jitter"][0]),
                v2.RandomGrayscale(s["gray"]),
                v2.RandomApply([v2.GaussianBlur(23, s["blur"][1:])], p=s["blur"][0]),
                v2.RandomSolarize(128, p=s["solarize"]),
            ]
        return v2.Compose(ops)

    views = [compose(s) for s in VIEWS]

    def make(data):
        picture = decode_image(torch.frombuffer(bytearray(data), dtype=torch.uint8), ImageReadMode.RGB)
        return [t(picture) for t in views]

    return make


MAKERS = {"albumentations": make_albumentations, "pil": make_pil, "v2": make_v2}


class Lazy:
    """A maker that is built in the worker that first uses it, whichever way workers start."""

    def __init__(self, name):
        self.name, self.make = name, None

    def __call__(self, data):
        if self.make is None:
            import torch

            torch.set_num_threads(1)
            random.seed()
            self.make = MAKERS[self.name]()
        return self.make(data)

    def __getstate__(self):
        return {"name": self.name, "make": None}
