"""Data sets of several files, written by pyarrow: folders by value, splits, Hugging Face's
layouts, and Spark's."""

import os

import pyarrow as pa
import pyarrow.parquet as pq
from parquet import NAMES, N, numbers, pngs
from parquet_arrow import Arrow, hugging, read, table


def folders(log):
    def hive(option, column, **how):
        root = os.path.dirname(log.place(option))
        t = table(labels=column) if not isinstance(column, pa.Table) else column
        by = how.pop("by", ["label"])
        pq.write_to_dataset(t, root, partition_cols=by)
        back = pq.read_table(root, partitioning="hive")
        log.said(option, root, back["image"].to_pylist(), back["label"].to_pylist(), **how)

    twice = [NAMES[i % 3] for i in range(N)]
    for option, column, how in (
        ("folders label=0/", pa.array(numbers()), {}),
        ("folders label=emu/", pa.array(twice), dict(classes=sorted(NAMES))),
        ("folders label=a%20b/", pa.array(["a b/c", "ü", "100%"] * 2), {}),
        ("folders year=2020/", table(year=pa.array([2020, 2021] * 3)), dict(by=["year"])),
        ("folders year=2020/label=0/", table(year=pa.array([2020, 2021] * 3)), dict(by=["year", "label"])),
        ("folders label=, null", pa.array([None, 1, 2] * 2, pa.int64()), {}),
    ):
        log.tried(option, lambda option=option, column=column, how=how: hive(option, column, **how))

    def by_split():
        option = "folders split=train/"
        root = os.path.dirname(log.place(option))
        parts = pa.array(["train", "test"] * 3)
        pq.write_to_dataset(table(split=parts), root, partition_cols=["split"])
        for split in ("train", "test"):
            back = pq.read_table(root, filters=[("split", "=", split)])
            log.said(f"{option}: {split}", root, back["image"].to_pylist(), back["label"].to_pylist(), split=split)

    log.tried("folders split=train/", by_split)
    files(log)


def two(log, option, tables, names=("train-00000-of-00002.parquet", "train-00001-of-00002.parquet"), expect="read", query="", **how):
    paths = [log.place(option, names[0])]
    root = paths[0][: -len(names[0]) - 1]
    paths += [os.path.join(root, n) for n in names[1:]]
    for t, path in zip(tables, paths):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        pq.write_table(t, path)
    log.said(option, root, *read(paths), expect, query=query, **how)
    return root, paths


