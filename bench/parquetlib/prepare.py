"""Writes what this benchmark reads.

    prepare.py DIR big                 six files of 200 MB: pyarrow's defaults (one page a row
                                       group, with dictionary); pages of 2 MB; these with page index
    prepare.py DIR truth FOLDER...     what pyarrow reads in all Parquet files of folders

The truth is a JSON line a file: its image column, the number of rows, and the SHA-256 of
all values, each as "v", its length in 8 bytes and its bytes, or "n" for a null.
"""

import hashlib
import json
import pathlib
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

IMAGES = ["image", "img", "scan", "photo", "bytes", "right", "left"]


def big(out: pathlib.Path) -> None:
    rng = np.random.default_rng(0)
    values = [rng.bytes(100_000) for _ in range(2000)]
    table = pa.table({"image": pa.array(values, pa.binary()), "label": pa.array(range(2000))})
    for codec in ["snappy", "zstd"]:
        pq.write_table(table, out / f"{codec}.parquet", row_group_size=500, compression=codec)
        for index in [False, True]:  # pages of 2 MB: pyarrow looks at a page's size once a batch
            name = f"{codec}_pages{'_index' if index else ''}.parquet"
            pq.write_table(
                table,
                out / name,
                row_group_size=500,
                compression=codec,
                write_page_index=index,
                use_dictionary=False,
                write_batch_size=10,
            )


def column(f: pq.ParquetFile) -> str | None:
    schema = f.schema
    leaves = [schema.column(i) for i in range(len(schema))]
    paths = [c.path for c in leaves if c.physical_type == "BYTE_ARRAY" and c.max_repetition_level == 0]
    for name in [*(i + ".bytes" for i in IMAGES), *IMAGES, *paths]:
        if name in paths:
            return name
    return None


def truth(path: pathlib.Path) -> dict:
    try:
        f = pq.ParquetFile(path)
        leaf = column(f)
        if leaf is None:
            return {"file": str(path), "why": "no column of bytes"}
        first, *rest = leaf.split(".")
        values = f.read(columns=[leaf])[first].to_pylist()
    except (OSError, ValueError, pa.ArrowException) as e:
        return {"file": str(path), "why": str(e).splitlines()[0]}
    digest = hashlib.sha256()
    for v in values:
        for name in rest:
            v = v and v[name]
        if isinstance(v, str):
            v = v.encode()
        digest.update(b"n" if v is None else b"v" + len(v).to_bytes(8, "little") + v)
    return {"file": str(path), "column": leaf, "rows": len(values), "sha256": digest.hexdigest()}


def main() -> None:
    out = pathlib.Path(sys.argv[1])
    if sys.argv[2] == "big":
        big(out)
        return
    with (out / "truth.jsonl").open("w") as f:
        for folder in sys.argv[3:]:
            for path in sorted(p for p in pathlib.Path(folder).rglob("*.parquet") if p.is_file()):
                f.write(json.dumps(truth(path)) + "\n")


main()
