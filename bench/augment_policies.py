"""What the peers of `resslt bench augment` share: the presets' views with their ranges and
probabilities, and the drawing of crops.
"""

import math
import random


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
