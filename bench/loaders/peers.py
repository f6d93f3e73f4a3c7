"""The loaders, each as its documentation says that it is fast: a function of the arguments
of measure.py to (version, endless iterator of batches, each a list of two uint8 tensors).

What has no augmentation of its own uses AlbumentationsX, the fastest of Python's. What
packs its data reads what pack.py wrote. Workers: with one core, the process itself does the
work where the loader can do that; with more, a worker a core.
"""

import importlib.metadata
import os
import pathlib

import numpy as np
import torch

import transforms


def version(*names):
    return ", ".join(f"{n} {importlib.metadata.version(n)}" for n in names)


def workers(args, alone=0):
    if args.workers is not None:
        return args.workers
    return alone if args.cores == 1 else args.cores


def again(loader):
    """Epoch after epoch of a loader that can be iterated repeatedly."""
    while True:
        yield from loader


def files(folder):
    return sorted(str(p) for p in pathlib.Path(folder).iterdir())


def stack(samples):
    """Views of samples to batches: one copy, of arrays or of tensors."""
    if isinstance(samples[0][0], torch.Tensor):
        return [torch.stack(v) for v in zip(*samples, strict=True)]
    return [torch.from_numpy(np.stack(v)) for v in zip(*samples, strict=True)]


class Files(torch.utils.data.Dataset):
    """A map-style data set of files, as ImageFolder is."""

    def __init__(self, folder, maker):
        self.files, self.make = files(folder), transforms.Lazy(maker)

    def __len__(self):
        return len(self.files)

    def __getitem__(self, i):
        with open(self.files[i], "rb") as f:
            return self.make(f.read())


def data_loader(args, data, shuffle=True, kind=torch.utils.data.DataLoader, **more):
    n = workers(args)
    options = dict(batch_size=args.batch, num_workers=n, collate_fn=stack, drop_last=True, **more)
    if shuffle:
        options["shuffle"] = True
    if n:
        options.update(persistent_workers=True, prefetch_factor=2)
    return again(kind(data, **options))


def torch_pil(args):
    return version("torch", "torchvision", "pillow"), data_loader(args, Files(args.data, "pil"))


def torch_v2(args):
    return version("torch", "torchvision"), data_loader(args, Files(args.data, "v2"))


def torch_albumentations(args):
    return version("torch", "albumentationsx", "opencv-python-headless"), data_loader(args, Files(args.data, "albumentations"))


def spdl(args):
    """Stages of threads: OpenCV and AlbumentationsX let go of Python's lock."""
    from spdl.pipeline import PipelineBuilder

    n = max(1, workers(args, 1))
    make = transforms.Lazy("albumentations")
    make.make = transforms.MAKERS["albumentations"](transforms.VIEWS)

    class Source:
        def __iter__(self):
            names = np.array(files(args.data))
            while True:
                yield from np.random.permutation(names)

    def load(name):
        with open(name, "rb") as f:
            return make(f.read())

    def batches():
        p = (
            PipelineBuilder()
            .add_source(Source())
            .pipe(load, concurrency=n)
            .aggregate(args.batch)
            .pipe(stack)
            .add_sink(2)
            .build(num_threads=n)
        )
        with p.auto_stop():
            yield from p.get_iterator()

    return version("spdl", "albumentationsx"), batches()


def litdata(args):
    import litdata as ld

    class Set(ld.StreamingDataset):
        make = transforms.Lazy("albumentations")

        def __getitem__(self, index):
            return self.make(super().__getitem__(index)["jpeg"])

    data = Set(os.path.join(args.packed, "litdata"), shuffle=True, drop_last=True)
    return version("litdata", "albumentationsx"), data_loader(args, data, shuffle=False, kind=ld.StreamingDataLoader)


def streaming(args):
    import streaming as ms

    class Set(ms.StreamingDataset):
        make = transforms.Lazy("albumentations")

        def __getitem__(self, index):
            return self.make(super().__getitem__(index)["jpeg"])

    ms.base.util.clean_stale_shared_memory()
    data = Set(local=os.path.join(args.packed, "streaming"), shuffle=True, batch_size=args.batch)
    return version("mosaicml-streaming", "albumentationsx"), data_loader(args, data, shuffle=False)


