"""The peer of `resslt bench augment` in OpenCV alone, doing what albumentations does
underneath: imdecode once, crop, INTER_AREA to shrink and INTER_CUBIC (or
INTER_LINEAR) to enlarge, tables for brightness, contrast and solarize, hue in
HSV, GaussianBlur. One thread.
"""

import math
import random

import cv2
import numpy as np

import augment_policies

cv2.setNumThreads(1)
RAMP = np.arange(256, dtype=np.float32)


def table(values):
    return np.clip(values, 0, 255).astype(np.uint8)


def jitter(im, s):
    p, brightness, contrast, saturation, hue = s
    if random.random() >= p:
        return im
    fb, fc, fs = (random.uniform(1 - r, 1 + r) for r in (brightness, contrast, saturation))
    fh = random.uniform(-hue, hue)
    for i in random.sample(range(4), 4):
        if i == 0:
            im = cv2.LUT(im, table(RAMP * fb))
        elif i == 1:
            mean = cv2.mean(cv2.cvtColor(im, cv2.COLOR_RGB2GRAY))[0]
            im = cv2.LUT(im, table(RAMP * fc + mean * (1 - fc)))
        elif i == 2:
            gray = cv2.cvtColor(cv2.cvtColor(im, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
            im = cv2.addWeighted(im, fs, gray, 1 - fs, 0)
        else:
            hsv = cv2.cvtColor(im, cv2.COLOR_RGB2HSV)
            h, sat, v = cv2.split(hsv)
            h = cv2.LUT(h, np.mod(RAMP + fh * 180, 180).astype(np.uint8))
            im = cv2.cvtColor(cv2.merge((h, sat, v)), cv2.COLOR_HSV2RGB)
    return im


def view(picture, s):
    x, y, w, h = augment_policies.crop(picture.shape[1], picture.shape[0], s["scale"])
    size = s["size"]
    shrink = w > size or h > size
    im = cv2.resize(
        picture[y : y + h, x : x + w],
        (size, size),
        interpolation=cv2.INTER_AREA if shrink else cv2.INTER_CUBIC if s["cubic"] else cv2.INTER_LINEAR,
    )
    if random.random() < s["flip"]:
        im = cv2.flip(im, 1)
    if "jitter" in s:
        im = jitter(im, s["jitter"])
        if random.random() < s["gray"]:
            im = cv2.cvtColor(cv2.cvtColor(im, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        if random.random() < s["blur"][0]:
            sigma = random.uniform(*s["blur"][1:])
            k = 2 * math.ceil(3 * sigma) + 1
            im = cv2.GaussianBlur(im, (k, k), sigma)
        if random.random() < s["solarize"]:
            im = cv2.LUT(im, table(np.where(RAMP >= 128, 255 - RAMP, RAMP)))
    return im


def make(data, views):
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    picture = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
    return [view(picture, s) for s in views]
