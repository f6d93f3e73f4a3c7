"""What polars, DuckDB, fastparquet and Hugging Face's datasets write."""

import os

from parquet import NAMES, Log, N, numbers, pngs, texts

SPLITS = {"train": "train", "validation": "val", "test": "test"}  # datasets' name: ours


def structs(images):
    return [None if b is None else {"bytes": b, "path": None} for b in images]


def polars(out):
    import polars as pl

    log = Log(out, "polars", pl.__version__)

    def put(option, frame, expect="read", read=pl.read_parquet, label="label", **how):
        said = {k: how.pop(k) for k in ("classes", "passed", "query") if k in how}

        def write():
            path = log.place(option)
            frame.write_parquet(path, **how)
            back = read(path)
            labels = back[label].to_list() if label in back.columns else None
            log.said(option, os.path.dirname(path), back["image"].to_list(), labels, expect, **said)

        log.tried(option, write)

    def frame(kind=None, labels=None, n=N, **columns):
        label = pl.Series(numbers(n) if labels is None else labels)
        columns = {"image": structs(pngs(n)), "label": label if kind is None else label.cast(kind), **columns}
        return pl.DataFrame(columns, schema_overrides={"image": pl.Struct({"bytes": pl.Binary, "path": pl.String})})

    for codec in ("zstd", "snappy", "gzip", "brotli", "lz4", "uncompressed"):
        put(codec, frame(n=40), compression=codec)
        put(f"{codec}, bytes alone", pl.DataFrame({"image": pngs(40), "label": numbers(40)}), compression=codec)
        put(f"{codec}, equal images", pl.DataFrame({"image": pngs(4) * 30, "label": numbers(120)}), compression=codec)
        put(f"{codec}, by pyarrow", frame(n=40), compression=codec, use_pyarrow=True)
    put("level 22", frame(n=40), compression="zstd", compression_level=22)
    for rows, n in ((1, 200), (7, 500), (1000, 2500), (10_000, 21_000)):
        put(f"row groups of {rows}", frame(n=n), row_group_size=rows)
    put("small pages", frame(n=3000), data_page_size=3000)
    put("statistics full", frame(), statistics="full")
    put("no statistics", frame(), statistics=False)
    for kind in (
        "Int8",
        "Int16",
        "Int32",
        "Int64",
        "UInt8",
        "UInt16",
        "UInt32",
        "UInt64",
        "Float16",
        "Float32",
        "Float64",
        "Boolean",
    ):
        put(f"label {kind}", frame(getattr(pl, kind, pl.Null), [v > 0 for v in numbers()] if kind == "Boolean" else None))
    # The file says no more than "16 bytes": pyarrow refuses it, and we say that it is no class label.
    if hasattr(pl, "Int128"):
        put("label Int128", frame(pl.Int128), label="none", passed=1)
    names = sorted(NAMES)
    put("label String", frame(labels=texts()), classes=names)
    put("label Categorical", frame(pl.Categorical, texts()), classes=names)
    put("label Enum", frame(pl.Enum(NAMES), texts()), classes=names)
    put("label Null", frame(pl.Null, [None] * N))
    put("label with nulls", frame(labels=[None, 1, 2, 0, None, 2]))
    put("label names with nulls", frame(labels=[None, "ant", "cat", "emu", None, "cat"]), classes=names)
    put("label Decimal of 2 places", frame(pl.Decimal(9, 2)))
    put("label 3.5", frame(labels=[3.5, 1.0, 2.0, 0.0, 1.0, 2.0]), "column label")
    put("null image", frame().with_columns(image=pl.when(pl.int_range(pl.len()) != 2).then(pl.col("image"))), passed=1)
    put("null bytes alone", pl.DataFrame({"image": [None, *pngs(5)], "label": numbers()}), passed=1)
    put("no rows", frame(n=0).head(0), "no rows")
    put("path all null, of type Null", pl.DataFrame({"image": structs(pngs()), "label": numbers()}))
    put("list of structures beside", frame(objects=[[{"box": [1.0, 2.0], "id": i}] * i for i in range(N)]))
    put("array beside", frame(vector=pl.Series([[1.0, 2.0]] * N, dtype=pl.Array(pl.Float32, 2))))
    put("dates and durations beside", frame(at=pl.datetime_range(pl.datetime(2020, 1, 1), pl.datetime(2020, 1, N), eager=True)))

    def hive(option, labels, **said):
        root = os.path.dirname(log.place(option))
        f = frame(labels=labels)
        if hasattr(pl, "PartitionBy"):
            f.write_parquet(pl.PartitionBy(root, key="label", include_key=False), mkdir=True)
        else:
            f.write_parquet(root, partition_by="label")
        back = pl.read_parquet(root + "/**/*.parquet", hive_partitioning=True)
        log.said(option, root, back["image"].to_list(), back["label"].to_list(), **said)

    log.tried("folders label=0/", lambda: hive("folders label=0/", numbers()))
    log.tried("folders label=emu/", lambda: hive("folders label=emu/", texts(), classes=names))
    log.tried("sink", lambda: sink(log, frame(n=500)))
    return log.lines


