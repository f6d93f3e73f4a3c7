"""Small files by several writers, for a test that runs without them: --tiny of parquet.py."""

import json
import os
import shutil
import tempfile

import parquet_arrow
import parquet_others

# Of each writer, the options whose files are kept.
KEPT = {
    "pyarrow": [
        "brotli, pages v2, dictionary",
        "gzip, pages v1, plain",
        "lz4, pages v2, plain",
        "DELTA_BYTE_ARRAY, pages v2",
        "label binary",
        "null images of a whole page",
        "label uint8",
    ],
    "polars": ["path all null, of type Null", "label Enum", "label with nulls"],
    "DuckDB": ["bytes alone, v2", "names, v2", "label UTINYINT, v1"],
    "fastparquet": ["null image", "label categorical", "nulls, pages v2"],
    "datasets": ["to_parquet", "fine_label and coarse_label"],
}
MOST = 4 << 10  # bytes of a file that is kept


def write(out):
    """Writes the files and expected.json."""
    os.makedirs(out, exist_ok=True)
    kept = []
    with tempfile.TemporaryDirectory() as work:
        os.environ["HF_HOME"] = os.path.join(work, ".hf")
        seen = []
        for name, run in {**parquet_arrow.WRITERS, **parquet_others.WRITERS}.items():
            if name != "pandas":
                seen += run(work) or []
        for line in seen:
            if line["option"] not in KEPT.get(line["writer"], []):
                continue
            folder = line.pop("uri").removeprefix("parquet:")
            (file,) = os.listdir(folder)
            if os.path.getsize(os.path.join(folder, file)) > MOST:
                continue
            line["file"] = f"{line['writer']}-{os.path.basename(folder)}.parquet".lower()
            shutil.copy(os.path.join(folder, file), os.path.join(out, line["file"]))
            kept.append(line)
    with open(os.path.join(out, "expected.json"), "w") as f:
        f.write("[\n" + ",\n".join(map(json.dumps, kept)) + "\n]\n")