def webdataset(args):
    import webdataset as wds

    make = transforms.Lazy("albumentations")
    shards = sorted(str(p) for p in pathlib.Path(args.packed, "webdataset").glob("*.tar"))
    data = wds.WebDataset(shards, resampled=True, shardshuffle=False, nodesplitter=None).shuffle(500).to_tuple("jpg").map_tuple(make)
    data = data.map(lambda t: t[0]).batched(args.batch, collation_fn=stack)
    n = workers(args)
    more = dict(persistent_workers=True, prefetch_factor=2) if n else {}
    return version("webdataset", "albumentationsx"), iter(wds.WebLoader(data, batch_size=None, num_workers=n, **more))


def grain(args):
    import grain.python as pg

    make = transforms.Lazy("albumentations")

    class Source:
        """Records in ArrayRecord files, read with pread."""

        def __init__(self):
            self.records = pg.ArrayRecordDataSource(sorted(str(p) for p in pathlib.Path(args.packed, "grain").glob("*.arrayrecord")))

        def __len__(self):
            return len(self.records)

        def __getitem__(self, i):
            return self.records[i]

    n = workers(args)
    data = pg.MapDataset.source(Source()).shuffle(seed=0).repeat().map(make)
    data = data.to_iter_dataset(pg.ReadOptions(num_threads=max(1, args.cores), prefetch_buffer_size=args.batch))
    data = data.batch(args.batch, drop_remainder=True, batch_fn=lambda s: [np.stack(v) for v in zip(*s, strict=True)])
    if n:
        data = data.mp_prefetch(pg.MultiprocessingOptions(num_workers=n))
    return version("grain", "albumentationsx"), ([torch.from_numpy(v) for v in batch] for batch in data)


def ffcv(args):
    """Crop and flip alone: FFCV has no colour jitter, grey or blur for uint8. It reads both
    views' crops from one field by its own decoder, which is OpenCV's resize by areas."""
    from ffcv.fields.rgb_image import RandomResizedCropRGBImageDecoder
    from ffcv.loader import Loader, OrderOption
    from ffcv.transforms import RandomHorizontalFlip, ToTensor

    view = lambda s: [
        RandomResizedCropRGBImageDecoder((s["size"], s["size"]), scale=s["scale"]),
        RandomHorizontalFlip(s["flip"]),
        ToTensor(),
    ]
    loader = Loader(
        os.path.join(args.packed, "ffcv.beton"),
        batch_size=args.batch,
        num_workers=args.cores,
        order=OrderOption.RANDOM,
        os_cache=True,
        drop_last=True,
        pipelines={"weak": view(transforms.VIEWS[0]), "strong": view(transforms.VIEWS[1])},
    )
    return version("ffcv", "numba"), (list(batch[:2]) for batch in again(loader))


def dali(args):
    import dali_pipeline

    return version("nvidia-dali-cuda130"), dali_pipeline.batches(args)


def resslt(args):
    """This project's: `resslt serve` in a process of its own, batches by shared memory."""
    from resslt import Loader

    return drink(Loader(data="folder:" + args.data, policy="imagenet", batch_size=args.batch, seed=0, workers=args.cores))


def resslt_packed(args):
    """The same from shards of `resslt shards pack --codec dct`: the JPEGs' coefficients, without loss."""
    from resslt import Loader

    packed = os.path.join(args.packed, "resslt", "train-*.tar")
    return drink(Loader(data="wds:" + packed, policy="imagenet", batch_size=args.batch, seed=0, workers=args.cores))


def drink(loader):
    return "resslt " + loader.info.version, (list(batch.views) for batch in again(loader))


PEERS = {
    "resslt": resslt,
    "resslt-packed": resslt_packed,
    "torch+albumentations": torch_albumentations,
    "torch+pil": torch_pil,
    "torch+v2": torch_v2,
    "dali": dali,
    "spdl": spdl,
    "litdata": litdata,
    "streaming": streaming,
    "webdataset": webdataset,
    "grain": grain,
    "ffcv": ffcv,
}