def sink(log, frame):
    import polars as pl

    path = log.place("sink_parquet")
    frame.lazy().sink_parquet(path, row_group_size=100)
    back = pl.read_parquet(path)
    log.said("sink_parquet", os.path.dirname(path), back["image"].to_list(), back["label"].to_list())


def duckdb(out):
    import duckdb as db

    log = Log(out, "DuckDB", db.__version__)
    con = db.connect()
    con.execute("set preserve_insertion_order = true")

    def fill(n=N, kind="BIGINT", labels=None, image="STRUCT(bytes BLOB, path VARCHAR)", images=None):
        con.execute(f"create or replace table t (image {image}, label {kind})")
        images = images or pngs(n)
        values = [{"bytes": b, "path": f"{i}.png"} if "STRUCT" in image else b for i, b in enumerate(images)]
        con.executemany("insert into t values (?, ?)", [list(x) for x in zip(values, numbers(n) if labels is None else labels)])

    def put(option, how="", expect="read", folder=False, query="", passed=0, classes=None, **of):
        def write():
            fill(**of)
            path = log.place(option)
            where = os.path.dirname(path)
            into = where if folder else path
            con.execute(f"copy t to '{into}' (format parquet{how})")
            back = con.execute(
                f"select image, label from read_parquet('{where}/**/*.parquet', hive_partitioning = {str(folder).lower()})"
            ).fetchall()
            log.said(option, where, [r[0] for r in back], [r[1] for r in back], expect, query=query, passed=passed, classes=classes)

        log.tried(option, write)

    for version in ("v1", "v2"):
        for codec in ("uncompressed", "snappy", "gzip", "zstd", "brotli", "lz4", "lz4_raw"):
            put(f"{codec}, {version}", f", compression {codec}, parquet_version {version}", n=40)
        put(f"equal images, {version}", f", parquet_version {version}", images=pngs(4) * 30, n=120)
        put(f"equal images alone, {version}", f", parquet_version {version}", images=pngs(4) * 30, n=120, image="BLOB")
        put(f"bytes alone, {version}", f", parquet_version {version}", image="BLOB", n=40)
        put(f"names, {version}", f", parquet_version {version}", kind="VARCHAR", labels=texts(300), n=300, classes=sorted(NAMES))
        put(f"dictionary of 2 values, {version}", f", parquet_version {version}, dictionary_size_limit 2", n=300)
        for kind in ("TINYINT", "SMALLINT", "INTEGER", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "FLOAT", "DOUBLE", "BOOLEAN"):
            put(
                f"label {kind}, {version}",
                f", parquet_version {version}",
                kind=kind,
                labels=[v > 0 for v in numbers()] if kind == "BOOLEAN" else None,
            )
        put(f"label of many values {version}", f", parquet_version {version}", labels=[i * 7 for i in range(3000)], n=3000)
    put("label HUGEINT", kind="HUGEINT")
    put("label DECIMAL(9,2)", kind="DECIMAL(9,2)")
    put("label DECIMAL(4,0)", kind="DECIMAL(4,0)")
    put("label ENUM", kind="ENUM('emu', 'ant', 'cat')", labels=texts(), classes=sorted(NAMES))
    put("label with nulls", labels=[None, 1, 2, 0, None, 2])
    put("label 3.5", expect="column label", kind="DOUBLE", labels=[3.5, 1, 2, 0, 1, 2])
    for rows, n in ((2048, 5000), (10_000, 21_000)):
        put(f"row groups of {rows}", f", row_group_size {rows}", n=n)
    put("null image", image="BLOB", images=[None, *pngs(5)], passed=1)
    put("folders label=0/", ", partition_by (label)", folder=True)
    put("folders label=emu/", ", partition_by (label)", folder=True, kind="VARCHAR", labels=texts(), classes=sorted(NAMES))
    put("folders label=0/, column kept", ", partition_by (label), write_partition_columns true", folder=True)
    put("a file a thread", ", per_thread_output true", folder=True)
    put("files of bounded size", ", file_size_bytes '2kB', row_group_size 2048", folder=True, n=9000)
    return log.lines


