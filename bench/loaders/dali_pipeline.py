"""Views by DALI on the CPU: one decode, then each view's crop, colour and blur where a coin
says so. Its colour twist has no random order of the four factors."""

import nvidia.dali.fn as fn
import nvidia.dali.types as types
import peers
from nvidia.dali import pipeline_def
from nvidia.dali.plugin.pytorch import DALIGenericIterator, LastBatchPolicy

import transforms


def one_view(picture, s):
    size = (s["size"], s["size"])
    crop = dict(random_area=s["scale"], random_aspect_ratio=(3 / 4, 4 / 3), antialias=True)
    crop["interp_type"] = types.INTERP_CUBIC if s["cubic"] else types.INTERP_LINEAR
    out = fn.random_resized_crop(picture, size=size, **crop)
    out = fn.flip(out, horizontal=fn.random.coin_flip(probability=s["flip"]))
    if "jitter" in s:
        p, b, c, sat, hue = s["jitter"]
        if fn.random.coin_flip(probability=p, dtype=types.BOOL):
            out = fn.color_twist(
                out,
                brightness=fn.random.uniform(range=(1 - b, 1 + b)),
                contrast=fn.random.uniform(range=(1 - c, 1 + c)),
                saturation=fn.random.uniform(range=(1 - sat, 1 + sat)),
                hue=fn.random.uniform(range=(-360 * hue, 360 * hue)),
            )
        if fn.random.coin_flip(probability=s["gray"], dtype=types.BOOL):
            out = fn.saturation(out, saturation=0.0)
        if fn.random.coin_flip(probability=s["blur"][0], dtype=types.BOOL):
            out = fn.gaussian_blur(out, sigma=fn.random.uniform(range=s["blur"][1:]))
        if s["solarize"] and fn.random.coin_flip(probability=s["solarize"], dtype=types.BOOL):
            high = out >= 128
            out = fn.cast(high * (255 - out) + (1 - high) * out, dtype=types.UINT8)
    return out


@pipeline_def(enable_conditionals=True)
def rendering(names, views):
    data, _ = fn.readers.file(files=names, random_shuffle=True, name="reader", initial_fill=len(names))
    picture = fn.decoders.image(data, device="cpu", output_type=types.RGB)
    return tuple(one_view(picture, s) for s in views)


def batches(args):
    names = peers.files(args.data)
    p = rendering(names, transforms.VIEWS, batch_size=args.batch, num_threads=args.cores, device_id=None, prefetch_queue_depth=2)
    p.build()
    loader = DALIGenericIterator(p, ["weak", "strong"], reader_name="reader", last_batch_policy=LastBatchPolicy.DROP, auto_reset=True)
    return ([b[0]["weak"], b[0]["strong"]] for b in peers.again(loader))
