"""Makes testdata/jpeg: one picture as JPEGs of the kinds that a decoder of parts
can get wrong; sums.txt with the SHA-256 of the pixels that PIL reads; and
crops.txt with that of crops of them, cut and resized by PIL.

Run with a Python that has PIL, where libturbojpeg.so.0 is: python3 generate.py
"""

import ctypes
import hashlib
import os
import pathlib
import random

from PIL import Image

here = pathlib.Path(__file__).resolve().parent
out = here / "jpeg"
picture = Image.open(here.parent.parent / "testdata" / "parity" / "picture.png").convert("RGB")
tj = ctypes.CDLL("libturbojpeg.so.0")
tj.tjInitCompress.restype = ctypes.c_void_p
S = {"444": 0, "422": 1, "420": 2, "gray": 3, "440": 4, "411": 5}  # enum TJSAMP
PROGRESSIVE = 16384  # TJFLAG_PROGRESSIVE


def compress(im, subsampling, progressive, restart):
    # libturbojpeg reads the restart interval, in blocks, from its environment.
    os.environ["TJ_RESTART"] = f"{restart}B" if restart else ""
    ctypes.CDLL(None).setenv(b"TJ_RESTART", os.environ["TJ_RESTART"].encode(), 1)
    handle = ctypes.c_void_p(tj.tjInitCompress())
    data, size = ctypes.c_void_p(), ctypes.c_ulong()
    rc = tj.tjCompress2(
        handle,
        im.tobytes(),
        im.width,
        0,
        im.height,
        0,
        ctypes.byref(data),
        ctypes.byref(size),
        S[subsampling],
        60,
        PROGRESSIVE if progressive else 0,
    )
    assert rc == 0
    out = ctypes.string_at(data, size.value)
    tj.tjFree(data)
    tj.tjDestroy(handle)
    return out


cases = {f"rst{n}_{s}": (picture, s, False, n) for n in (1, 7) for s in S}
cases |= {f"progressive_{s}": (picture, s, True, 0) for s in S}
cases |= {f"progressive_rst3_{s}": (picture, s, True, 3) for s in ("420", "422")}
cases |= {f"odd_{w}x{h}": (picture.resize((w, h)), "420", False, 0) for w, h in ((17, 33), (33, 17), (1, 40), (5, 5), (16, 16), (15, 3))}

sums = []
for name, case in sorted(cases.items()):
    path = out / (name + ".jpg")
    path.write_bytes(compress(*case))
    sums.append(f"{hashlib.sha256(Image.open(path).convert('RGB').tobytes()).hexdigest()}  {name}.jpg\n")
(out / "sums.txt").write_text("".join(sums))

# File, box (x y w h), size, filter, SHA-256. torchvision's resized_crop on a PIL
# picture is this crop and this resize.
random.seed(1)
crops = []
for name in ("rst7_420", "progressive_422", "rst1_440", "progressive_gray", "rst7_444", "rst1_411"):
    im = Image.open(out / (name + ".jpg")).convert("RGB")
    for i in range(12):
        w, h = random.randint(4, im.width), random.randint(4, im.height)
        x, y = random.randint(0, im.width - w), random.randint(0, im.height - h)
        size = random.choice((20, 32, 64, 96, 224))
        view = im.crop((x, y, x + w, y + h)).resize((size, size), Image.BICUBIC if i % 2 else Image.BILINEAR)
        crops.append(
            f"{name}.jpg {x} {y} {w} {h} {size} {'bicubic' if i % 2 else 'bilinear'} {hashlib.sha256(view.tobytes()).hexdigest()}\n"
        )
(out / "crops.txt").write_text("".join(crops))
