"""Makes jpegs.tar: small JPEGs of every kind that a packer has to give back byte for byte,
and odd.tar: JPEGs that it may refuse, but must not restore wrongly.

Run with a Python that has Pillow 11 or newer, and cjpeg and jpegtran of libjpeg-turbo in the
PATH: python3 generate.py
"""

import io
import pathlib
import subprocess
import tarfile

from PIL import Image

here = pathlib.Path(__file__).resolve().parent
photo = Image.open(here.parent.parent / "testdata" / "parity" / "picture.png").convert("RGB")
small = photo.resize((45, 35), Image.LANCZOS)


def jpeg(im, **options):
    out = io.BytesIO()
    im.save(out, "JPEG", **options)
    return out.getvalue()


def run(tool, data, *options):
    return subprocess.run([tool, *options], input=data, capture_output=True, check=True).stdout


def ppm(im):
    out = io.BytesIO()
    im.save(out, "PPM")
    return out.getvalue()


def scripted(scans, data=None):
    """The picture with a scan script, by cjpeg or, for a file, jpegtran."""
    script = here / "scans.txt"
    script.write_text(scans)
    try:
        if data is not None:
            return run("jpegtran", data, "-copy", "all", "-scans", str(script))
        return run("cjpeg", ppm(small), "-quality", "80", "-scans", str(script))
    finally:
        script.unlink()


def segments(b):
    """The offsets and markers of a file's segments, up to the first scan's bytes."""
    at = 2
    while b[at + 1] != 0xDA:
        yield at, b[at + 1]
        at += 2 + int.from_bytes(b[at + 2 : at + 4], "big")
    yield at, 0xDA


def insert(b, marker, body, before):
    """b with a segment in front of the first one of another marker."""
    at = next(at for at, m in segments(b) if m == before)
    return b[:at] + bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2, "big") + body + b[at:]


def zero_padding(b):
    """b with zeros for padding at its end: that of some cameras."""
    assert b.endswith(b"\xff\xd9")
    last = b[-3]
    bits = 0
    while last >> bits & 1:
        bits += 1
    return b[:-3] + bytes([last & ~((1 << bits) - 1)]) + b[-2:] if 0 < bits < 8 else b


cases = {}
for quality in (1, 2, 5, 10, 25, 50, 75, 85, 90, 95, 98, 100):
    for name in ("4:4:4", "4:2:2", "4:2:0"):
        for progressive in (False, True):
            kind = "progressive" if progressive else "baseline"
            cases[f"q{quality}_{name.replace(':', '')}_{kind}"] = jpeg(small, quality=quality, subsampling=name, progressive=progressive)
for name in ("4:4:4", "4:2:0"):
    s = name.replace(":", "")
    cases[f"optimized_{s}"] = jpeg(small, optimize=True, subsampling=name)
    cases[f"blocks3_{s}"] = jpeg(small, restart_marker_blocks=3, subsampling=name)
    cases[f"rows1_{s}"] = jpeg(small, restart_marker_rows=1, subsampling=name)
    cases[f"blocks1_progressive_{s}"] = jpeg(small, restart_marker_blocks=1, subsampling=name, progressive=True)
for w, h in ((1, 1), (7, 9), (8, 8), (16, 16), (17, 15), (100, 3), (3, 100)):
    cases[f"size_{w}x{h}"] = jpeg(photo.resize((w, h)), subsampling="4:2:0")
    cases[f"size_{w}x{h}_progressive"] = jpeg(photo.resize((w, h)), subsampling="4:2:0", progressive=True)
grey = small.convert("L")
cases["grey"] = jpeg(grey)
cases["grey_progressive"] = jpeg(grey, progressive=True)
cases["grey_2x2"] = run("cjpeg", ppm(grey), "-sample", "2x2", "-grayscale")
cases["rgb"] = jpeg(small, keep_rgb=True)
cases["440"] = run("cjpeg", ppm(small), "-sample", "1x2")
cases["411"] = run("cjpeg", ppm(small), "-sample", "4x1")
cases["410"] = run("cjpeg", ppm(small), "-sample", "4x2")
cases["chroma_larger"] = run("cjpeg", ppm(small), "-sample", "1x1,2x2,2x2")
cases["uneven"] = run("cjpeg", ppm(small), "-sample", "2x2,2x1,1x2")
noise = Image.effect_noise((64, 48), 120).convert("RGB")
for quality in (1, 30, 100):
    cases[f"noise_q{quality}"] = jpeg(noise, quality=quality)
    cases[f"noise_q{quality}_progressive"] = jpeg(noise, quality=quality, progressive=True)
