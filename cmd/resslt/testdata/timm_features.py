"""What timm makes of resslt's exports: timm_features.py FOLDER PICTURE…

Creates the model of the folder by its own configuration, loads its weights with strict=True,
and prints the features of the pictures, a line each. The first line is the transform that
timm resolves.
"""

import json
import os
import sys

import numpy as np
import timm
import torch
from PIL import Image
from safetensors.torch import load_file
from timm.data import resolve_model_data_config

folder, pictures = sys.argv[1], sys.argv[2:]
config = json.load(open(os.path.join(folder, "config.json")))
by_hand = timm.create_model(config["architecture"], num_classes=0, **config.get("model_args", {}))
by_hand.load_state_dict(load_file(os.path.join(folder, "model.safetensors")), strict=True)
net = timm.create_model("local-dir:" + folder, pretrained=True).eval()
for k, v in by_hand.state_dict().items():
    assert torch.equal(v, net.state_dict()[k]), k
assert net.num_classes == 0, net.num_classes

data = resolve_model_data_config(net)
print(json.dumps(data))
mean, std = np.array(data["mean"]), np.array(data["std"])
with torch.no_grad():
    for path in pictures:
        x = (np.asarray(Image.open(path).convert("RGB")) / 255 - mean) / std
        x = torch.from_numpy(x.transpose(2, 0, 1)[None]).float()
        whole = hasattr(net, "patch_embed") or hasattr(net, "stages")  # a ConvNeXt's layer norm follows the average
        h = net(x) if whole else net.forward_features(x).mean((2, 3))
        print(" ".join(f"{v:.7g}" for v in h[0]))
