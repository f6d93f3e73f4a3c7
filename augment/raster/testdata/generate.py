#!/usr/bin/python3
"""Fixtures of pillow_test.go: pictures by several writers, and the RGB that Pillow reads.

    cd augment/raster/testdata && /usr/bin/python3 generate.py

Made with Pillow 9.4.0 (Debian 12), ImageMagick 6.9.11, netpbm 11.01 and libtiff-tools 4.5 (apt),
seed 20261128. The picture is synthetic. Writes files/* and want.json: for each file its size and
the pixels of convert("RGB"), zlib and base64, or what Pillow says where it refuses it.
"""

import base64
import io
import json
import os
import random
import shutil
import struct
import subprocess
import warnings
import zlib

from PIL import Image

warnings.simplefilter("ignore")
random.seed(20261128)
W, H = 21, 13
OUT = {}


def picture(w=W, h=H):
    """Gradients, a disc, noise."""
    im = Image.new("RGB", (w, h))
    for y in range(h):
        for x in range(w):
            inside = (x - w / 2) ** 2 + (y - h / 2) ** 2 < (h / 3) ** 2
            noise = random.randrange(24)
            im.putpixel((x, y), (200, 30, 90) if inside else (x * 255 // w, y * 255 // h, min(255, 8 * x + noise)))
    return im


BASE = picture()
ALPHA = Image.merge("RGBA", (*BASE.split(), BASE.convert("L").point(lambda v: 255 - v)))
GREY = BASE.convert("L")
COLORS = BASE.quantize(200)
FEW = BASE.quantize(13)
FOUR = BASE.quantize(4)
MONO = BASE.convert("1")


def add(name, data):
    OUT[name] = bytes(data)


def pil(name, im, fmt, **kw):
    b = io.BytesIO()
    im.save(b, fmt, **kw)
    add(name, b.getvalue())


# --- BMP ---------------------------------------------------------------------------------


def rows(im, bits, bottom_up=True, bgr=None):
    """The packed rows of a BMP."""
    out = []
    for y in range(im.height):
        if bits <= 8:
            v = [im.getpixel((x, y)) for x in range(im.width)]
            b = "".join(format(p, f"0{bits}b") for p in v)
            b += "0" * (-len(b) % 32)
            out.append(bytes(int(b[i : i + 8], 2) for i in range(0, len(b), 8)))
        else:
            r = b"".join(bgr(im.getpixel((x, y))) for x in range(im.width))
            out.append(r + bytes(-len(r) % 4))
    return b"".join(reversed(out) if bottom_up else out)


def bmp(body, bits, pal=b"", comp=0, size=40, h=H, colors=0, masks=b"", gap=b"", w=W):
    if size == 12:
        head = struct.pack("<IHHHH", 12, w, h, 1, bits)
    else:
        head = struct.pack("<IiiHHIIiiII", size, w, h, 1, bits, comp, len(body), 2835, 2835, colors, 0)
        head += (masks if size > 40 else b"").ljust(size - 40, b"\0")
    after = (masks if size == 40 else b"") + pal + gap
    offset = 14 + size + len(after)
    return b"BM" + struct.pack("<IHHI", offset + len(body), 0, 0, offset) + head + after + body


def bgrx(im, n, entry=4):
    p = im.getpalette()[: 3 * n]
    return b"".join(bytes([p[i + 2], p[i + 1], p[i], 0][:entry]) for i in range(0, len(p), 3))


def rle8(im):
    out = b""
    for y in reversed(range(im.height)):
        row = [im.getpixel((x, y)) for x in range(im.width)]
        out += bytes([0, 5]) + bytes(row[:5]) + b"\0"  # as they are, padded
        i = 5
        while i < len(row):
            n = 1
            while i + n < len(row) and row[i + n] == row[i]:
                n += 1
            out += bytes([n, row[i]])
            i += n
        out += b"\0\0"
    return out + b"\0\1"


def rle4(im):
    out = b""
    for y in reversed(range(im.height)):
        row = [im.getpixel((x, y)) for x in range(im.width)]
        out += bytes([0, 6]) + bytes(row[i] << 4 | row[i + 1] for i in (0, 2, 4)) + b"\0"
        i = 6
        while i < len(row):
            a, b, n = row[i], row[i + 1] if i + 1 < len(row) else 0, 1
            while i + n < len(row) and row[i + n] == (a, b)[n & 1]:
                n += 1
            out += bytes([n, a << 4 | b])
            i += n
        out += b"\0\0"
    return out + b"\0\1"


def bmps():
    pil("pil-rgb.bmp", BASE, "BMP")
    pil("pil-grey.bmp", GREY, "BMP")
    pil("pil-palette.bmp", COLORS, "BMP")
    pil("pil-mono.bmp", MONO, "BMP")
    pil("pil-alpha.bmp", ALPHA, "BMP")
    mono = FOUR.point(lambda v: v & 1)
    p2 = bytes([10, 200, 30, 0, 250, 20, 90, 0])
    add("bits1.bmp", bmp(rows(mono, 1), 1, p2))
    add("bits1-topdown.bmp", bmp(rows(mono, 1, False), 1, p2, h=-H))
    add("bits4.bmp", bmp(rows(FEW, 4), 4, bgrx(FEW, 16)))
    add("bits4-13colors.bmp", bmp(rows(FEW, 4), 4, bgrx(FEW, 13), colors=13))
    add("bits8-200colors.bmp", bmp(rows(COLORS, 8), 8, bgrx(COLORS, 200), colors=200))
    add("bits8-gap.bmp", bmp(rows(COLORS, 8), 8, bgrx(COLORS, 256), gap=b"12345678"))
    add("bits8-os2.bmp", bmp(rows(COLORS, 8), 8, bgrx(COLORS, 256, 3), size=12))
    add("bits4-os2.bmp", bmp(rows(FEW, 4), 4, bgrx(FEW, 16, 3), size=12))
    add("bits24-os2.bmp", bmp(rows(BASE, 24, bgr=lambda p: bytes(p[::-1])), 24, size=12))
    add("bits8-os2-v2.bmp", bmp(rows(COLORS, 8), 8, bgrx(COLORS, 256), size=64))
    add("bits24-v4.bmp", bmp(rows(BASE, 24, bgr=lambda p: bytes(p[::-1])), 24, size=108))
    add("bits24-v5-topdown.bmp", bmp(rows(BASE, 24, False, bgr=lambda p: bytes(p[::-1])), 24, size=124, h=-H))

    def b16(r, g, b, s):
        return lambda p: struct.pack("<H", p[0] >> 3 << r | (p[1] >> (8 - s)) << g | p[2] >> 3 << b)

    m565, m555 = struct.pack("<III", 0xF800, 0x7E0, 0x1F), struct.pack("<III", 0x7C00, 0x3E0, 0x1F)
    add("bits16.bmp", bmp(rows(BASE, 16, bgr=b16(10, 5, 0, 5)), 16))
    add("bits16-555.bmp", bmp(rows(BASE, 16, bgr=b16(10, 5, 0, 5)), 16, comp=3, masks=m555))
    add("bits16-565.bmp", bmp(rows(BASE, 16, bgr=b16(11, 5, 0, 6)), 16, comp=3, masks=m565))
    add("bits16-565-v5.bmp", bmp(rows(BASE, 16, bgr=b16(11, 5, 0, 6)), 16, comp=3, size=124, masks=m565))
    add(
        "bits16-444.bmp",
        bmp(
            rows(BASE, 16, bgr=lambda p: struct.pack("<H", p[0] >> 4 << 8 | p[1] >> 4 << 4 | p[2] >> 4)),
            16,
            comp=3,
            masks=struct.pack("<III", 0xF00, 0xF0, 0xF),
        ),
    )
    bgra = lambda p: bytes([p[2], p[1], p[0], p[3]])
    add("bits32.bmp", bmp(rows(ALPHA, 32, bgr=bgra), 32))
    masks = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    add("bits32-masks.bmp", bmp(rows(ALPHA, 32, bgr=bgra), 32, comp=3, masks=masks[:12]))
    add("bits32-v4.bmp", bmp(rows(ALPHA, 32, bgr=bgra), 32, comp=3, size=108, masks=masks))
    add(
        "bits32-rgba-v5.bmp",
        bmp(rows(ALPHA, 32, bgr=bytes), 32, comp=3, size=124, masks=struct.pack("<IIII", 0xFF, 0xFF00, 0xFF0000, 0xFF000000)),
    )
    add(
        "bits32-xbgr.bmp",
        bmp(
            rows(BASE, 32, bgr=lambda p: bytes([7, p[2], p[1], p[0]])), 32, comp=3, masks=struct.pack("<III", 0xFF000000, 0xFF0000, 0xFF00)
        ),
    )
    add("rle8.bmp", bmp(rle8(COLORS), 8, bgrx(COLORS, 256), comp=1))
    add("rle4.bmp", bmp(rle4(FEW), 4, bgrx(FEW, 16), comp=2))
    # What Pillow reads, though marks, headers or places are missing.
    for name, rle, bits, im in (("rle8", rle8(COLORS), 8, COLORS), ("rle4", rle4(FEW), 4, FEW)):
        pal, comp = bgrx(im, 1 << bits), 1 if bits == 8 else 2
        add(f"{name}-no-end.bmp", bmp(rle[:-2], bits, pal, comp=comp))
        add(f"{name}-no-marks.bmp", bmp(rle[:-4], bits, pal, comp=comp))
        add(f"{name}-half-a-mark.bmp", bmp(rle[:-3], bits, pal, comp=comp))
        add(f"{name}-cut.bmp", bmp(rle[: len(rle) // 2], bits, pal, comp=comp))
    for name, im in (("rgb", BASE), ("grey", GREY), ("palette", COLORS), ("mono", MONO), ("alpha", ALPHA)):
        pil(f"pil-{name}.dib", im, "DIB")
    for name in (
        "pil-rgb",
        "bits8-200colors",
        "bits16-565",
        "bits16-565-v5",
        "bits24-os2",
        "bits32-masks",
        "bits24-v5-topdown",
        "rle8-no-end",
    ):
        b = bytearray(OUT[f"{name}.bmp"])
        b[10:14] = bytes(4)
        add(f"{name}-offset0.bmp", b)
    add("jpeg-inside.bmp", bmp(b"\xff\xd8\xff\xe0", 24, comp=4))


# --- GIF ---------------------------------------------------------------------------------


def gifs():
    pil("pil.gif", COLORS, "GIF")
    pil("pil-interlaced.gif", COLORS, "GIF", interlace=1)
    pil("pil-plain.gif", COLORS, "GIF", interlace=0)
    pil("pil-few.gif", FEW, "GIF", optimize=True)
    pil("pil-grey.gif", GREY, "GIF")
    pil("pil-mono.gif", MONO, "GIF")
    pil("pil-transparent.gif", COLORS, "GIF", transparency=COLORS.getpixel((3, 3)))
    pil("pil-animated.gif", BASE, "GIF", save_all=True, append_images=[BASE.rotate(90), BASE.rotate(180)], duration=50, loop=0)
    pil("pil-comment.gif", COLORS, "GIF", comment=b"x" * 700)
    b = bytearray(OUT["pil-plain.gif"])
    screen = struct.pack("<HH", W + 6, H + 5)
    at = b.index(b",\0\0\0\0" + struct.pack("<HH", W, H))
    b[6:10] = screen
    b[at + 1 : at + 5] = struct.pack("<HH", 4, 2)
    add("frame-inside.gif", b)
    b = bytearray(OUT["pil-transparent.gif"])
    at = b.index(b",\0\0\0\0" + struct.pack("<HH", W, H))
    b[6:10] = screen
    b[at + 1 : at + 5] = struct.pack("<HH", 1, 5)
    add("frame-inside-transparent.gif", b)
    b = bytearray(OUT["pil-plain.gif"])
    b[6:10] = struct.pack("<HH", 5, 5)
    add("frame-beyond.gif", b)
    b = bytearray(OUT["pil-plain.gif"])  # the palette moves to the frame
    at = b.index(b",\0\0\0\0" + struct.pack("<HH", W, H))
    n = 3 * (2 << (b[10] & 7))
    local = (
        bytes(b[:10])
        + bytes([b[10] & 0x78])
        + bytes(b[11:13])
        + bytes(b[13 + n : at + 9])
        + bytes([b[at + 9] | 0x80 | b[10] & 7])
        + bytes(b[13 : 13 + n])
        + bytes(b[at + 10 :])
    )
    add("local-palette.gif", local)
    add("no-palette.gif", bytes(b[:10]) + bytes([b[10] & 0x78]) + bytes(b[11:13]) + bytes(b[13 + n :]))
    add("87a.gif", b"GIF87a" + bytes(b[6:]))
    for h in (1, 2, 3, 4, 5, 7, 9):
        pil(f"interlaced-{h}.gif", picture(9, h).quantize(40), "GIF", interlace=1)
    # Literals of 1 bit: all codes have 2, whatever the table would say.
    lit = [MONO.getpixel((x, y)) & 1 for y in range(H) for x in range(W)]
    for name, codes in (
        ("bits1", [2, *lit, 3]),
        ("bits1-no-end", [2, *lit]),
        ("bits1-clears", [2, *(c for v in lit for c in (v, 2)), 3]),
        ("bits1-short", [2, *lit[: len(lit) // 2], 3]),
    ):
        v = sum(c << 2 * i for i, c in enumerate(codes))
        data = v.to_bytes((2 * len(codes) + 7) // 8, "little")
        blocks = b"".join(bytes([len(data[i : i + 255])]) + data[i : i + 255] for i in range(0, len(data), 255))
        head = b"GIF89a" + struct.pack("<HHBBB", W, H, 0x80, 0, 0) + bytes([200, 30, 90, 10, 90, 250])
        add(f"{name}.gif", head + b"," + struct.pack("<HHHHB", 0, 0, W, H, 0) + b"\1" + blocks + b"\0;")
    big = picture(150, 130).quantize(256)  # codes of 12 bits, a full table
    pil("table-full.gif", big, "GIF", interlace=0)


# --- PNM ---------------------------------------------------------------------------------


def pnms():
    pil("pil.ppm", BASE, "PPM")
    pil("pil.pgm", GREY, "PPM")
    pil("pil.pbm", MONO, "PPM")
    flat = [v for p in BASE.getdata() for v in p]
    grey = list(GREY.getdata())
    add("comment.ppm", b"P6 # one\n# two\n%d\t%d # three\n255\n" % (W, H) + bytes(flat))
    add("max100.ppm", b"P6\n%d %d\n100\n" % (W, H) + bytes(v * 100 // 255 for v in flat))
    add("max15.pgm", b"P5 %d %d 15 " % (W, H) + bytes(v // 16 for v in grey))
    add("over.ppm", b"P6\n%d %d\n100\n" % (W, H) + bytes(flat))
    add("max65535.ppm", b"P6\n%d %d\n65535\n" % (W, H) + b"".join(struct.pack(">H", v * 257 + 77 & 0xFFFF) for v in flat))
    add("max1000.ppm", b"P6\n%d %d\n1000\n" % (W, H) + b"".join(struct.pack(">H", v * 1000 // 255) for v in flat))
    add("plain.ppm", b"P3\n#c\n%d %d\n255\n" % (W, H) + b"\n".join(b"%d" % v for v in flat))
    add("plain-max99.ppm", b"P3 %d %d 99 " % (W, H) + b" ".join(b"%d" % (v * 99 // 255) for v in flat))
    add("plain.pgm", b"P2\n%d %d\n255\n" % (W, H) + b" ".join(b"%d" % v for v in grey))
    add("plain-over.pgm", b"P2\n%d %d\n9\n" % (W, H) + b" ".join(b"%d" % v for v in grey))
    add(
        "plain.pbm",
        b"P1\n%d %d\n" % (W, H) + b"\n".join(bytes(48 + (p == 0) for p in [MONO.getpixel((x, y)) for x in range(W)]) for y in range(H)),
    )
    add("plain-spaces.pbm", b"P1 %d %d\n" % (W, H) + b" ".join(b"%d" % (p == 0) for p in MONO.getdata()))


# --- TIFF --------------------------------------------------------------------------------


def tiff(tags, blocks, order="<", offset_tag=273):
    """A TIFF of one page: tags are (tag, type, values); blocks go before the directory."""
    body, offsets = b"", []
    for blk in blocks:
        offsets.append(8 + len(body))
        body += blk + bytes(len(blk) % 2)
    tags = [*tags, (offset_tag, 4, offsets), (offset_tag + (6 if offset_tag == 273 else 1), 4, [len(b) for b in blocks])]
    at = 8 + len(body)
    extra_at = at + 2 + 12 * len(tags) + 4
    ifd, extra = struct.pack(order + "H", len(tags)), b""
    for tag, typ, values in sorted(tags):
        raw = struct.pack(order + str(len(values)) + {1: "B", 3: "H", 4: "I"}[typ], *values)
        n = len(values)
        if len(raw) > 4:
            ifd += struct.pack(order + "HHII", tag, typ, n, extra_at + len(extra))
            extra += raw + bytes(len(raw) % 2)
        else:
            ifd += struct.pack(order + "HHI", tag, typ, n) + raw.ljust(4, b"\0")
    return (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", at) + body + ifd + bytes(4) + extra


def shape(bits, photo, samples=1, comp=1, w=W, h=H, **more):
    t = [(256, 3, [w]), (257, 3, [h]), (258, 3, [bits] * samples), (259, 3, [comp]), (262, 3, [photo]), (277, 3, [samples])]
    names = {
        "rows": 278,
        "extra": 338,
        "planar": 284,
        "predictor": 317,
        "orientation": 274,
        "fill": 266,
        "format": 339,
        "tw": 322,
        "th": 323,
    }
    for k, v in more.items():
        t.append((names[k], 3, v if isinstance(v, list) else [v]))
    return t


def pack(values, bits):
    b = "".join(format(v, f"0{bits}b") for v in values)
    b += "0" * (-len(b) % 8)
    return bytes(int(b[i : i + 8], 2) for i in range(0, len(b), 8))


def tiffs():
    for comp in ("raw", "tiff_lzw", "tiff_deflate", "tiff_adobe_deflate", "packbits"):
        kw = {} if comp == "raw" else {"compression": comp}
        pil(f"pil-rgb-{comp}.tif", BASE, "TIFF", **kw)
        pil(f"pil-grey-{comp}.tif", GREY, "TIFF", **kw)
        pil(f"pil-palette-{comp}.tif", COLORS, "TIFF", **kw)
        pil(f"pil-alpha-{comp}.tif", ALPHA, "TIFF", **kw)
    for comp in ("group3", "group4"):
        pil(f"pil-mono-{comp}.tif", MONO, "TIFF", compression=comp)
    pil("pil-mono.tif", MONO, "TIFF")
    pil("pil-cmyk.tif", BASE.convert("CMYK"), "TIFF")
    pil("pil-greyalpha.tif", ALPHA.convert("LA"), "TIFF")
    pil("pil-lab.tif", BASE.convert("LAB"), "TIFF")
    pil("pil-float.tif", GREY.convert("F"), "TIFF")
    pil("pil-int32.tif", GREY.convert("I"), "TIFF")
    pil("pil-jpeg.tif", BASE, "TIFF", compression="jpeg")
    pil("pil-pages.tif", BASE, "TIFF", save_all=True, append_images=[BASE.rotate(180)])
    for n in range(2, 9):
        pil(f"pil-orientation{n}.tif", BASE, "TIFF", tiffinfo={274: n}, compression=("tiff_lzw", "raw")[n % 2])
    px, grey = list(BASE.getdata()), list(GREY.getdata())
    rgb = b"".join(map(bytes, px))
    rgba = b"".join(map(bytes, ALPHA.getdata()))
    for order, o in (("<", "le"), (">", "be")):
        w16 = lambda vs: struct.pack(order + f"{len(vs)}H", *[v * 256 + (v * 7 & 255) for v in vs])
        add(f"rgb16-{o}.tif", tiff(shape(16, 2, 3), [w16(list(rgb))], order))
        add(f"rgba16-premultiplied-{o}.tif", tiff(shape(16, 2, 4, extra=1), [w16(list(rgba))], order))
        add(f"grey16-{o}.tif", tiff(shape(16, 1), [w16(grey)], order))
        add(f"rgb-strips-{o}.tif", tiff(shape(8, 2, 3, rows=4), [rgb[i : i + 12 * W] for i in range(0, len(rgb), 12 * W)], order))
        d16 = b"".join(
            w16([0])[:0]
            + struct.pack(
                order + f"{3 * W}H",
                *[
                    (v * 256 - (rgb[y * 3 * W + i - 3] * 256 if i >= 3 else 0)) & 0xFFFF
                    for i, v in enumerate(rgb[y * 3 * W : (y + 1) * 3 * W])
                ],
            )
            for y in range(H)
        )
        add(f"rgb16-predictor-{o}.tif", tiff(shape(16, 2, 3, comp=8, predictor=2), [zlib.compress(d16)], order))
    add("rgba-premultiplied.tif", tiff(shape(8, 2, 4, extra=1), [rgba]))
    add("rgbx.tif", tiff(shape(8, 2, 4, extra=0), [rgba]))
    add("rgb-4samples.tif", tiff(shape(8, 2, 4), [rgba]))
    add("rgb-5samples.tif", tiff(shape(8, 2, 5, extra=[2, 0]), [b"".join(bytes(p) + b"\7" for p in ALPHA.getdata())]))
    diff = b"".join(bytes((rgb[y * 3 * W + i] - (rgb[y * 3 * W + i - 3] if i >= 3 else 0)) & 255 for i in range(3 * W)) for y in range(H))
    add("rgb-predictor.tif", tiff(shape(8, 2, 3, comp=8, predictor=2), [zlib.compress(diff)]))
    add("rgb-planar.tif", tiff(shape(8, 2, 3, planar=2), [rgb[c::3] for c in range(3)]))
    add(
        "rgb-planar-deflate-strips.tif",
        tiff(
            shape(8, 2, 3, comp=8, planar=2, rows=5),
            [zlib.compress(rgb[c::3][i : i + 5 * W]) for c in range(3) for i in range(0, W * H, 5 * W)],
        ),
    )
    for bits in (1, 2, 4):
        body = b"".join(pack([v >> (8 - bits) for v in grey[y * W : (y + 1) * W]], bits) for y in range(H))
        add(f"grey{bits}.tif", tiff(shape(bits, 1), [body]))
        add(f"grey{bits}-white0.tif", tiff(shape(bits, 0), [body]))
        add(f"grey{bits}-reversed.tif", tiff(shape(bits, 1, fill=2), [bytes(int(f"{b:08b}"[::-1], 2) for b in body)]))
        pal = [(i * 7919) & 0xFFFF for i in range(3 << bits)]
        add(f"palette{bits}.tif", tiff([*shape(bits, 3), (320, 3, pal)], [body]))
    add("grey-white0.tif", tiff(shape(8, 0), [bytes(grey)]))
    add("cmyk-deflate.tif", tiff(shape(8, 5, 4, comp=8), [zlib.compress(b"".join(map(bytes, BASE.convert("CMYK").getdata())))]))
    tiles = []
    for y in range(0, H, 16):
        for x in range(0, W, 16):
            tiles.append(
                zlib.compress(b"".join(bytes(px[min(H - 1, y + j) * W + min(W - 1, x + i)]) for j in range(16) for i in range(16)))
            )
    add("rgb-tiles.tif", tiff(shape(8, 2, 3, comp=8, tw=16, th=16), tiles, offset_tag=324))
    add("big.tif", b"II+\0\x08\0\0\0" + bytes(16))
    add("zstd.tif", tiff(shape(8, 2, 3, comp=50000), [rgb]))


# --- other writers -----------------------------------------------------------------------


def others():
    BASE.save("base.png")
    COLORS.save("colors.png")
    MONO.save("mono.png")
    ALPHA.save("alpha.png")
    run = lambda *a: subprocess.run(a, check=True, capture_output=True).stdout
    if os.path.exists("/usr/bin/convert"):
        for name, args in {
            "im.bmp": ["base.png"],
            "im-palette.bmp": ["colors.png"],
            "im-mono.bmp": ["mono.png", "-monochrome"],
            "im-alpha.bmp": ["alpha.png"],
            "im-bmp3.bmp3": ["alpha.png"],
            "im-rle.bmp3": ["colors.png", "-compress", "RLE"],
            "im.gif": ["base.png"],
            "im-line.gif": ["base.png", "-interlace", "line"],
            "im-alpha.gif": ["alpha.png"],
            "im-layers.gif": ["base.png", "(", "base.png", "-flip", ")"],
            "im.ppm": ["base.png"],
            "im-plain.ppm": ["base.png", "-compress", "none"],
            "im16.ppm": ["base.png", "-depth", "16"],
            "im.pgm": ["base.png", "-colorspace", "gray"],
            "im.pbm": ["mono.png"],
            "im.tif": ["base.png"],
            "im-lzw.tif": ["base.png", "-compress", "lzw"],
            "im-zip.tif": ["alpha.png", "-compress", "zip"],
            "im-fax.tif": ["mono.png", "-monochrome", "-compress", "group4"],
            "im-fax3.tif": ["mono.png", "-monochrome", "-compress", "fax"],
            "im-16.tif": ["base.png", "-depth", "16"],
            "im-cmyk.tif": ["base.png", "-colorspace", "CMYK"],
            "im-palette.tif": ["colors.png", "-type", "palette"],
            "im-planar.tif": ["base.png", "-interlace", "plane"],
            "im-tiles.tif": ["base.png", "-define", "tiff:tile-geometry=16x16"],
            "im-msb.tif": ["base.png", "-endian", "MSB"],
            "im-min0.tif": ["mono.png", "-monochrome", "-define", "quantum:polarity=min-is-white"],
            "im-jpeg.tif": ["base.png", "-compress", "jpeg"],
        }.items():
            run("/usr/bin/convert", *args, "+set", "date:create", "out." + name.rsplit(".", 1)[1])
            found = "out." + name.rsplit(".", 1)[1]
            add(name.replace(".bmp3", ".bmp"), open(found, "rb").read())
            os.remove(found)
    if shutil.which("pngtopnm"):
        ppm = run("pngtopnm", "base.png")
        open("base.ppm", "wb").write(ppm)
        add("netpbm.ppm", ppm)
        add("netpbm.bmp", run("ppmtobmp", "base.ppm"))
        add("netpbm-os2.bmp", run("ppmtobmp", "-os2", "-bpp=24", "base.ppm"))
        open("few.ppm", "wb").write(run("pnmquant", "100", "base.ppm"))
        add("netpbm.gif", run("ppmtogif", "few.ppm"))
        add("netpbm-interlaced.gif", run("ppmtogif", "-interlace", "few.ppm"))
        add("netpbm.tif", run("pnmtotiff", "-lzw", "base.ppm"))
        add("netpbm-plain.ppm", run("pnmtoplainpnm", "base.ppm"))
    if shutil.which("tiffcp"):
        BASE.save("base.tif")
        for name, args in {
            "planar-lzw": ["-p", "separate", "-c", "lzw:2"],
            "tiles": ["-t", "-w", "16", "-l", "16", "-c", "zip:2"],
            "be": ["-B", "-c", "packbits"],
            "lzw2": ["-c", "lzw:2", "-r", "3"],
            "lsb": ["-f", "lsb2msb", "-c", "lzw"],
        }.items():
            run("tiffcp", *args, "base.tif", "out.tif")
            add(f"libtiff-{name}.tif", open("out.tif", "rb").read())
            os.remove("out.tif")
        MONO.save("mono.tif")
        for name, args in {
            "g3": ["-c", "g3"],
            "g3-2d": ["-c", "g3:2d"],
            "g3-fill": ["-c", "g3:fill"],
            "g4": ["-c", "g4"],
            "g4-lsb": ["-f", "lsb2msb", "-c", "g4"],
            "g4-rows": ["-c", "g4", "-r", "4"],
        }.items():
            run("tiffcp", *args, "mono.tif", "out.tif")
            add(f"libtiff-{name}.tif", open("out.tif", "rb").read())
            os.remove("out.tif")
    for f in ("base.png", "colors.png", "mono.png", "alpha.png", "base.ppm", "few.ppm", "base.tif", "mono.tif"):
        if os.path.exists(f):
            os.remove(f)


def main():
    for make in (bmps, gifs, pnms, tiffs, others):
        make()
    shutil.rmtree("files", ignore_errors=True)
    os.mkdir("files")
    want = {}
    for name, data in sorted(OUT.items()):
        with open(f"files/{name}", "wb") as f:
            f.write(data)
        try:
            im = Image.open(io.BytesIO(data))
            mode = im.mode
            rgb = im.convert("RGB")
            want[name] = {"w": rgb.width, "h": rgb.height, "mode": mode, "rgb": base64.b64encode(zlib.compress(rgb.tobytes(), 9)).decode()}
        except Exception as e:  # noqa: BLE001 what Pillow refuses is a result
            want[name] = {"refused": str(e)[:80]}
    with open("want.json", "w") as f:
        json.dump(want, f, indent=0)
        f.write("\n")
    print(len(want), "files,", sum("refused" in w for w in want.values()), "refused by Pillow")


main()