stripes = Image.new("L", (65, 65))
stripes.putdata([255 * ((x + y) & 1) for y in range(65) for x in range(65)])
cases["stripes_q100"] = jpeg(stripes, quality=100)  # coefficients beyond 8 bits
cases["stripes_q100_progressive"] = jpeg(stripes, quality=100, progressive=True)
flat = Image.new("L", (1472, 1472), 90)
cases["flat_progressive"] = jpeg(flat, progressive=True)  # more blocks end in a row than one code says

cases["scans_separate"] = scripted("0;1;2;")
cases["scans_two"] = scripted("0 1;2;")
cases["scans_spectral"] = scripted("0,1,2: 0-0, 0, 0; 0: 1-5, 0, 0; 0: 6-63, 0, 0; 1: 1-63, 0, 0; 2: 1-63, 0, 0;")
cases["scans_deep"] = scripted(
    "0,1,2: 0-0, 0, 4; 0: 1-63, 0, 4; 1: 1-63, 0, 3; 2: 1-63, 0, 3;"
    + "".join(f"0,1,2: 0-0, {a}, {a - 1}; 0: 1-63, {a}, {a - 1};" for a in (4, 3, 2, 1))
    + "".join(f"1: 1-63, {a}, {a - 1}; 2: 1-63, {a}, {a - 1};" for a in (3, 2, 1))
)
# As mozjpeg does: luma first, its AC coefficients in two bands.
cases["scans_luma_first"] = scripted(
    "0: 0-0, 0, 0; 1: 0-0, 0, 0; 2: 0-0, 0, 0; 0: 1-8, 0, 2; 1: 1-8, 0, 0; 2: 1-8, 0, 0; 0: 9-63, 0, 2;"
    "0: 1-63, 2, 1; 0: 1-63, 1, 0; 1: 9-63, 0, 0; 2: 9-63, 0, 0;"
)
cases["scans_noise_refined"] = scripted(
    "0: 0-0, 0, 0; 0: 1-63, 0, 3; 0: 1-63, 3, 2; 0: 1-63, 2, 1; 0: 1-63, 1, 0;", jpeg(noise.convert("L"), quality=95)
)
# The lowest bits are never sent.
cases["scans_unfinished"] = scripted("0,1,2: 0-0, 0, 1; 0: 1-63, 0, 2; 0: 1-63, 2, 1;")

exif = Image.Exif()
exif[0x010E] = "a picture"
exif[0x0112] = 6
plain = jpeg(small)
thumbnail = jpeg(small.resize((16, 12)))
cases["exif"] = jpeg(small, exif=exif)
cases["comment"] = jpeg(small, comment="made for a test")
cases["icc"] = jpeg(small, icc_profile=bytes(range(256)) * 300)  # two APP2 segments
cases["thumbnail"] = insert(plain, 0xE1, b"Exif\0\0" + thumbnail, 0xDB)
cases["many_apps"] = insert(insert(insert(plain, 0xED, b"Photoshop 3.0\0", 0xDB), 0xEE, b"anything", 0xDB), 0xEF, b"", 0xC0)
cases["trailing"] = plain + b"\0\0camera's own\xff\xd8\xff\xd9"
cases["two_pictures"] = plain + thumbnail  # as MPO
at = next(at for at, m in segments(plain) if m == 0xC0)
cases["fill_bytes"] = plain[:at] + b"\xff\xff\xff" + plain[at:]
cases["fill_at_end"] = plain[:-2] + b"\xff\xff" + plain[-2:]
cases["zero_padding"] = zero_padding(plain)
restarts = jpeg(small, restart_marker_blocks=2)
cases["zero_padding_end_of_restarts"] = zero_padding(restarts)
cases["no_restarts_left"] = insert(plain, 0xDD, b"\0\0", 0xDA)

odd = {
    "cmyk": jpeg(small.convert("CMYK")),
    "arithmetic": run("jpegtran", plain, "-arithmetic"),
    "cut_off": plain[: len(plain) * 2 // 3],
    "no_end": plain[:-2],
    "garbage_before_end": plain[:-2] + b"\0\0\0" + plain[-2:],
    "garbage_between": plain[:at] + b"\0" + plain[at:],
    "wrong_restart": restarts.replace(b"\xff\xd1", b"\xff\xd2", 1),
    "fill_before_restart": restarts.replace(b"\xff\xd1", b"\xff\xff\xd1", 1),
    "scan_twice": plain[:-2] + plain[next(at for at, m in segments(plain) if m == 0xDA) :],
    "not_a_jpeg": b"\xff\xd8\xff\xe0 not a JPEG",
    "empty": b"\xff\xd8\xff\xd9",
}

for name, files in (("jpegs.tar", cases), ("odd.tar", odd)):
    with tarfile.open(here / name, "w", format=tarfile.USTAR_FORMAT) as tar:
        for key, data in files.items():
            info = tarfile.TarInfo(key + ".jpg")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
