"""The presets' views in the peers' own operations, with the same ranges and probabilities
(bench/augment_policies.py).

Each of make_*(views) returns a function: an encoded picture's bytes to the views, uint8
arrays or tensors. The file is decoded once for all views.
"""

import io
import pathlib
import random
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import augment_policies

VIEWS = augment_policies.POLICIES["imagenet"]


def make_opencv(views):
    """OpenCV's functions by hand, as AlbumentationsX calls them: bytes to (S,S,3) arrays."""
    import augment_opencv

    return lambda data: augment_opencv.make(data, views)


def make_albumentations(views):
    """AlbumentationsX on OpenCV's decoder: bytes to (S,S,3) arrays."""
    import albumentations as A
    import cv2
    import numpy as np

    cv2.setNumThreads(0)  # as its documentation advises within workers
    cv2.ocl.setUseOpenCL(False)

    cubic = cv2.INTER_CUBIC

    def compose(s):
        ops = [
            A.RandomResizedCrop(
                size=(s["size"], s["size"]),
                scale=s["scale"],
                interpolation=cubic if s["cubic"] else cv2.INTER_LINEAR,
                area_for_downscale="image",
            ),
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
            ]
            if s["solarize"]:
                ops.append(A.Solarize(threshold_range=(0.5, 0.5), p=s["solarize"]))
        return A.Compose(ops)

    composed = [compose(s) for s in views]

    def make(data):
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
        return [t(image=picture)["image"] for t in composed]

    return make


def make_pil(views):
    """torchvision on PIL pictures, what most people run: bytes to (S,S,3) arrays."""
    import numpy as np
    from PIL import Image, ImageFilter
    from torchvision import transforms as T

    def blur(lo, hi):  # MoCo v2's
        return lambda im: im.filter(ImageFilter.GaussianBlur(radius=random.uniform(lo, hi)))

    def compose(s):
        mode = T.InterpolationMode.BICUBIC if s["cubic"] else T.InterpolationMode.BILINEAR
        ops = [T.RandomResizedCrop(s["size"], scale=s["scale"], interpolation=mode), T.RandomHorizontalFlip(s["flip"])]
        if "jitter" in s:
            ops += [
                T.RandomApply([T.ColorJitter(*s["jitter"][1:])], p=s["jitter"][0]),
                T.RandomGrayscale(s["gray"]),
                T.RandomApply([blur(*s["blur"][1:])], p=s["blur"][0]),
            ]
            if s["solarize"]:
                ops.append(T.RandomSolarize(128, p=s["solarize"]))
        return T.Compose(ops)

    composed = [compose(s) for s in views]

    def make(data):
        picture = Image.open(io.BytesIO(data)).convert("RGB")
        return [np.asarray(t(picture)) for t in composed]

    return make


def make_v2(views):
    """torchvision's v2 transforms on uint8 tensors: bytes to (3,S,S) tensors."""
    import torch
    from torchvision.io import ImageReadMode, decode_image
    from torchvision.transforms import InterpolationMode, v2

    def compose(s):
        mode = InterpolationMode.BICUBIC if s["cubic"] else InterpolationMode.BILINEAR
        ops = [
            v2.RandomResizedCrop(s["size"], scale=s["scale"], interpolation=mode, antialias=True),
            v2.RandomHorizontalFlip(s["flip"]),
        ]
        if "jitter" in s:
            ops += [
                v2.RandomApply([v2.ColorJitter(*s["jitter"][1:])], p=s["jitter"][0]),
                v2.RandomGrayscale(s["gray"]),
                v2.RandomApply([v2.GaussianBlur(23, s["blur"][1:])], p=s["blur"][0]),
            ]
            if s["solarize"]:
                ops.append(v2.RandomSolarize(128, p=s["solarize"]))
        return v2.Compose(ops)

    composed = [compose(s) for s in views]

    def make(data):
        picture = decode_image(torch.frombuffer(bytearray(data), dtype=torch.uint8), ImageReadMode.RGB)
        return [t(picture) for t in composed]

    return make


MAKERS = {"opencv": make_opencv, "albumentations": make_albumentations, "pil": make_pil, "v2": make_v2}


class Lazy:
    """A maker of the pair that is built in the worker that first uses it, whichever way workers start."""

    def __init__(self, name):
        self.name, self.make = name, None

    def __call__(self, data):
        if self.make is None:
            import torch

            torch.set_num_threads(1)
            random.seed()
            self.make = MAKERS[self.name](VIEWS)
        return self.make(data)

    def __getstate__(self):
        return {"name": self.name, "make": None}
