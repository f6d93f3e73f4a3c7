#!/usr/bin/python3
"""Fixtures of parity_test.go: what torchvision and PIL make of drawn parameters.

    cd augment/testdata/parity && /usr/bin/python3 generate.py

Made with torchvision 0.14.1, Pillow 9.4.0, torch 1.13.1 (Debian 12), seed 20240607.
Pictures are synthetic (gradients, discs, noise), so nothing here is anybody's.
Writes picture.png and view.png, cases.json + cases.bin (pixels, in the order of
the cases), files/* with the RGB that PIL reads from each (*.rgb), and draws.json
(statistics of 20,000 draws each).
"""

import io
import json
import os
import random

import numpy as np
import torch
from PIL import Image, ImageFilter, ImageOps
from torchvision import transforms as T
from torchvision.transforms import functional as F
from torchvision.transforms.functional import InterpolationMode as I

SEED = 20240607
random.seed(SEED)
np.random.seed(SEED)
torch.manual_seed(SEED)


def picture(w, h, rng):
    """A photo-like picture: slow gradients, hard-edged discs, sensor noise."""
    y, x = np.mgrid[0:h, 0:w].astype(np.float64)
    img = np.stack([127 + 110 * np.sin(x / w * f + y / h * g + p) for f, g, p in rng.uniform(0, 7, (3, 3))], -1)
    for _ in range(14):
        cx, cy, r = rng.uniform(0, w), rng.uniform(0, h), rng.uniform(1, 1 + min(w, h) / 4)
        img[(x - cx) ** 2 + (y - cy) ** 2 < r * r] = rng.uniform(0, 255, 3)
    img += rng.normal(0, 6, img.shape)
    return Image.fromarray(np.clip(img, 0, 255).astype(np.uint8), "RGB")


def affine(img, m):
    return img.transform(img.size, Image.AFFINE, m)


