"""Writes tars of samples as today's tools do: Python's tarfile, GNU tar, bsdtar and, where it
is installed, webdataset's TarWriter and ShardWriter; and prints a line of JSON for each:

    {"writer": "bsdtar", "version": "3.6.2", "option": "pax", "path": "…/*.tar", "expect": "read",
     "samples": 6, "labels": [0, 1, …], "rows": [["a/00000.png", 0, "sha256 of the image"], …],
     "webdataset": [["a/00000", 0, "sha256"], …]}

rows are what was put in, sorted by the image's name; webdataset is what its own reader finds,
null without it or where it fails. expect is "read", or the words with which a reader that
needs random access refuses the file.

    python3 tars.py DIR [WRITER…]
"""

import hashlib
import io
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tarfile
import zlib

try:
    import webdataset
except ImportError:
    webdataset = None

NUMBER = 6  # samples a tar
OUT = ""


def png(seed):
    """The bytes of a PNG of 3×3 pixels that no other seed has."""

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    rows = b"".join(b"\0" + bytes((seed * 31 + y * 9 + x) % 256 for x in range(9)) for y in range(3))
    head = struct.pack(">IIBBBBB", 3, 3, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def digest(data):
    return hashlib.sha256(data).hexdigest()


def numbers(count=NUMBER, key="{:05d}"):
    """Samples (key, label, image), the labels 0, 1, 2, 0, …"""
    return [(key.format(i), i % 3, png(i)) for i in range(count)]


def files(samples, image="png", label="cls"):
    """The members of samples, in the order of webdataset's writer."""
    out = []
    for key, number, data in samples:
        out.append((f"{key}.{label}", str(number).encode()))
        out.append((f"{key}.{image}", data))
    return out


def rows(samples, image="png"):
    return [[f"{key}.{image}", number, digest(data)] for key, number, data in samples]


def odd_names():
    """Samples whose names are no UTF-8."""
    return numbers(key=os.fsdecode(b"\xff\xe4{:05d}"))


def shown(name):
    """A name as text: a byte that is no UTF-8 as \\xHH."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def read_back(path):
    """What webdataset itself reads: key, label and hash of the image, by its sample."""
    if webdataset is None:
        return None
    shards = sorted(glob_of(path))
    found = []
    try:
        for sample in webdataset.WebDataset(shards, shardshuffle=False, empty_check=False):
            images = [k for k in sample if k.split(".")[-1] in ("png", "jpg")]
            labels = [k for k in sample if k.split(".")[-1] == "cls"]
            if images:
                label = sample[labels[0]].decode() if labels else None
                found.append([shown(sample["__key__"]), label, digest(sample[min(images, key=lambda k: (k.count("."), k))])])
    except Exception as fault:  # every kind of tar that it does not take
        return str(fault).splitlines()[0][:200]
    return found


def glob_of(path):
    folder, name = os.path.split(path)
    pattern = re.compile(re.escape(name).replace(r"\*", ".*") + "$")
    return [os.path.join(folder, n) for n in os.listdir(folder) if pattern.match(n)]


def report(writer, version, option, path, want, expect="read"):
    want = sorted([shown(r[0]), *r[1:]] for r in want)
    print(
        json.dumps(
            {
                "writer": writer,
                "version": version,
                "option": option,
                "path": path,
                "expect": expect,
                "samples": len(want),
                "labels": [r[1] for r in want],
                "rows": want,
                "webdataset": read_back(path),
            }
        ),
        flush=True,
    )


def place(writer, option, name="set.tar"):
    folder = os.path.join(OUT, writer, re.sub(r"[^A-Za-z0-9]+", "_", option))
    os.makedirs(folder, exist_ok=True)
    return os.path.join(folder, name)


def tree(samples, image="png", extra=()):
    """Writes the members as files, and returns their folder."""
    folder = os.path.join(OUT, "tree")
    shutil.rmtree(folder, ignore_errors=True)
    for name, data in [*files(samples, image), *extra]:
        full = os.path.join(os.fsencode(folder), os.fsencode(name))
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "wb") as f:
            f.write(data)
    return folder


def linked(kind):
    """A tree whose second half are links to its first half, and its samples."""
    half = numbers(NUMBER // 2)
    folder = tree(half)
    all_samples = list(half)
    for i, (key, number, data) in enumerate(half):
        other = f"{NUMBER + i:05d}"
        for ext in ("png", "cls"):
            if kind == "hard":
                os.link(f"{folder}/{key}.{ext}", f"{folder}/{other}.{ext}")
            else:
                os.symlink(f"{key}.{ext}", f"{folder}/{other}.{ext}")
        all_samples.append((other, number, data))
    return folder, all_samples


def python_tarfile():
    version = sys.version.split()[0]

    def write(option, members, want, expect="read", mode="w", name="set.tar", **options):
        path = place("tarfile", option, name)
        with tarfile.open(path, mode, **options) as tar:
            for member, data in members:
                info = tarfile.TarInfo(member)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        report("tarfile", version, option, path, want, expect)

    for label, kind in (("ustar", tarfile.USTAR_FORMAT), ("gnu", tarfile.GNU_FORMAT), ("pax", tarfile.PAX_FORMAT)):
        plain = numbers()
        write(label, files(plain), rows(plain), format=kind)
        long = numbers(key="f" * 60 + "/" + "n" * 60 + "/{:05d}")
        write(f"{label}, long names", files(long), rows(long), format=kind)
        odd = odd_names()
        write(f"{label}, names that are no UTF-8", files(odd), rows(odd), format=kind)
        folder, both = linked("hard")
        path = place("tarfile", f"{label}, hard links")
        with tarfile.open(path, "w", format=kind) as tar:
            for name in sorted(os.listdir(folder)):
                tar.add(f"{folder}/{name}", name)
        report("tarfile", version, f"{label}, hard links", path, rows(both))
    write("global header", files(plain), rows(plain), format=tarfile.PAX_FORMAT, pax_headers={"comment": "c"})
    longest = numbers(key="f" * 200 + "/" + "n" * 200 + "{:05d}")
    for label, kind in (("gnu", tarfile.GNU_FORMAT), ("pax", tarfile.PAX_FORMAT)):
        write(f"{label}, names of 400 bytes", files(longest), rows(longest), format=kind)
    apart = sorted(files(plain), key=lambda f: f[0].split(".")[1], reverse=True)
    write("images, then labels", apart, rows(plain))
    double = [m for f in files(plain) for m in (("._" + f[0], b"\0\5\x16\7" + bytes(100)), f)]
    write("AppleDouble", double, rows(plain))
    write("no samples", [], [], "no images")
    for end, expect in (("gz", "gzip"), ("bz2", "bzip2"), ("xz", "xz")):
        write(f"{end} called .tar", files(plain), rows(plain), expect, mode=f"w:{end}")
        write(f".tar.{end}", files(plain), rows(plain), expect, mode=f"w:{end}", name=f"set.tar.{end}")


def command(*args, **options):
    try:
        return subprocess.run(args, check=True, capture_output=True, text=True, errors="replace", **options).stdout
    except subprocess.CalledProcessError as fault:
        sys.exit(f"tars.py: {' '.join(args)}: {fault.stderr.strip()}")


def archiver(writer, formats, rename):
    """GNU tar and bsdtar, which share most options."""
    tool = shutil.which(writer)
    if tool is None:
        print(f"tars.py: {writer} is not installed", file=sys.stderr)
        return
    version = re.search(r"\d+\.\d+(\.\d+)?", command(tool, "--version"))[0]
    name = {"tar": "GNU tar"}.get(writer, writer)
    plain = numbers(key="a/{:05d}")
    for kind in formats:
        path = place(name, kind)
        folder = tree(plain)
        # The order of members is the folder's: names in no order.
        command(tool, "-cf", path, f"--format={kind}", ".", cwd=folder)
        report(name, version, kind, path, [["./" + r[0], *r[1:]] for r in rows(plain)])
        if kind != "v7":
            path = place(name, f"{kind}, long names")
            long = numbers(key="f" * 60 + "/" + "n" * 60 + "/{:05d}")
            command(tool, "-cf", path, f"--format={kind}", "f" * 60, cwd=tree(long))
            report(name, version, f"{kind}, long names", path, rows(long))
        for link in ("hard", "symbolic"):
            folder, both = linked(link)
            path = place(name, f"{kind}, {link} links")
            command(tool, "-cf", path, f"--format={kind}", *sorted(os.listdir(folder)), cwd=folder)
            report(name, version, f"{kind}, {link} links", path, rows(both))
    odd = odd_names()
    path = place(name, "names that are no UTF-8")
    command(tool, "-cf", path, ".", cwd=tree(odd))
    report(name, version, "names that are no UTF-8", path, [["./" + r[0], *r[1:]] for r in rows(odd)])
    path = place(name, "renamed")
    command(tool, "-cf", path, *rename, "a", cwd=tree(plain))
    report(name, version, "renamed", path, [["x/" + r[0], *r[1:]] for r in rows(plain)])
    path = place(name, "appended")
    folder = tree(plain)
    members = sorted(os.listdir(f"{folder}/a"))
    command(tool, "-cf", path, *members[: len(members) // 2], cwd=f"{folder}/a")
    command(tool, "-rf", path, *members[len(members) // 2 :], cwd=f"{folder}/a")
    report(name, version, "appended", path, rows(numbers()))
    two = []
    for half in (0, 1):
        two.append(place(name, "concatenated", f"half{half}.part"))
        command(tool, "-cf", two[half], *members[half * NUMBER : (half + 1) * NUMBER], cwd=f"{folder}/a")
    path = place(name, "two after one another")
    with open(path, "wb") as f:
        for part in two:
            with open(part, "rb") as g:
                f.write(g.read())
    report(name, version, "two, one after the other", path, rows(numbers()), "after the end of the archive")
    if writer == "tar":
        path = place(name, "concatenated")
        shutil.copy(two[0], path)
        command(tool, "-Af", path, two[1])
        report(name, version, "concatenated (-A)", path, rows(numbers()))
        path = place(name, "sparse files looked for")
        command(tool, "-cSf", path, "a", cwd=tree(plain))
        report(name, version, "sparse files looked for (-S)", path, rows(plain))
    path = place(name, "gzip called tar")
    command(tool, "-czf", path, "a", cwd=tree(plain))
    report(name, version, "gzip called .tar", path, rows(plain), "gzip")


def webdataset_writers():
    if webdataset is None:
        print("tars.py: webdataset is not installed", file=sys.stderr)
        return
    version = webdataset.__version__

    def write(option, samples, want, expect="read", name="set.tar", **options):
        path = place("webdataset", option, name)
        with webdataset.TarWriter(path, **options) as tar:
            for sample in samples:
                tar.write(sample)
        report("webdataset", version, option, path, want, expect)

    plain = numbers()

    def of(image="png", label="cls", value=lambda number: number, extra=None, source=plain):
        return [{"__key__": k, image: data, label: value(n), **(extra or {})} for k, n, data in source]

    write("TarWriter", of(), rows(plain))
    write("TarWriter, pax", of(), rows(plain), format="PAX_FORMAT")
    names = ["emu", "ant", "cat"]
    write("class names", of(value=lambda n: names[n]), [[r[0], names[r[1]], r[2]] for r in rows(plain)])
    write("captions and other fields", of(extra={"txt": "a picture", "npy": b"\0", "mask.png": png(99)}), rows(plain))
    write("input.png", of(image="input.png"), rows(plain, "input.png"))
    write("json", of(label="json", value=lambda n: {"label": n, "caption": "x"}), rows(plain))
    write("class", of(label="class"), rows(plain))
    write("two pictures", of(extra={"jpg": png(99)}), rows(plain), "more than one picture")
    folders = numbers(key="a.b/c/{:05d}")
    write("keys in folders", of(source=folders), rows(folders))
    dots = numbers(key="{:05d}.v2")
    write("keys with a dot", of(source=dots), rows(dots))
    write("keys of one stem", of(source=numbers(key="img.{:05d}")), rows(numbers(key="img.{:05d}")), "more than one picture")
    write("fields kept (keep_meta)", of(extra={"__url__": "u"}), rows(plain), keep_meta=True)
    write("gzip (compress=True)", of(), rows(plain), "gzip", compress=True)
    write("gzip (.tar.gz)", of(), rows(plain), "gzip", name="set.tar.gz")

    path = place("webdataset", "ShardWriter", "train-*.tar")
    with webdataset.ShardWriter(path.replace("*", "%06d"), maxcount=4, verbose=0) as shards:
        for sample in of():
            shards.write(sample)
    report("webdataset", version, "ShardWriter", path, rows(plain))


WRITERS = {
    "tarfile": python_tarfile,
    "tar": lambda: archiver("tar", ["v7", "oldgnu", "gnu", "ustar", "posix"], ["--transform", "s,^,x/,"]),
    "bsdtar": lambda: archiver("bsdtar", ["v7", "gnutar", "ustar", "pax"], ["-s", ",^,x/,"]),
    "webdataset": webdataset_writers,
}

if __name__ == "__main__":
    OUT = os.path.abspath(sys.argv[1])
    for chosen in sys.argv[2:] or WRITERS:
        WRITERS[chosen]()
    shutil.rmtree(os.path.join(OUT, "tree"), ignore_errors=True)
