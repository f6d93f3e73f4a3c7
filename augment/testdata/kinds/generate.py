#!/usr/bin/env python3
"""Fixtures of kinds_test.go, and of convert_test.go in cmd/internal/packing: pictures that are not plain
8-bit RGB, by three writers.

    PYTHON generate.py

Made with Pillow 13.0.0, tifffile 2026.3.3 and OpenCV 5.0.0.93 of PyPI (make fixtures). Writes
files/* and want.json: of each file the pixels that it should give, zlib and base64, and who says so:

    pillow     convert("RGB")
    opencv     the upper 8 of 16 bits, since Pillow makes white of grey values over 255
    tifffile   the first band, of files that Pillow does not open
    nobody     it is refused

Files that are there are kept: some writers put a time or a number of their own in. And
converted.json: pictures made of chosen bands and a range of their numbers, by NumPy, as SHA-256.
"""

import base64
import hashlib
import json
import os
import zlib

import cv2
import numpy as np
import tifffile
from PIL import Image

W, H = 17, 11
Y, X = np.mgrid[:H, :W]


def band(i):
    return ((X * (13 + i * 7) + Y * (5 + i * 11) + i * 40) % 256).astype(np.uint8)


def bands(n, planar=False):
    return np.stack([band(i) for i in range(n)], 0 if planar else 2)


GREY, RGB, ALPHA = band(0), bands(3), band(5)
GREY16 = GREY.astype(np.uint16) * 251 + (X * Y % 200).astype(np.uint16)
RGB16 = RGB.astype(np.uint16) * 251 + 17


def by_pillow():
    def save(name, array, mode=None, convert=None, **options):
        picture = Image.fromarray(array) if mode is None else Image.merge(mode, [Image.fromarray(c) for c in np.moveaxis(array, 2, 0)])
        (picture if convert is None else picture.convert(convert)).save("files/pillow-" + name, **options)

    save("bilevel.png", GREY, convert="1")
    save("grey.png", GREY)
    save("grey-alpha.png", np.dstack([GREY, ALPHA]), "LA")
    save("grey16.png", GREY16)
    save("rgb.png", RGB)
    save("rgba.png", np.dstack([RGB, ALPHA]), "RGBA")
    few = Image.fromarray(RGB).quantize(60)
    few.save("files/pillow-palette.png")
    few.save("files/pillow-palette-transparent.png", transparency=3)
    few.save("files/pillow-palette.tif")
    Image.fromarray(RGB).quantize(4).save("files/pillow-palette-2bits.png", bits=2)
    save("grey.jpg", GREY)
    save("cmyk.jpg", RGB, convert="CMYK")
    save("rgb-not-ycc.jpg", RGB, keep_rgb=True)
    save("alpha.webp", np.dstack([RGB, ALPHA]), "RGBA", lossless=True)
    save("grey16.tif", GREY16)
    save("grey-alpha.tif", np.dstack([GREY, ALPHA]), "LA")
    save("cmyk.tif", RGB, convert="CMYK")
    save("lab.tif", RGB, convert="LAB")
    save("ycbcr.tif", RGB, convert="YCbCr")
    save("int32.tif", GREY, convert="I")
    save("float.tif", GREY, convert="F")


def by_opencv():
    def save(name, array):
        assert cv2.imwrite("files/opencv-" + name, array), name

    for ext in ("png", "tif"):
        save("grey16." + ext, GREY16)
        save("rgb16." + ext, RGB16)
        save("grey12in16." + ext, GREY16 >> 4)
    save("rgba16.png", np.dstack([RGB16, GREY16]))
    save("grey.jpg", GREY)
    save("float.tif", GREY.astype(np.float32))
    save("float.hdr", RGB.astype(np.float32) / 255)
    save("grey.pfm", GREY.astype(np.float32))
    save("rgb.pam", RGB)
    save("rgb.avif", RGB)
    save("grey.jp2", np.tile(GREY, (8, 8)))