def main():
    rng = np.random.default_rng(SEED)
    W, H, S = 161, 117, 48
    base = picture(W, H, rng)
    base.save("picture.png")
    cases, blobs = [], []

    def add(op, out, **kw):
        a = np.asarray(out.convert("RGB"))
        cases.append(dict(op=op, bytes=a.size, **kw))
        blobs.append(a.tobytes())

    # Crop and resize, torchvision's resized_crop on drawn boxes.
    for k in range(16):
        i, j, h, w = T.RandomResizedCrop.get_params(base, (0.02, 1), (3 / 4, 4 / 3))
        if k == 0:
            i, j, h, w = 0, 0, H, W
        if k == 1:
            i, j, h, w = 5, 7, S, 60
        if k == 2:
            i, j, h, w = 5, 7, 60, S
        if k == 3:
            i, j, h, w = 9, 3, S, S
        for name, mode in (("bilinear", I.BILINEAR), ("bicubic", I.BICUBIC)):
            add("crop", F.resized_crop(base, i, j, h, w, [S, S], mode), box=[j, i, w, h], size=S, filter=name)

    small = F.resized_crop(base, 0, 0, H, W, [S, S], I.BICUBIC)
    small.save("view.png")
    # Factors are multiples of 2^-14, as a plan holds them.
    q14 = lambda lo, hi: int(rng.integers(int(lo * 16384), int(hi * 16384) + 1))
    for _ in range(6):
        f = q14(0, 2)
        add("brightness", F.adjust_brightness(small, f / 16384), arg=[f])
        f = q14(0, 2)
        add("contrast", F.adjust_contrast(small, f / 16384), arg=[f])
        f = q14(0, 2)
        add("saturation", F.adjust_saturation(small, f / 16384), arg=[f])
        h = float(rng.uniform(-0.5, 0.5))
        add("hue", F.adjust_hue(small, h), arg=[int(np.uint8(np.int64(h * 255)))])
        f = q14(0, 2)
        add("sharpness", F.adjust_sharpness(small, f / 16384), arg=[f])
    for f in (0, 16384, 65536):
        add("brightness", F.adjust_brightness(small, f / 16384), arg=[f])
        add("contrast", F.adjust_contrast(small, f / 16384), arg=[f])
        add("saturation", F.adjust_saturation(small, f / 16384), arg=[f])
    add("hue", F.adjust_hue(small, 0.0), arg=[0])
    add("grayscale", F.rgb_to_grayscale(small, 3), arg=[])
    for t in (0, 1, 64, 128, 200, 255, 256):
        add("solarize", F.solarize(small, t), arg=[t])
    add("flip", F.hflip(small), arg=[])
    add("autocontrast", ImageOps.autocontrast(small), arg=[])
    add("equalize", ImageOps.equalize(small), arg=[])
    for b in (1, 4, 5, 7, 8):
        add("posterize", ImageOps.posterize(small, b), arg=[b])
    # CLSA's geometry, named by its parameters: the test derives the matrix.
    for v in (0.03, 0.27, -0.15):
        add("shear_x", affine(small, (1, v, 0, 0, 1, 0)), value=v)
        add("shear_y", affine(small, (1, 0, 0, v, 1, 0)), value=v)
        add("translate_x", affine(small, (1, 0, int(v * S), 0, 1, 0)), value=v)
        add("translate_y", affine(small, (1, 0, 0, 0, 1, int(v * S))), value=v)
    for v in (3, 12, 27, -9, -21):
        add("rotate", small.rotate(v), value=v)
    # The exact Gaussian in float64 (replicated edges, cut at 8 sigma), and PIL's boxes.
    a = np.asarray(small).astype(np.float64)
    for sigma in (0.1, 0.35, 0.6, 1.0, 1.5, 2.0):
        q = round(sigma * 65536)
        s = q / 65536
        r = int(np.ceil(8 * s)) + 1
        k = np.exp(-(np.arange(-r, r + 1) ** 2) / (2 * s * s))
        k /= k.sum()
        p = np.pad(a, ((r, r), (r, r), (0, 0)), mode="edge")
        p = sum(k[t] * p[t : t + S] for t in range(2 * r + 1))
        p = sum(k[t] * p[:, t : t + S] for t in range(2 * r + 1))
        add("blur_exact", Image.fromarray(np.floor(p + 0.5).clip(0, 255).astype(np.uint8)), arg=[q])
        add("blur_pil", small.filter(ImageFilter.GaussianBlur(s)), arg=[q])

    with open("cases.json", "w") as f:
        json.dump(cases, f, indent=0)
    with open("cases.bin", "wb") as f:
        f.write(b"".join(blobs))

    # What PIL reads from files of every kind.
    os.makedirs("files", exist_ok=True)
    odd = picture(51, 37, rng)

    def keep(name, data):
        with open("files/" + name, "wb") as f:
            f.write(data)
        rgb = Image.open(io.BytesIO(data)).convert("RGB")
        with open("files/" + name + ".rgb", "wb") as f:
            f.write(rgb.tobytes())

    def save(img, fmt, **kw):
        b = io.BytesIO()
        img.save(b, fmt, **kw)
        return b.getvalue()

    for sub, n in (("444", 0), ("422", 1), ("420", 2)):
        keep(f"jpeg{sub}.jpg", save(odd, "JPEG", quality=90, subsampling=n))
    keep("progressive.jpg", save(odd, "JPEG", quality=90, progressive=True))
    # PIL writes no 4:4:0; on a 48×48 picture, 4:2:2 has as many MCUs of 16×8 as
    # 4:4:0 has of 8×16, so swapping luma's sampling factors gives a whole scan
    # (of another picture, which both decoders see alike).
    side = bytearray(save(picture(48, 48, rng), "JPEG", quality=90, subsampling=1))
    side[side.index(b"\xff\xc0") + 11] = 0x12
    keep("jpeg440.jpg", bytes(side))
    keep("gray.jpg", save(odd.convert("L"), "JPEG", quality=90))
    keep("cmyk.jpg", save(odd.convert("CMYK"), "JPEG", quality=90))
    # Adobe's transform byte set to 2 turns a CMYK file into a YCCK one.
    ycck = bytearray(save(odd.convert("CMYK"), "JPEG", quality=90))
    ycck[ycck.index(b"Adobe") + 11] = 2
    keep("ycck.jpg", bytes(ycck))
    keep("narrow.jpg", save(picture(3, 9, rng), "JPEG", quality=90, subsampling=2))
    ex = odd.getexif()
    ex[0x0112] = 6
    keep("orientation6.jpg", save(odd, "JPEG", quality=90, exif=ex))
    keep("rgb.png", save(odd, "PNG"))
    keep("gray.png", save(odd.convert("L"), "PNG"))
    keep("palette.png", save(odd.quantize(64), "PNG"))
    alpha = odd.convert("RGBA")
    alpha.putalpha(Image.fromarray(rng.integers(0, 256, (37, 51), dtype=np.uint8)))
    keep("alpha.png", save(alpha, "PNG"))
    la = Image.merge("LA", (odd.convert("L"), alpha.getchannel("A")))
    keep("grayalpha.png", save(la, "PNG"))
    import cv2

    deep = (np.asarray(odd).astype(np.uint16) << 8) + rng.integers(0, 256, (37, 51, 3), dtype=np.uint16)
    keep("rgb16.png", cv2.imencode(".png", deep)[1].tobytes())
    keep("lossless.webp", save(odd, "WEBP", lossless=True))
    keep("lossy.webp", save(odd, "WEBP", quality=90))
    keep("lossyalpha.webp", save(alpha, "WEBP", quality=90))

    draws()


