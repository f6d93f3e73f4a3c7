"""Writes testdata/writers: small files by today's writers, and what each holds as its own writer reads it.

    python3 -m venv V && V/bin/pip install pyarrow==26.0.1 polars==2.1.0 duckdb==2.0.1 fastparquet==2026.9.0
    V/bin/python writers.py writers

expected.json: {"files": {file: number of its table}, "tables": [{column: values}]}; byte strings are hexadecimal, truth values and
whole numbers as they are, other numbers as text. A column that holds lists has no values.
"""

import json
import random
import sys
from pathlib import Path

import duckdb
import fastparquet
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

OUT = Path(sys.argv[1])
ROWS = 14
CODECS = ["none", "snappy", "gzip", "brotli", "lz4", "zstd"]

r = random.Random(1)


def image(i):
    """Something that begins as a JPEG, of its own length; some are equal."""
    i %= 11
    return b"\xff\xd8\xff" + bytes(random.Random(i).randrange(256) for _ in range(10 + i))


images = [None if i == 5 else image(i) for i in range(ROWS)]
paths = [None if i % 4 == 1 else f"n{i:04d}.jpg" for i in range(ROWS)]
labels = [i * i % 7 for i in range(ROWS)]
holes = [None if i % 6 == 2 else v for i, v in enumerate(labels)]
names = [["cat", "dog", "Ünicorn", ""][v % 4] for v in labels]


def arrow_table():
    s = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    return pa.table(
        {
            "image": pa.array([None if i == 9 else {"bytes": b, "path": p} for i, (b, p) in enumerate(zip(images, paths))], s),
            "plain": pa.array(images, pa.binary()),
            "lengths": pa.array(images, pa.binary()),
            "prefixes": pa.array(sorted(image(i) for i in range(ROWS)), pa.binary()),
            "required": pa.array([image(i) for i in range(ROWS)], pa.binary()),
            "large": pa.array(images, pa.large_binary()),
            "view": pa.array(images, pa.binary_view()),
            "fixed": pa.array([b and b[:7] for b in images], pa.binary(7)),
            "fixedsplit": pa.array([b and b[3:8] for b in images], pa.binary(5)),
            "name": pa.array(names, pa.string()),
            "category": pa.array(names, pa.string()).dictionary_encode(),
            "i8": pa.array(holes, pa.int8()),
            "u8": pa.array(labels, pa.uint8()),
            "i32": pa.array(holes, pa.int32()),
            "i64": pa.array(labels, pa.int64()),
            "delta32": pa.array([v and -(1 << 31) + 12345 * v for v in holes], pa.int32()),
            "delta64": pa.array([v and (1 << 61) * (-1) ** v + v for v in holes], pa.int64()),
            "split64": pa.array(holes, pa.int64()),
            "f32": pa.array(holes, pa.float32()),
            "f64": pa.array([v and v / 2 for v in holes], pa.float64()),
            "truth": pa.array([None if v is None else v > 2 for v in holes], pa.bool_()),
            "deep": pa.array([{"a": {"b": None if i % 3 else {"c": i}}} for i in range(ROWS)]),
            "objects": pa.array([[{"box": [1.0, 2.0], "id": 3}] * (i % 3) for i in range(ROWS)]),
            "nothing": pa.nulls(ROWS),
            "day": pa.array([0] * ROWS, pa.date32()),
        },
        schema=None,
    )


ENCODINGS = {
    "plain": "PLAIN",
    "image.bytes": "DELTA_LENGTH_BYTE_ARRAY",
    "lengths": "DELTA_LENGTH_BYTE_ARRAY",
    "prefixes": "DELTA_BYTE_ARRAY",
    "required": "PLAIN",
    "fixedsplit": "BYTE_STREAM_SPLIT",
    "delta32": "DELTA_BINARY_PACKED",
    "delta64": "DELTA_BINARY_PACKED",
    "split64": "BYTE_STREAM_SPLIT",
    "f32": "BYTE_STREAM_SPLIT",
    "truth": "RLE",
}


def plain(v):
    if isinstance(v, bytes):
        return v.hex()
    if isinstance(v, str):
        return v.encode().hex()
    if isinstance(v, float):
        return int(v) if v == int(v) else str(v)
    return v


def columns(value, path, out):
    """The values of all columns below one value, a row."""
    if isinstance(value, dict):
        for k, v in value.items():
            columns(v, [*path, k], out)
    else:
        out[".".join(path)] = value


def flatten(rows):
    out = {}
    for i, row in enumerate(rows):
        flat = {}
        columns(row, [], flat)
        for k, v in flat.items():
            if not isinstance(v, list):
                out.setdefault(k, [None] * len(rows))[i] = plain(v)
    return {k: v for k, v in out.items() if any(x is not None for x in v)}


