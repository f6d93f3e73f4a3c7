"""Packs a folder of JPEGs, as they are, into the formats of the peers: pack.py FOLDER OUT."""

import importlib.util
import os
import pathlib
import shutil
import subprocess
import sys

import peers

SHARD = 64 << 20  # bytes


def litdata(names, out):
    import litdata as ld

    writer = ld.streaming.writer.BinaryWriter(out, chunk_bytes=SHARD)
    for i, name in enumerate(names):
        writer[i] = {"jpeg": pathlib.Path(name).read_bytes()}
    writer.done()
    writer.merge(1)


def streaming(names, out):
    from streaming import MDSWriter

    with MDSWriter(out=out, columns={"jpeg": "bytes"}, size_limit=SHARD) as writer:
        for name in names:
            writer.write({"jpeg": pathlib.Path(name).read_bytes()})


def webdataset(names, out):
    import webdataset as wds

    with wds.ShardWriter(os.path.join(out, "%06d.tar"), maxsize=SHARD, verbose=0) as writer:
        for i, name in enumerate(names):
            writer.write({"__key__": f"{i:06d}", "jpg": pathlib.Path(name).read_bytes()})


def grain(names, out):
    from array_record.python.array_record_module import ArrayRecordWriter

    writer = ArrayRecordWriter(os.path.join(out, "all.arrayrecord"), "group_size:1")  # for random access
    for name in names:
        writer.write(pathlib.Path(name).read_bytes())
    writer.close()


def ffcv(names, out):
    import cv2
    import numpy as np
    from ffcv.fields.rgb_image import RGBImageField
    from ffcv.writer import DatasetWriter

    class Pictures:
        def __len__(self):
            return len(names)

        def __getitem__(self, i):
            picture = cv2.imdecode(np.fromfile(names[i], np.uint8), cv2.IMREAD_COLOR_RGB)
            return picture, picture

    # Its pictures are encoded anew. A field has one pipeline, so each view has a field.
    field = lambda: RGBImageField(write_mode="jpg", jpeg_quality=90)
    DatasetWriter(out, {"weak": field(), "strong": field()}, num_workers=2).from_indexed_dataset(Pictures())


def resslt(folder, out):
    program = os.environ["RESSLT_PROGRAM"]
    subprocess.run([program, "shards", "pack", "--data", "folder:" + folder, "--out", out, "--codec", "dct"], check=True)


def main():
    names, out = peers.files(sys.argv[1]), pathlib.Path(sys.argv[2])
    if not (out / "resslt").exists():
        part = out / "resslt.part"
        shutil.rmtree(part, ignore_errors=True)
        resslt(sys.argv[1], str(part))
        part.rename(out / "resslt")
    for pack in (litdata, streaming, webdataset, grain):
        folder = out / pack.__name__
        if not folder.exists():
            part = out / (pack.__name__ + ".part")
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(parents=True)
            pack(names, str(part))
            part.rename(folder)
    if not (out / "ffcv.beton").exists() and importlib.util.find_spec("ffcv"):
        ffcv(names, str(out / "ffcv.part"))
        (out / "ffcv.part").rename(out / "ffcv.beton")


if __name__ == "__main__":
    main()