def draws():
    """Histograms of torchvision's own draws; bins and order as draw_test.go has them."""
    n = 20000
    out = {"n": n, "crops": []}
    for w, h, scale in ((500, 375, (0.2, 1)), (500, 375, (0.08, 1)), (32, 32, (0.2, 1)), (600, 100, (0.5, 1))):
        img = Image.new("RGB", (w, h))
        area, ratio, xs, ys = [], [], [], []
        for _ in range(n):
            i, j, ch, cw = T.RandomResizedCrop.get_params(img, scale, (3 / 4, 4 / 3))
            area.append(cw * ch / (w * h))
            ratio.append(np.log(cw / ch))
            xs.append((2 * j + 1) * 20 // (2 * (w - cw + 1)))
            ys.append((2 * i + 1) * 20 // (2 * (h - ch + 1)))
        hist = lambda v, lo, hi: np.histogram(np.clip(v, lo, hi - 1e-9), 20, (lo, hi))[0].tolist()
        out["crops"].append(
            dict(
                w=w,
                h=h,
                scale=scale,
                area=hist(area, 0, 1),
                ratio=hist(ratio, -0.3, 0.3),
                x=np.bincount(xs, minlength=20).tolist(),
                y=np.bincount(ys, minlength=20).tolist(),
                mean_area=float(np.mean(area)),
                mean_ratio=float(np.mean(ratio)),
            )
        )
    jitter = T.ColorJitter(0.4, 0.4, 0.4, 0.1)
    orders, factors = {}, [[], [], [], []]
    for _ in range(n):
        fn, *f = T.ColorJitter.get_params(jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue)
        key = "".join(str(int(v)) for v in fn)
        orders[key] = orders.get(key, 0) + 1
        for dst, v in zip(factors, f):
            dst.append(v)
    shift = np.array([int(np.int8(np.uint8(np.int64(v * 255)))) for v in factors[3]])
    out["jitter"] = dict(
        orders=orders,
        factors=[np.histogram(f, 20, (0.6, 1.4))[0].tolist() for f in factors[:3]],
        hue={str(k): int((shift == k).sum()) for k in range(-26, 27)},
    )
    with open("draws.json", "w") as f:
        json.dump(out, f)


main()