def fastparquet(out):
    import fastparquet as fp
    import pandas as pd

    log = Log(out, "fastparquet", fp.__version__)

    def put(option, frame, folder=False, expect="read", **how):
        said = {k: how.pop(k) for k in ("classes", "passed", "query") if k in how}

        def write():
            path = log.place(option)
            where = os.path.dirname(path)
            into = where if folder else path
            fp.write(into, frame, **how)
            back = fp.ParquetFile(into).to_pandas()
            log.said(option, where, list(back["image"]), list(back["label"]), expect, **said)

        log.tried(option, write)

    def frame(n=N, labels=None):
        return pd.DataFrame({"image": pd.Series(pngs(n), dtype=object), "label": numbers(n) if labels is None else labels})

    kinds = {"image": "bytes"}
    for codec in ("UNCOMPRESSED", "SNAPPY", "GZIP", "ZSTD", "BROTLI", "LZ4", "LZ4_RAW"):
        put(codec, frame(40), compression=codec, object_encoding=kinds)
    os.environ["FASTPARQUET_DATAPAGE_V2"] = "1"
    fp.writer.DATAPAGE_VERSION = 2
    for codec in ("UNCOMPRESSED", "SNAPPY", "GZIP", "ZSTD"):
        put(f"{codec}, pages v2", frame(40), compression=codec, object_encoding=kinds)
    put("nulls, pages v2", frame(labels=[1.0, float("nan"), 2.0] * 2), object_encoding=kinds, has_nulls=True)
    fp.writer.DATAPAGE_VERSION = 1
    put("has_nulls", frame(), object_encoding=kinds, has_nulls=True)
    put("has_nulls=False", frame(), object_encoding=kinds, has_nulls=False)
    put(
        "null image",
        pd.DataFrame({"image": pd.Series([None, *pngs(5)], dtype=object), "label": numbers()}),
        object_encoding=kinds,
        passed=1,
    )
    put("row groups of 7", frame(100), object_encoding=kinds, row_group_offsets=7)
    for kind in ("int8", "int16", "int32", "uint8", "uint16", "uint32", "uint64", "float32", "float64", "bool"):
        put(f"label {kind}", frame(labels=pd.Series(numbers()).astype(kind)), object_encoding=kinds)
    put("label Int64", frame(labels=pd.array(numbers(), dtype="Int64")), object_encoding=kinds)
    names = sorted(NAMES)
    put("label string", frame(labels=pd.Series(texts(), dtype=object)), object_encoding={**kinds, "label": "utf8"}, classes=names)
    put("label categorical", frame(labels=pd.Categorical(texts(), categories=NAMES)), object_encoding=kinds, classes=names)
    put("hive: parts and _metadata", frame(30), folder=True, object_encoding=kinds, file_scheme="hive", row_group_offsets=10)
    put("hive: label=0/", frame(30), folder=True, object_encoding=kinds, file_scheme="hive", partition_on=["label"])
    put(
        "hive: label=emu/",
        frame(30, texts(30)),
        folder=True,
        object_encoding=kinds,
        file_scheme="hive",
        partition_on=["label"],
        classes=names,
    )
    return log.lines


