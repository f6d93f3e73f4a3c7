"""What PyTorch makes of an export by its own load.py: load_py.py FOLDER PICTURE…

Prints the features of the pictures, a line each, then the least cosine of them with those by
preprocess.json in torchvision's transforms, in timm's, and without any care: all of the
picture, squeezed, not normalised. A program that is not installed is "none".
"""

import json
import os
import sys

import torch
from PIL import Image

folder, pictures = sys.argv[1], sys.argv[2:]
sys.path.insert(0, folder)
import load  # noqa: E402

net = load.load()
ours = load.features(net, load.transform(), pictures)
for row in ours:
    print(" ".join(f"{v:.7g}" for v in row.tolist()))

p = json.load(open(os.path.join(folder, "preprocess.json")))


def cosine(transform):
    with torch.inference_mode():
        x = net(torch.stack([transform(Image.open(f).convert("RGB")) for f in pictures]))
    return torch.nn.functional.cosine_similarity(x, ours).min().item()


from torchvision import transforms as T  # noqa: E402

by_torchvision = T.Compose(
    [
        T.Resize(p["resize_size"], T.InterpolationMode(p["interpolation"])),
        T.CenterCrop(p["crop_size"]),
        T.ToTensor(),
        T.Normalize(p["mean"], p["std"]),
    ]
)
print(f"torchvision {cosine(by_torchvision):.6f}")
try:
    from timm.data import create_transform

    print(f"timm {cosine(create_transform(**p['timm'])):.6f}")
except ImportError:
    print("timm none")
size = p["crop_size"]
print(f"naive {cosine(T.Compose([T.Resize((size, size)), T.ToTensor()])):.6f}")
