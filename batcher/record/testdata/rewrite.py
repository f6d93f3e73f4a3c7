"""rewrite.py FROM TO: the Arrow files of a record, written again by other Arrows, a folder each.

RECORD_OUT=/tmp/kept go test ./batcher/record -run TestRewritten leaves the record to begin with.
What is in testdata/rewritten was made with pyarrow 26.0, arro3 0.9 (arrow-rs), polars 2.1 and
DuckDB 2.0.
"""

import glob
import os
import sys

import arro3.io
import duckdb
import polars
import pyarrow as pa

source, target = sys.argv[1:]


def rewrite(name, change=lambda batch: batch, **options):
    """Batch by batch by pyarrow, each changed."""
    os.makedirs(os.path.join(target, name), exist_ok=True)
    for path in glob.glob(source + ("/log*.arrow" if name.startswith("refused") else "/*.arrow")):
        r = pa.ipc.open_file(path)
        schema = change(r.get_batch(0)).schema
        with (
            pa.OSFile(os.path.join(target, name, os.path.basename(path)), "wb") as out,
            pa.ipc.new_file(out, schema, options=pa.ipc.IpcWriteOptions(**options)) as w,
        ):
            for i in range(r.num_record_batches):
                w.write_batch(change(r.get_batch(i)))


def cast(*kinds):
    """A change of the types of columns, and of whether they may be null."""

    def change(batch):
        fields, columns = [], []
        for f, c in zip(batch.schema, batch.columns):
            kind = next((to for name, to in kinds if name == f.name), None)
            if kind == "dictionary":
                c = c.dictionary_encode()
            elif kind is not None:
                c = c.cast(kind)
            fields.append(pa.field(f.name, c.type, nullable=True, metadata=f.metadata))
            columns.append(c)
        return pa.record_batch(columns, schema=pa.schema(fields, metadata=batch.schema.metadata))

    return change


def bare(batch):
    """Without the fields' metadata."""
    return pa.record_batch(batch.columns, schema=pa.schema([f.remove_metadata() for f in batch.schema], metadata=batch.schema.metadata))


def nulls(batch):
    columns = [pa.array([None] + c.to_pylist()[1:], c.type) if f.name == "label" else c for f, c in zip(batch.schema, batch.columns)]
    return pa.record_batch(columns, schema=cast()(batch).schema)


rewrite("pyarrow")
rewrite("pyarrow-nullable", cast())
rewrite("pyarrow-bare", bare)
rewrite("pyarrow-zstd", compression="zstd")
rewrite("pyarrow-lz4", compression="lz4")
rewrite("refused-large-utf8", cast(("reason", pa.large_utf8())))
rewrite("refused-utf8-view", cast(("reason", pa.string_view())))
rewrite("refused-dictionary", cast(("reason", "dictionary")))
rewrite("refused-int32", cast(("sample", pa.int32())))
rewrite("refused-nulls", nulls)
rewrite("refused-v4", metadata_version=pa.ipc.MetadataVersion.V4)

for name in ("arro3", "refused-polars", "refused-duckdb"):
    os.makedirs(os.path.join(target, name), exist_ok=True)
for path in glob.glob(source + "/*.arrow"):
    to = {name: os.path.join(target, name, os.path.basename(path)) for name in ("arro3", "refused-polars", "refused-duckdb")}
    arro3.io.write_ipc(arro3.io.read_ipc(path), to["arro3"])
    if "log-" not in path:
        continue
    polars.read_ipc(path).write_ipc(to["refused-polars"])
    whole = pa.ipc.open_file(path).read_all()
    made = duckdb.sql("SELECT * FROM whole").to_arrow_table()
    with pa.ipc.new_file(to["refused-duckdb"], made.schema) as w:
        w.write_table(made)
