"""What pyarrow writes, and pandas by it: codecs, pages, encodings, types of labels and images,
names of columns, row groups. parquet_folders.py has data sets of several files."""

import json
import os

import pyarrow as pa
import pyarrow.parquet as pq
from parquet import NAMES, Log, N, label_of, numbers, pngs, texts

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
CODECS = ["none", "snappy", "gzip", "brotli", "zstd", "lz4"]


def structs(images, paths=None):
    return pa.array(
        [None if b is None else {"bytes": b, "path": p} for b, p in zip(images, paths or [f"{i}.png" for i in range(len(images))])], IMAGE
    )


def table(images=None, labels=None, kind=None, **columns):
    """Columns image, a structure, and label, and others."""
    images = pngs() if images is None else images
    labels = pa.array(numbers(len(images)), kind or pa.int64()) if labels is None else labels
    return pa.table({"image": structs(images), "label": labels if isinstance(labels, pa.Array) else pa.array(labels, kind), **columns})


def hugging(names, **more):
    """The metadata of Hugging Face for class labels of these names."""
    features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}, **more}
    return {"huggingface": json.dumps({"info": {"features": features}})}


def read(paths, image="image", label="label"):
    """pyarrow's own reading of files: images and labels, by the names that the metadata have."""
    images, labels = [], []
    for path in [paths] if isinstance(paths, str) else paths:
        t = pq.ParquetFile(path).read()
        names = []
        if b"huggingface" in (t.schema.metadata or {}):
            names = json.loads(t.schema.metadata[b"huggingface"])["info"]["features"].get(label, {}).get("names", [])
        images += t[image].to_pylist()
        found = t[label].to_pylist() if label in t.column_names else [None] * len(t)
        labels += [names[v] if names and label_of(v) is not None and v < len(names) else v for v in found]
    return images, labels


class Arrow(Log):
    def put(self, option, t, expect="read", image="image", label="label", query="", passed=0, classes=None, **how):
        def write():
            path = self.place(option)
            pq.write_table(t, path, **how)
            self.said(option, os.path.dirname(path), *read(path, image, label), expect, query=query, passed=passed, classes=classes)

        self.tried(option, write)


def codecs(log):
    n = 40
    t = table(pngs(n))
    for codec in CODECS:
        for version in ("1.0", "2.0"):
            for dictionary in (True, False):
                log.put(
                    f"{codec}, pages v{version[0]}, {'dictionary' if dictionary else 'plain'}",
                    t,
                    compression=codec,
                    data_page_version=version,
                    use_dictionary=dictionary,
                )
    log.put("a codec for each column", t, compression={"image.bytes": "brotli", "image.path": "zstd", "label": "gzip"})
    for version in ("1.0", "2.0"):
        for name, encodings in {
            "DELTA_LENGTH_BYTE_ARRAY": {"image.bytes": "DELTA_LENGTH_BYTE_ARRAY", "image.path": "DELTA_LENGTH_BYTE_ARRAY"},
            "DELTA_BYTE_ARRAY": {"image.bytes": "DELTA_BYTE_ARRAY", "image.path": "DELTA_BYTE_ARRAY"},
            "labels DELTA_BINARY_PACKED": {"label": "DELTA_BINARY_PACKED"},
            "labels BYTE_STREAM_SPLIT": {"label": "BYTE_STREAM_SPLIT"},
        }.items():
            log.put(f"{name}, pages v{version[0]}", t, use_dictionary=False, column_encoding=encodings, data_page_version=version)
        for kind in (pa.int32(), pa.float32(), pa.float64()):
            log.put(
                f"{kind} labels BYTE_STREAM_SPLIT, pages v{version[0]}",
                table(pngs(n), kind=kind),
                use_dictionary=False,
                column_encoding={"label": "BYTE_STREAM_SPLIT"},
                data_page_version=version,
            )
        log.put(f"bool labels, pages v{version[0]}", table(pngs(n), [i % 3 == 0 for i in range(n)]), data_page_version=version)
        log.put(
            f"null labels, pages v{version[0]}",
            table(pngs(n), [None if i % 4 == 0 else i % 3 for i in range(n)], pa.int64()),
            data_page_version=version,
        )
        log.put(f"small pages, v{version[0]}", table(pngs(3000)), data_page_size=2000, write_batch_size=16, data_page_version=version)
        log.put(
            f"dictionary that grows too large, pages v{version[0]}",
            table(pngs(3000)),
            dictionary_pagesize_limit=4000,
            data_page_size=4000,
            write_batch_size=16,
            data_page_version=version,
        )
    for name, how in {
        "format 1.0": dict(version="1.0"),
        "format 2.4": dict(version="2.4"),
        "page index": dict(write_page_index=True),
        "check sums": dict(write_page_checksum=True),
        "no statistics": dict(write_statistics=False),
        "no Arrow schema": dict(store_schema=False),
        "content-defined chunks": dict(use_content_defined_chunking=True),
        "sizes of pages by bytes": dict(max_rows_per_page=7),
        "bloom filters": dict(bloom_filter_options={"label": {"ndv": 3, "fpp": 0.1}}),
    }.items():
        log.put(name, t, **how)