def datasets(out):
    import datasets as ds

    ds.disable_progress_bars()
    log = Log(out, "datasets", ds.__version__)
    cache = os.path.join(out, ".hf", "cache")
    classes = ds.ClassLabel(names=NAMES)

    def make(n=N, first=0, labels=None, image=None, label=classes, **columns):
        data = {
            "image": structs(pngs(n, first)),
            "label": numbers(n) if labels is None else labels,
            **{k: v[0] for k, v in columns.items()},
        }
        features = {"image": image or ds.Image(), "label": label, **{k: v[1] for k, v in columns.items()}}
        return ds.Dataset.from_dict(data, ds.Features(features))

    def back(files, split="train", label="label", image="image"):
        """load_dataset's own reading of files, by split."""
        d = ds.load_dataset("parquet", data_files={split: files}, split=split, cache_dir=cache)
        if isinstance(d.features[image], ds.Image):
            d = d.cast_column(image, ds.Image(decode=False))
        labels = d[label][:] if label in d.features else None
        if label in d.features and isinstance(d.features[label], ds.ClassLabel):
            labels = [None if v in (None, -1) else d.features[label].names[v] for v in labels]
        return d[image][:], labels

    def put(option, d, expect="read", label="label", image="image", query="", passed=0, classes=None, **how):
        def write():
            path = log.place(option)
            d.to_parquet(path, **how)
            log.said(
                option, os.path.dirname(path), *back(path, label=label, image=image), expect, query=query, passed=passed, classes=classes
            )

        log.tried(option, write)

    put("to_parquet", make(), classes=NAMES)
    put("batch_size=1", make(40), batch_size=1, classes=NAMES)
    put("batch_size=1000", make(2500), batch_size=1000, classes=NAMES)
    put("content-defined chunks off", make(40), use_content_defined_chunking=False, classes=NAMES)
    put("ClassLabel −1 and None", make(labels=[-1, 1, None, 0, 1, 2]), classes=NAMES)
    put("Value(int32)", make(label=ds.Value("int32")))
    put("Value(float32)", make(label=ds.Value("float32")))
    put("Value(bool)", make(labels=[v > 0 for v in numbers()], label=ds.Value("bool")))
    put("Value(string)", make(labels=texts(), label=ds.Value("string")), classes=sorted(NAMES))
    put("Value(large_string)", make(labels=texts(), label=ds.Value("large_string")), classes=sorted(NAMES))
    put("Image of the column scan", make().rename_column("image", "scan"), image="scan", classes=NAMES)
    put("ClassLabel of the column breed", make().rename_column("label", "breed"), label="breed", classes=NAMES)
    put("no label", make().remove_columns("label"))
    put(
        "fine_label and coarse_label",
        make(coarse_label=([v // 2 for v in numbers()], ds.ClassLabel(names=["a", "b"]))).rename_column("label", "fine_label"),
        label="fine_label",
        classes=NAMES,
    )
    coarse = make(coarse_label=([v // 2 for v in numbers()], ds.ClassLabel(names=["a", "b"])))
    put("?label=coarse_label", coarse, label="coarse_label", query="?label=coarse_label", classes=["a", "b"])
    put("two other ClassLabels", coarse.rename_columns({"label": "breed", "coarse_label": "family"}), label="none", passed=2)
    put("image and mask", make(mask=(structs(pngs(N, 50)), ds.Image())), classes=NAMES)
    put("left and right images", make(right=(structs(pngs(N, 50)), ds.Image())).rename_column("image", "left"), "left", image="left")
    put(
        "?image=right",
        make(right=(structs(pngs(N, 50)), ds.Image())).rename_column("image", "left"),
        image="right",
        query="?image=right",
        classes=NAMES,
    )
    put(
        "bytes as Value(binary)",
        ds.Dataset.from_dict({"image": pngs(), "label": numbers()}, ds.Features({"image": ds.Value("binary"), "label": classes})),
        classes=NAMES,
    )
    put("list of ClassLabels", make(labels=[[v] for v in numbers()], label=ds.List(classes)), label="none", passed=1)
    put(
        "objects beside",
        make(
            objects=([[{"box": [1.0], "kind": 0}]] * N, ds.List({"box": ds.List(ds.Value("float32")), "kind": ds.ClassLabel(names=["x"])}))
        ),
        classes=NAMES,
    )
    put("label of a structure beside", make(meta=([{"label": 1}] * N, {"label": ds.ClassLabel(names=["x", "y"])})), classes=NAMES)
    put(
        "None image",
        ds.Dataset.from_dict(
            {"image": structs([None, *pngs(5)]), "label": numbers()}, ds.Features({"image": ds.Image(), "label": classes})
        ),
        passed=1,
        classes=NAMES,
    )

    def paths(option, embed):
        folder = os.path.dirname(log.place(option + " pictures", "x"))
        names = []
        for i, b in enumerate(pngs()):
            names.append(os.path.join(folder, f"{i}.png"))
            with open(names[-1], "wb") as f:
                f.write(b)
        d = ds.Dataset.from_dict({"image": names, "label": numbers()}, ds.Features({"image": ds.Image(), "label": classes}))
        path = log.place(option)
        if not embed:  # to_parquet keeps paths
            d.to_parquet(path)
            return log.said(option, os.path.dirname(path), [], [], "path without bytes")
        from datasets.table import embed_table_storage

        d.with_format("arrow").map(embed_table_storage, batched=True).to_parquet(path)
        log.said(option, os.path.dirname(path), *back(path), classes=NAMES)

    log.tried("files by path, embedded", lambda: paths("files by path, embedded", True))
    log.tried("files by path, not embedded", lambda: paths("files by path, not embedded", False))

    parts = {"train": make(5), "validation": make(3, 10), "test": make(2, 20)}

    def layout(option, form, shards):
        root = os.path.dirname(log.place(option, "x"))
        written = {}
        for split, d in parts.items():
            count = shards if split == "train" else 1
            for i in range(count):
                path = os.path.join(root, form.format(split=split, i=i, n=count))
                os.makedirs(os.path.dirname(path), exist_ok=True)
                d.shard(count, i, contiguous=True).to_parquet(path)
                written.setdefault(split, []).append(path)
        for split, files in written.items():
            log.said(f"{option}: {split}", root, *back(files, split), split=SPLITS[split], classes=NAMES)

    layout("push_to_hub's data/SPLIT-i-of-n", "data/{split}-{i:05d}-of-{n:05d}.parquet", 3)
    layout("CONFIG/SPLIT-i-of-n", "cats/{split}-{i:05d}-of-{n:05d}.parquet", 2)
    layout("refs/convert/parquet: CONFIG/SPLIT/000i", "default/{split}/{i:04d}.parquet", 3)
    layout("partial: CONFIG/partial-SPLIT/000i", "default/partial-{split}/{i:04d}.parquet", 1)
    layout("DatasetDict: SPLIT.parquet", "{split}.parquet", 1)

    def orders():
        option = "two files, ClassLabel in two orders"
        files = [log.place(option, "train-00000-of-00002.parquet")]
        files.append(files[0].replace("00000-of", "00001-of"))
        make(3).to_parquet(files[0])
        make(3, 3, label=ds.ClassLabel(names=["cat", "emu", "ant"])).to_parquet(files[1])
        images, labels = zip(*(back(f) for f in files))  # each by its own names
        log.said(option, os.path.dirname(files[0]), images[0] + images[1], labels[0] + labels[1])

    log.tried("two files, ClassLabel in two orders", orders)
    return log.lines


WRITERS = {"polars": polars, "duckdb": duckdb, "fastparquet": fastparquet, "datasets": datasets}