def by_tifffile():
    def save(name, array, **options):
        tifffile.imwrite(f"files/tifffile-{name}.tif", array, metadata=None, **options)

    for name, kind in dict(uint8="u1", uint16="u2", uint32="u4", int8="i1", int16="i2", half="f2", float="f4", double="f8").items():
        save(name, (GREY16 if kind == "u2" else GREY).astype(kind))
    save("bool", GREY > 100)
    save("rgb16", RGB16, photometric="rgb")
    save("rgba", np.dstack([RGB, ALPHA]), photometric="rgb", extrasamples=["unassalpha"])
    save("rgb-infrared", np.dstack([RGB, ALPHA]), photometric="rgb", extrasamples=["unspecified"])
    for n in (2, 4, 5, 8, 13):
        save(f"{n}bands", bands(n), photometric="minisblack", planarconfig="contig")
        save(f"{n}bands-planar", bands(n, planar=True), photometric="minisblack", planarconfig="separate")
        save(f"{n}bands16", bands(n).astype(np.uint16) * 256, photometric="minisblack", planarconfig="contig")
    save("bigtiff", GREY, bigtiff=True)
    save("pages", np.stack([GREY, ALPHA, GREY]), photometric="minisblack")
    save("tiles16", np.tile(GREY16, (2, 3)), tile=(16, 16))
    save("deflate16", GREY16, compression="zlib", predictor=True)
    tifffile.imwrite("files/tifffile-imagej.tif", np.stack([GREY16, GREY16 // 2]), imagej=True)
    tifffile.imwrite("files/tifffile-ome.tif", np.stack([GREY, ALPHA]), ome=True, photometric="minisblack")


def truth(path):
    """The reader that is right about a file, and its pixels."""
    picture = cv2.imread(path, cv2.IMREAD_UNCHANGED)
    if picture is not None and picture.dtype == np.uint16 and (picture.ndim == 2 or picture.shape[2] < 5) and "bands" not in path:
        if picture.ndim == 2:
            picture = np.dstack([picture] * 3)
        return "opencv", (picture[:, :, 2::-1] >> 8).astype(np.uint8)
    if "bands" in path and "13" not in path:
        with tifffile.TiffFile(path) as f:
            first = f.pages[0].asarray()
        first = first[0] if "planar" in path else first[:, :, 0]
        return "tifffile", np.dstack([first if first.dtype == np.uint8 else (first >> 8).astype(np.uint8)] * 3)
    return "pillow", np.asarray(Image.open(path).convert("RGB"))


def converted():
    """The numbers of each TIFF and 16-bit PNG, (h,w,bands), a choice of bands and ranges, and what they give."""
    for name in sorted(os.listdir("files")):
        if name.endswith(".png") or name.startswith("opencv-") and name.endswith(".tif"):
            numbers = cv2.imread("files/" + name, cv2.IMREAD_UNCHANGED)
            if numbers.dtype == np.uint8:
                continue
            if numbers.ndim == 3:
                numbers = numbers[:, :, [2, 1, 0, 3][: numbers.shape[2]]]
        elif name.endswith(".tif"):
            with tifffile.TiffFile("files/" + name) as f:
                page = f.pages[0]
                if f.is_bigtiff or page.photometric > 2 or page.bitspersample == 1:
                    continue
                numbers = page.asarray()
                if page.planarconfig == 2:
                    numbers = np.moveaxis(numbers, 0, 2)
        else:
            continue
        numbers = numbers.reshape(*numbers.shape[:2], -1).astype(np.float64)
        n = numbers.shape[2]
        for bands in [[1]] + [[n]] * (n > 1) + [[3, 2, 1], [n, n, 1]] * (n > 2):
            for lo, hi in ((0, 4095), (-20.5, 100), (0.25, 0.75)):
                share = np.clip((numbers[:, :, [b - 1 for b in bands]] - lo) / (hi - lo), 0, 1)
                sha = hashlib.sha256(np.floor(share * 255 + 0.5).astype(np.uint8).tobytes()).hexdigest()[:16]
                yield dict(file=name, bands=bands, range=[lo, hi], sha256=sha)


# What no engine decodes: kinds_test.go has the reasons.
REFUSED = ("-lab", "ycbcr", "int32", "-int16", "float", "half", "double", "13bands", "bigtiff", "hdr", "pfm", "pam", "avif", "jp2")


def main():
    os.chdir(os.path.dirname(os.path.abspath(__file__)))
    os.makedirs("files", exist_ok=True)
    before = {name: open("files/" + name, "rb").read() for name in os.listdir("files")}
    by_pillow()
    by_opencv()
    by_tifffile()
    for name, content in before.items():
        with open("files/" + name, "wb") as f:
            f.write(content)
    rows = []
    for name in sorted(os.listdir("files")):
        row = dict(file=name, by="nobody")
        if not any(word in name for word in REFUSED):
            row["by"], pixels = truth("files/" + name)
            row.update(w=pixels.shape[1], h=pixels.shape[0], rgb=base64.b64encode(zlib.compress(pixels.tobytes(), 9)).decode())
        rows.append(json.dumps(row))
    for name, lines in (("want.json", rows), ("converted.json", map(json.dumps, converted()))):
        with open(name, "w") as f:
            f.write("[\n" + ",\n".join(lines) + "\n]\n")


main()