def groups(log):
    for rows, n in ((1, 300), (2, 301), (7, 500), (1000, 2500), (10_000, 21_000)):
        log.put(f"row groups of {rows}", table(pngs(n)), row_group_size=rows)

    def with_empty(option, order):
        path = log.place(option)
        with pq.ParquetWriter(path, table().schema) as w:
            for t in order:
                w.write_table(t)
        log.said(option, os.path.dirname(path), *read(path))

    none = table([], pa.array([], pa.int64()))
    for option, order in {
        "empty row group first": (none, table()),
        "empty row group between": (table(pngs(3)), none, table(pngs(3, 3))),
        "empty row group last": (table(), none),
    }.items():
        log.tried(option, lambda option=option, order=order: with_empty(option, order))
    log.put("no rows", none, "no rows")

    def beside(option):
        paths = [log.place(option, "train-00000-of-00002.parquet")]
        paths.append(paths[0].replace("00000-of", "00001-of"))
        pq.write_table(none, paths[0])
        pq.write_table(table(), paths[1])
        log.said(option, os.path.dirname(paths[0]), *read(paths))

    log.tried("a file without rows beside", lambda: beside("a file without rows beside"))


def labels(log):
    for kind in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64"):
        log.put(f"label {kind}", table(kind=getattr(pa, kind)()))
    names = sorted(NAMES)
    for kind in ("string", "large_string", "string_view", "binary"):
        log.put(f"label {kind}", table(labels=pa.array(texts(), getattr(pa, kind)())), classes=names)
    for index in (pa.int8(), pa.int32()):
        log.put(
            f"label categorical ({index})",
            table(labels=pa.array(texts()).dictionary_encode().cast(pa.dictionary(index, pa.string()))),
            classes=names,
        )
    log.put("label string of numbers", table(labels=[str(v) for v in numbers()]))
    for places in (0, 2):
        decimals = table(labels=pa.array(numbers(), pa.decimal128(5, places)))
        log.put(f"label decimal of {places} places", decimals)
        log.put(f"label decimal of {places} places, as an integer", decimals, store_decimal_as_integer=True)
    log.put("label 3.5", table(labels=[3.5, 1, 2, 0, 1, 2], kind=pa.float32()), "label")
    log.put("label NaN", table(labels=[float("nan"), 1, 2, 0, 1, 2], kind=pa.float64()))
    log.put("label infinite", table(labels=[float("inf"), 1, 2, 0, 1, 2], kind=pa.float64()), "label")
    log.put("label −5", table(labels=[-5, 1, 2, 0, 1, 2]), "label")
    log.put("label −1: none", table(labels=[-1, 1, 2, 0, 1, 2]))
    log.put("label 2^40", table(labels=[1 << 40, 1, 2, 0, 1, 2]), "label")
    log.put("label 2^63", table(labels=pa.array([1 << 63, 1, 2, 0, 1, 2], pa.uint64())), "label")
    log.put("labels all null", table(labels=pa.array([None] * N, pa.int64())))
    log.put("labels of type null", table(labels=pa.nulls(N)))
    log.put("null names", table(labels=[None, "ant", "cat", "emu", None, "cat"], kind=pa.string()), classes=names)
    log.put("no label", table().drop_columns(["label"]))
    log.put(
        "label required",
        pa.table(
            [structs(pngs()), pa.array(numbers())],
            schema=pa.schema([pa.field("image", IMAGE), pa.field("label", pa.int64(), nullable=False)]),
        ),
    )
    class_names = table().replace_schema_metadata(hugging(NAMES))
    log.put("ClassLabel by metadata", class_names, classes=NAMES)
    log.put("ClassLabel, a number without name", table(labels=[7, 1, 2, 0, 1, 2]).replace_schema_metadata(hugging(NAMES)), "label")
    fine = table().rename_columns(["image", "fine_label"]).append_column("coarse_label", pa.array([v // 2 for v in numbers()]))
    of = {"fine_label": {"names": NAMES, "_type": "ClassLabel"}, "coarse_label": {"names": ["a", "b"], "_type": "ClassLabel"}}
    meta = {"huggingface": json.dumps({"info": {"features": {"image": {"_type": "Image"}, **of}}})}
    log.put("fine_label and coarse_label", fine.replace_schema_metadata(meta), label="fine_label", classes=NAMES)
    log.put(
        "?label=coarse_label", fine.replace_schema_metadata(meta), label="coarse_label", query="?label=coarse_label", classes=["a", "b"]
    )
    odd = table().rename_columns(["image", "breed"])
    log.put(
        "label by another name, ClassLabel",
        odd.replace_schema_metadata(
            {
                "huggingface": json.dumps(
                    {"info": {"features": {"image": {"_type": "Image"}, "breed": {"names": NAMES, "_type": "ClassLabel"}}}}
                )
            }
        ),
        label="breed",
        classes=NAMES,
    )
    log.put("?label=breed", odd, label="breed", query="?label=breed")
    log.put("?label=none", table(), label="none", query="?label=none")
    log.put("?label=absent", table(), "absent", query="?label=absent")
    log.put("list of labels", table(labels=pa.array([[v] for v in numbers()])), label="none", passed=1)


def images(log):
    def alone(kind, values=None, name="image"):
        return pa.table({name: pa.array(pngs() if values is None else values, kind), "label": numbers()})

    for kind in (pa.binary(), pa.large_binary(), pa.binary_view()):
        log.put(f"image {kind}", alone(kind))
    long = max(map(len, pngs()))
    same = [b + bytes(long - len(b)) for b in pngs()]
    log.put("image fixed_size_binary", alone(pa.binary(long), same), "column image is of type FIXED_LEN_BYTE_ARRAY")
    for part in (pa.large_binary(), pa.binary_view()):
        kind = pa.struct([("bytes", part), ("path", pa.string())])
        log.put(f"image.bytes {part}", alone(kind, [{"bytes": b, "path": None} for b in pngs()]))
    log.put("image categorical bytes", pa.table({"image": pa.array(pngs() * 3).dictionary_encode(), "label": numbers(3 * N)}))
    log.put(
        "path before bytes", alone(pa.struct([("path", pa.string()), ("bytes", pa.binary())]), [{"bytes": b, "path": "x"} for b in pngs()])
    )
    log.put("bytes without path", alone(pa.struct([("bytes", pa.binary())]), [{"bytes": b} for b in pngs()]))
    log.put("path null", table().set_column(0, "image", structs(pngs(), [None] * N)))
    log.put(
        "path of type null", alone(pa.struct([("bytes", pa.binary()), ("path", pa.null())]), [{"bytes": b, "path": None} for b in pngs()])
    )
    log.put(
        "path large_string",
        alone(pa.struct([("bytes", pa.binary()), ("path", pa.large_string())]), [{"bytes": b, "path": "ü"} for b in pngs()]),
    )
    gone = pngs(7)
    gone[2] = None
    log.put("null image", table(gone), passed=1)
    log.put("null image, pages v2", table(gone), passed=1, data_page_version="2.0", compression="zstd")
    log.put("null image at either end", table([None, *pngs(5), None]), passed=2)
    log.put("null images of a whole page", table([*pngs(30), *[None] * 40, *pngs(30, 30)]), passed=40, max_rows_per_page=10)
    empty = [{"bytes": b, "path": "p"} for b in pngs()]
    empty[1]["bytes"], empty[3]["bytes"] = None, b""
    log.put("null and empty bytes", alone(IMAGE, empty), passed=2)
    log.put("images all null", table([None] * N), "image")
    log.put("paths without bytes", alone(IMAGE, [{"bytes": None, "path": f"/x/{i}.png"} for i in range(N)]), "path")
    log.put(
        "bytes of type null", alone(pa.struct([("bytes", pa.null()), ("path", pa.string())]), [{"bytes": None, "path": "a"}] * N), "image"
    )
    log.put("image string", alone(pa.string(), ["aGVsbG8="] * N), "image")
    log.put("image a list of numbers", alone(pa.list_(pa.uint8()), [list(b) for b in pngs()]), "image")
    log.put("image a number", pa.table({"image": numbers(), "label": numbers()}), "image")
    log.put("list of images", alone(pa.list_(IMAGE), [[{"bytes": b, "path": None}] for b in pngs()]), "image")
    for name in ("img", "jpg", "png", "webp", "picture", "image_bytes", "content", "data"):
        log.put(f"image column {name}", alone(pa.binary(), name=name), image=name)
    log.put("image column scan, the only one of bytes", alone(pa.binary(), name="scan"), image="scan")
    log.put("the only column of bytes holds no images", alone(pa.binary(), [b"abc"] * N, name="hash"), "hash", image="hash")
    log.put(
        "Image by metadata",
        table()
        .rename_columns(["scan", "label"])
        .replace_schema_metadata({"huggingface": json.dumps({"info": {"features": {"scan": {"_type": "Image"}}}})}),
        image="scan",
    )
    both = pa.table({"scan": pngs(), "mask": pngs(N, 50), "label": numbers()})
    log.put("two columns of bytes", both, "scan", image="scan")
    log.put("?image=mask", both, image="mask", query="?image=mask")
    log.put("?image=absent", both, "absent", query="?image=absent", image="mask")
    log.put("image and mask", table(mask=structs(pngs(N, 50))))


def beside(log):
    people = pa.array(
        [[{"box": [1.0, 2.0], "id": i}] * i for i in range(N)], pa.list_(pa.struct([("box", pa.list_(pa.float32())), ("id", pa.int64())]))
    )
    for name, column in {
        "list of structures": people,
        "list of lists": pa.array([[[1, 2], []], None, []] * 2),
        "map": pa.array([[("a", 1)]] * N, pa.map_(pa.string(), pa.int64())),
        "deep structure": pa.array([{"a": {"b": {"c": {"d": [i]}}}} for i in range(N)]),
        "timestamps": pa.array([0] * N, pa.timestamp("ns", "UTC")),
        "decimals": pa.array([1] * N, pa.decimal256(40, 3)),
        "float16": pa.array([1.0] * N, pa.float16()),
        "vectors": pa.array([[1.0, 2.0, 3.0]] * N, pa.list_(pa.float32(), 3)),
        "nulls": pa.nulls(N),
        "UUID": pa.array([bytes(16)] * N, pa.binary(16)).cast(pa.uuid()),
        "JSON": pa.array(["{}"] * N).cast(pa.json_()),
        "durations": pa.array([1] * N, pa.duration("s")),
        "captions": pa.array(["a picture of an emu"] * N),
        "bytes": pa.array([b"\0" * 9] * N),
    }.items():
        log.put(f"beside: {name}", table(beside=column))
        first = table(beside=column).select(["beside", "image", "label"])
        log.put(f"before: {name}", first, compression="zstd", data_page_version="2.0")
    log.put("500 columns beside", table(**{f"c{i}": pa.array([i] * N) for i in range(500)}))


def broken(log):
    """Files that are none, or that are cut off."""
    whole = log.place("source")
    pq.write_table(table(pngs(60)), whole)
    with open(whole, "rb") as f:
        data = f.read()
    for option, bad, expect in (
        ("cut off", data[: len(data) // 2], "PAR1"),
        ("empty file", b"", "Parquet"),
        ("a page overwritten", data[:300] + b"\xff" * 400 + data[700:], "page"),
        ("a text", b"version https://git-lfs.github.com/spec/v1\n" * 3, "Parquet"),
        ("a web page", b"<html><title>Sign in</title></html>" * 9, "Parquet"),
    ):
        path = log.place(option)
        with open(path, "wb") as f:
            f.write(bad)
        log.said(option, os.path.dirname(path), [], [], expect, damaged=True)

    def encrypted(plaintext):
        import pyarrow.parquet.encryption as pe

        class Client(pe.KmsClient):
            def __init__(self, _):
                pe.KmsClient.__init__(self)

            def wrap_key(self, key, _):
                return key.hex().encode()

            def unwrap_key(self, key, _):
                return bytes.fromhex(key.decode())

        factory = pe.CryptoFactory(lambda c: Client(c))
        how = pe.EncryptionConfiguration("k", column_keys={"c": ["image.bytes"]}, plaintext_footer=plaintext, double_wrapping=False)
        props = factory.file_encryption_properties(pe.KmsConnectionConfig(), how)
        option = "encrypted column, plain footer" if plaintext else "encrypted footer"
        path = log.place(option)
        with pq.ParquetWriter(path, table().schema, encryption_properties=props) as w:
            w.write_table(table())
        log.said(option, os.path.dirname(path), pngs(), numbers(), "encrypted")

    for plaintext in (False, True):
        log.tried(f"encrypted, plain footer {plaintext}", lambda plaintext=plaintext: encrypted(plaintext))


def arrow(out):
    log = Arrow(out, "pyarrow", pa.__version__)
    for part in (codecs, groups, labels, images, beside, broken):
        part(log)
    return log.lines


def pandas(out):
    import pandas as pd

    log = Arrow(out, "pandas", pd.__version__)

    def put(option, frame, **how):
        said = {k: how.pop(k) for k in ("expect", "classes", "passed") if k in how}

        def write():
            path = log.place(option)
            frame.to_parquet(path, engine="pyarrow", **how)
            back = pd.read_parquet(path)
            log.said(option, os.path.dirname(path), list(back["image"]), list(back["label"]), **said)

        log.tried(option, write)

    frame = pd.DataFrame({"image": pngs(), "label": numbers()})
    put("image bytes", frame)
    put("image structure", pd.DataFrame({"image": [{"bytes": b, "path": None} for b in pngs()], "label": numbers()}))
    put("with an index", frame.set_index(pd.Index([f"r{i}" for i in range(N)], name="key")))
    put("index=True", frame, index=True)
    put("label categorical", frame.assign(label=pd.Categorical(texts(), categories=NAMES)), classes=sorted(NAMES))
    put("label string", frame.assign(label=texts()), classes=sorted(NAMES))
    put("label float with NaN", frame.assign(label=pd.array([None, 1, 2] * 2, dtype="Int64")).astype({"label": "float"}))
    put("label boolean", frame.assign(label=[v == 0 for v in numbers()]))
    for codec in ("gzip", "zstd", "brotli", "lz4", None):
        put(f"compression={codec}", frame, compression=codec)


WRITERS = {"pyarrow": arrow, "pandas": pandas}