def files(log):
    other = ["cat", "emu", "ant"]
    halves = table(pngs(3)), table(pngs(3, 3))
    two(
        log,
        "two files, ClassLabel in two orders",
        (halves[0].replace_schema_metadata(hugging(NAMES)), halves[1].replace_schema_metadata(hugging(other))),
    )
    two(log, "two files, one with ClassLabel", (halves[0].replace_schema_metadata(hugging(NAMES)), halves[1]), expect="labels are numbers")
    two(log, "two files, names in one, numbers in the other", (halves[0], table(pngs(3, 3), ["emu", "ant", "cat"])), expect="labels are n")
    two(
        log,
        "two files, other names in each",
        (table(pngs(3), ["emu", "ant", "emu"]), table(pngs(3, 3), ["cat", "bee", "cat"])),
        classes=["ant", "bee", "cat", "emu"],
    )
    two(log, "two files, int32 and int64 labels", (table(pngs(3), kind=pa.int32()), table(pngs(3, 3))))
    two(log, "two files, one with labels", (halves[0], halves[1].drop_columns(["label"])))
    two(log, "two files, other columns beside", (halves[0], table(pngs(3, 3), caption=pa.array(["x"] * 3))))
    root, paths = two(
        log,
        "of three files the second missing",
        halves,
        ("train-00000-of-00003.parquet", "train-00002-of-00003.parquet"),
        expect="train-00001-of-00003.parquet",
    )
    parts = {"train": table(pngs(4)), "validation": table(pngs(3, 10)), "test": table(pngs(2, 20))}
    for option, form in {
        "data/SPLIT-00000-of-00001": "data/{}-00000-of-00001.parquet",
        "SPLIT.parquet": "{}.parquet",
        "CONFIG/SPLIT/0000.parquet": "plain/{}/0000.parquet",
        "SPLIT/0000.parquet": "{}/0000.parquet",
        "default/partial-SPLIT/0000.parquet": "default/partial-{}/0000.parquet",
        "data/SPLIT.parquet": "data/{}.parquet",
        "name-SPLIT.parquet": "birds-{}.parquet",
    }.items():
        root = log.place(f"layout {option}", "x")[:-2]
        for split, t in parts.items():
            path = os.path.join(root, form.format(split))
            os.makedirs(os.path.dirname(path), exist_ok=True)
            pq.write_table(t.replace_schema_metadata(hugging(NAMES)), path)
            log_split = {"validation": "val"}.get(split, split)
            log.said(f"layout {option}: {split}", root, *read(path), split=log_split, classes=NAMES)
    root = log.place("layout two configurations", "x")[:-2]
    for config in ("large", "small"):
        path = os.path.join(root, config, "train-00000-of-00001.parquet")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        pq.write_table(table(), path)
    log.said("layout two configurations", root, *read(path), expect="twice")
    log.said("layout two configurations: one named", os.path.join(root, "small"), *read(path))
    root = log.place("names without a split", "a.parquet")[:-10]
    pq.write_table(table(), f"{root}/a.parquet")
    log.said("names without a split", root, *read(f"{root}/a.parquet"))
    log.said("the file itself", f"{root}/a.parquet", *read(f"{root}/a.parquet"))
    log.said("a glob", f"{root}/*.parquet", *read(f"{root}/a.parquet"))
    root = log.place("names in other splits", "x")[:-2]
    for split, words in {"train": ["emu", "ant", "cat"], "test": ["cat", "ant", "cat"]}.items():
        pq.write_table(table(pngs(3, len(split)), words), f"{root}/{split}.parquet")
        log.said(
            f"names of classes, of which test has two: {split}", root, *read(f"{root}/{split}.parquet"), split=split, classes=sorted(NAMES)
        )


def spark(out):
    """Spark's layout and options, written by pyarrow: Spark itself needs Java."""
    log = Arrow(out, "Spark's layout", f"by pyarrow {pa.__version__}")
    name = "part-{:05d}-8f4c3d4e-7a30-4a55-9f55-6a7d4b1c2e90{}.c000.{}.parquet"
    halves = table(pngs(3)), table(pngs(3, 3))

    def write(option, folder="", codec="snappy", where=None, extra=True, **said):
        root = log.place(option, "x")[:-2]
        paths = []
        for i, t in enumerate(halves):
            part = folder.format(i)
            path = os.path.join(root, part, name.format(i, "-c000" if part else "", codec))
            os.makedirs(os.path.dirname(path), exist_ok=True)
            t = t.drop_columns(["label"]) if "label=" in part else t
            pq.write_table(t, path, compression=codec, version="1.0", store_schema=False)
            paths.append(path)
            for crc in (f".{os.path.basename(path)}.crc",) if extra else ():
                with open(os.path.join(os.path.dirname(path), crc), "wb") as f:
                    f.write(b"crc\0")
        if extra:
            open(os.path.join(root, "_SUCCESS"), "wb").close()
            pq.write_metadata(halves[0].schema, os.path.join(root, "_common_metadata"))
            pq.write_metadata(halves[0].schema, os.path.join(root, "_metadata"))
        images, labels = read(paths)
        if "label=" in folder:
            labels = [0] * 3 + [1] * 3
        log.said(option, root, images, labels, **said)

    for codec in ("snappy", "gzip", "zstd", "lz4", "brotli"):
        log.tried(codec, lambda codec=codec: write(f"_SUCCESS, part-*.{codec}.parquet", codec=codec))
    log.tried("label=", lambda: write("folders label=0/", "label={}"))
    log.tried("year=", lambda: write("folders year=0/", "year={}"))
    log.tried("nested", lambda: write("folders year=2020/label=0/", "year=2020/label={}"))
    log.tried("_temporary", lambda: write("no _SUCCESS", extra=False))


def layouts(out):
    log = Arrow(out, "pyarrow", pa.__version__)
    folders(log)


WRITERS = {"layouts": layouts, "spark": spark}
