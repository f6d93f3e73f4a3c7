"""The peer of `resslt bench augment` in torchvision on PIL pictures: what most
people's data sets do, but that the file is decoded once for all views.
"""

import io
import random

import numpy as np
import PIL
import torch
import torchvision
from PIL import Image, ImageFilter
from torchvision import transforms as T

import augment_policies as common

torch.set_num_threads(1)


class Blur:
    """MoCo v2's GaussianBlur."""

    def __init__(self, lo, hi):
        self.lo, self.hi = lo, hi

    def __call__(self, im):
        return im.filter(ImageFilter.GaussianBlur(radius=random.uniform(self.lo, self.hi)))


def transform(s):
    mode = T.InterpolationMode.BICUBIC if s["cubic"] else T.InterpolationMode.BILINEAR
    ops = [T.RandomResizedCrop(s["size"], scale=s["scale"], interpolation=mode), T.RandomHorizontalFlip(s["flip"])]
    if "jitter" in s:
        ops += [
            T.RandomApply([T.ColorJitter(*s["jitter"][1:])], p=s["jitter"][0]),
            T.RandomGrayscale(s["gray"]),
            T.RandomApply([Blur(*s["blur"][1:])], p=s["blur"][0]),
        ]
        if s["solarize"]:
            ops.append(T.RandomSolarize(128, p=s["solarize"]))
    return T.Compose(ops)


TRANSFORMS = {name: [transform(s) for s in views] for name, views in common.POLICIES.items()}


def main():
    args = common.arguments(__doc__)
    transforms = TRANSFORMS[args.policy]
    torch.manual_seed(0)

    def make(data, _):
        picture = Image.open(io.BytesIO(data)).convert("RGB")
        return [np.asarray(t(picture)) for t in transforms]

    common.run(f"torchvision {torchvision.__version__} (PIL {PIL.__version__})", args, make)


if __name__ == "__main__":
    main()