expected = {}


def keep(name, rows):
    expected[name] = flatten(rows)


t = arrow_table()
schema = t.schema.set(t.schema.get_field_index("required"), pa.field("required", pa.binary(), nullable=False))
t = t.cast(schema)
for codec in CODECS:
    for version in ("1.0", "2.0"):
        if (codec, version) in (("gzip", "1.0"), ("brotli", "2.0"), ("lz4", "1.0")):
            continue
        name = f"pyarrow-{codec}-v{version[0]}.parquet"
        # Dictionaries only where no encoding is given; small pages and row groups.
        pq.write_table(
            t,
            OUT / name,
            compression=codec,
            data_page_version=version,
            row_group_size=9,
            data_page_size=100,
            write_batch_size=4,
            store_schema=codec == "none",
            use_dictionary=["view", "name", "category", "i8", "u8", "i64", "large"],
            column_encoding=ENCODINGS,
            write_page_checksum=codec == "gzip",
            write_page_index=codec == "zstd",
            write_statistics=codec != "none",
        )
        keep(name, pq.read_table(OUT / name).drop_columns(["day"]).to_pylist())

frame = pl.DataFrame(
    {"image": [{"bytes": b, "path": p} for b, p in zip(images, paths)], "label": holes, "name": names, "truth": [v == 3 for v in labels]},
    schema={"image": pl.Struct({"bytes": pl.Binary, "path": pl.String}), "label": pl.Int64, "name": pl.Categorical, "truth": pl.Boolean},
)
for codec in ("zstd", "snappy", "gzip", "brotli", "lz4", "uncompressed"):
    name = f"polars-{codec}.parquet"
    frame.write_parquet(OUT / name, compression=codec, row_group_size=10, data_page_size=200)
    keep(name, frame.to_dicts())

rows = pa.table(
    {
        "image": pa.array(
            [{"bytes": b, "path": p} for b, p in zip(images, paths)], pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        ),
        "label": pa.array(holes, pa.int64()),
        "name": pa.array(names),
        "truth": pa.array([v == 3 for v in labels]),
        "score": pa.array([v / 4 for v in labels]),
    }
)
for version in ("v1", "v2"):
    for codec in ("snappy", "zstd", "gzip", "brotli", "lz4", "lz4_raw", "uncompressed"):
        name = f"duckdb-{version}-{codec}.parquet"
        try:
            duckdb.sql(
                f"copy (select * from rows) to '{OUT / name}'"
                f" (format parquet, parquet_version {version}, compression {codec}, row_group_size 2048)"
            )
        except duckdb.Error as e:
            print(name, str(e).splitlines()[0])
            continue
        keep(name, rows.to_pylist())

for codec in ("SNAPPY", "GZIP", "ZSTD", "BROTLI", "LZ4", "LZ4_RAW", "UNCOMPRESSED"):
    name = f"fastparquet-{codec.lower()}.parquet"
    df = pd.DataFrame(
        {"image": [image(i) for i in range(ROWS)], "label": labels, "half": [v / 2 for v in labels], "truth": [v > 2 for v in labels]}
    )
    df["name"] = pd.Categorical(names)
    try:
        fastparquet.write(OUT / name, df, compression=codec, row_group_offsets=10, object_encoding={"image": "bytes"})
    except Exception as e:
        print(name, repr(e)[:100])
        continue
    df["name"] = names
    keep(name, df.to_dict("records"))

# A row group without rows between others, and a file without any.
w = pq.ParquetWriter(OUT / "pyarrow-emptygroup.parquet", rows.schema)
for part in (rows.slice(0, 5), rows.slice(0, 0), rows.slice(5)):
    w.write_table(part)
w.close()
keep("pyarrow-emptygroup.parquet", rows.to_pylist())
for name, part in (("pyarrow-empty", rows.slice(0, 0)), ("polars-empty", frame.clear()), ("duckdb-empty", None)):
    if part is None:
        duckdb.sql(f"copy (select * from rows where false) to '{OUT / name}.parquet' (format parquet)")
    else:
        (pq.write_table if name.startswith("py") else pl.DataFrame.write_parquet)(part, f"{OUT / name}.parquet")
    keep(f"{name}.parquet", [])

tables = []
for rows in expected.values():
    if rows not in tables:
        tables.append(rows)
out = {"files": {name: tables.index(rows) for name, rows in expected.items()}, "tables": tables}
(OUT / "expected.json").write_text(json.dumps(out, separators=(",", ":"), sort_keys=True).replace('],"', '],\n"') + "\n")
