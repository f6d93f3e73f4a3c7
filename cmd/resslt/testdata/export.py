"""What PyTorch makes of resslt's exports: export.py FILE.safetensors FILE.pkl

Loads the first into torchvision's resnet50 with strict=True, holds the second
against it under detectron2's names, and prints the features of the images that
TestExport embeds, one line an image.
"""

import json
import pickle
import struct
import sys

import numpy as np
import torch
import torchvision
from PIL import Image


def safetensors(path):
    raw = open(path, "rb").read()
    n = struct.unpack("<Q", raw[:8])[0]
    kinds = {"F32": np.float32, "I64": np.int64}
    for name, t in json.loads(raw[8 : 8 + n]).items():
        if name != "__metadata__":
            a, b = t["data_offsets"]
            yield name, torch.from_numpy(np.frombuffer(raw[8 + n + a : 8 + n + b], kinds[t["dtype"]]).reshape(t["shape"]).copy())


weights = dict(safetensors(sys.argv[1]))
model = torchvision.models.resnet50()
model.fc = torch.nn.Identity()
model.load_state_dict(weights, strict=True)
model.eval()

other = pickle.load(open(sys.argv[2], "rb"))
assert other["matching_heuristics"] is True, other.keys()
# As the converter that MoCo published names them.
want = {}
for k, v in weights.items():
    if k.endswith("num_batches_tracked"):
        continue
    k = k if "layer" in k else "stem." + k
    for i in (1, 2, 3, 4):
        k = k.replace(f"layer{i}", f"res{i + 1}")
    for i in (1, 2, 3):
        k = k.replace(f"bn{i}", f"conv{i}.norm")
    want[k.replace("downsample.0", "shortcut").replace("downsample.1", "shortcut.norm")] = v
assert other["model"].keys() == want.keys(), other["model"].keys() ^ want.keys()
for k, v in want.items():
    assert torch.equal(torch.from_numpy(other["model"][k]), v), k

mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
with torch.no_grad():
    for path in sys.argv[3:]:
        x = (np.asarray(Image.open(path).convert("RGB")) / 255 - mean) / std
        print(" ".join(f"{v:.6g}" for v in model(torch.from_numpy(x.transpose(2, 0, 1)[None]).float())[0]))
