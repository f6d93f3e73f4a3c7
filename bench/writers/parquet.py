"""Writes Parquet data sets as today's tools do, reads each back with the tool that wrote it,
and prints a line of JSON for each:

    {"writer": "polars", "version": "2.1.0", "option": "zstd", "uri": "parquet:…", "split": "train",
     "expect": "read", "samples": 6, "labels": {"emu": 2, …}, "rows": [["emu", "sha256 of the image"], …]}

rows are the tool's own reading: the name of the class where labels have names, else the
number, else null. expect is "read", or words that the refusal must have. Optional: "passed",
how many rows or columns are passed over; "classes", the names in the order of their numbers;
"damaged", for a file that fetching again can mend.

    python3 parquet.py DIR [WRITER…]   # data sets below DIR
    python3 parquet.py --tiny DIR      # some small files, and expected.json
"""

import hashlib
import json
import os
import re
import shutil
import struct
import sys
import traceback
import zlib

# Nothing is fetched, and no cache outside DIR is written.
os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_DISABLE_PROGRESS_BARS="1", HF_HUB_DISABLE_PROGRESS_BARS="1")

NAMES = ["emu", "ant", "cat"]  # in no order of the alphabet
N = 6


def png(seed):
    """A PNG of 3×3 pixels that no other seed has."""

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    rows = b"".join(b"\0" + bytes((seed * 31 + y * 9 + x) % 256 for x in range(9)) for y in range(3))
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 3, 3, 8, 2, 0, 0, 0))
    note = chunk(b"tEXt", b"n\0" + str(seed).encode())  # so that all differ, and most in length
    return b"\x89PNG\r\n\x1a\n" + head + note + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def pngs(n=N, first=0):
    return [png(first + i) for i in range(n)]


def numbers(n=N):
    return [i % 3 for i in range(n)]


def texts(n=N):
    return [NAMES[i % 3] for i in range(n)]


def bytes_of(image):
    """The bytes of an image in any of its forms; None without."""
    if isinstance(image, dict):
        image = image.get("bytes")
    return bytes(image) if isinstance(image, bytes | bytearray | memoryview) else None


def label_of(v):
    """A label as the table of classes has it: a name, a whole number, or None."""
    if hasattr(v, "item"):
        v = v.item()
    if v is None or v != v or v == -1:
        return None
    if isinstance(v, bool):
        return str(int(v))
    if isinstance(v, str):
        return v
    if isinstance(v, bytes):
        return v.decode()
    return str(int(v)) if abs(v) < 1e300 and v == int(v) else str(v)


class Log:
    """The data sets that one writer has written."""

    def __init__(self, out, writer, version):
        self.out, self.writer, self.version, self.lines = out, writer, version, []

    def place(self, option, name="train-00000-of-00001.parquet"):
        """The path of a new file, in a new folder for the option."""
        folder = os.path.join(self.out, self.writer, re.sub(r"[^A-Za-z0-9.]+", "_", option).strip("_"))
        shutil.rmtree(folder, ignore_errors=True)
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return path

    def said(self, option, where, images, labels, expect="read", split="train", query="", passed=0, classes=None, **more):
        """Prints a data set: the tool's own reading of it is images and labels."""
        rows = [
            [label_of(v), hashlib.sha256(b).hexdigest()]
            for b, v in zip(map(bytes_of, images), labels if labels is not None else [None] * len(images))
            if b
        ]
        counts = {}
        for v, _ in rows:
            counts[str(v)] = counts.get(str(v), 0) + 1
        line = dict(writer=self.writer, version=self.version, option=option, uri=f"parquet:{where}{query}", split=split, expect=expect)
        line.update(samples=len(rows), labels=counts, rows=rows, passed=passed, classes=classes, **more)
        print(json.dumps(line), flush=True)
        self.lines.append(line)

    def tried(self, option, write):
        """Runs write; a tool may lack an option that the table has."""
        try:
            write()
        except Exception as fault:
            last = traceback.extract_tb(fault.__traceback__)[-1]
            why = (str(fault).splitlines() or [""])[0][:150]
            print(
                f"parquet.py: {self.writer}: {option}: cannot be written: {type(fault).__name__}: {why} ({last.name}:{last.lineno})",
                file=sys.stderr,
            )


def main():
    import parquet_arrow
    import parquet_folders
    import parquet_others

    writers = {**parquet_arrow.WRITERS, **parquet_folders.WRITERS, **parquet_others.WRITERS}
    args = sys.argv[1:]
    if args[:1] == ["--tiny"]:
        import parquet_tiny

        return parquet_tiny.write(args[1])
    if not args or set(args[1:]) - set(writers):
        sys.exit(f"usage: parquet.py DIR [{' | '.join(writers)}]… or parquet.py --tiny DIR")
    out = os.path.abspath(args[0])
    os.environ["HF_HOME"] = os.path.join(out, ".hf")
    for name in args[1:] or writers:
        try:
            writers[name](out)
        except ImportError as fault:
            print(f"parquet.py: {name} is not installed: {fault}", file=sys.stderr)


if __name__ == "__main__":
    main()
