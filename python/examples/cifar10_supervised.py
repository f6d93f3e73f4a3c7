"""A ResNet-18 trained with labels on CIFAR-10, from resslt's Loader.

    python cifar10_supervised.py --data folder:cifar10 --out out
    python cifar10_supervised.py --data folder:cifar10 --out out --nats nats://broker:4222

A run that was interrupted, or killed, goes on from its last checkpoint when it is started
again, with the batches and the weights that the calm run has. out/digests.txt has the digest
of each step's batch, out/weights.txt that of the weights at the end.
"""

import argparse
import hashlib
import logging
import os
from pathlib import Path

import torch
from torch import nn
from torchvision.models import resnet18

from resslt import Loader


def network(classes: int, stem: str) -> nn.Module:
    """ResNet-18. The small stem is that for 32×32 pictures: 3×3 of stride 1, and no pooling after it."""
    net = resnet18(num_classes=classes)
    if stem == "small":
        net.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        net.maxpool = nn.Identity()
    return net


def digest(net: nn.Module) -> str:
    """SHA-256 over the weights, in their order."""
    h = hashlib.sha256()
    for v in net.state_dict().values():
        h.update(v.contiguous().numpy().tobytes())
    return h.hexdigest()


def save(path: Path, state: object) -> None:
    """Writes a checkpoint so that a kill leaves the old one or the new one."""
    torch.save(state, path.with_suffix(".new"))
    os.replace(path.with_suffix(".new"), path)


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--data", required=True)
    p.add_argument("--out", type=Path, default=Path("out"))
    p.add_argument("--nats")
    p.add_argument("--run", help="name of the run in the broker")
    p.add_argument("--policy", default="supervised-small")
    p.add_argument("--stem", choices=("small", "standard"), default="small")
    p.add_argument("--batch-size", type=int, default=128)
    p.add_argument("--steps", type=int, default=300)
    p.add_argument("--lr", type=float, default=0.05)
    p.add_argument("--checkpoint-every", type=int, default=25)
    p.add_argument("--threads", type=int, default=2)
    a = p.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    a.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    torch.set_num_threads(a.threads)
    torch.use_deterministic_algorithms(True)

    loader = Loader(
        data=a.data, policy=a.policy, batch_size=a.batch_size, seed=0, nats=a.nats, run=a.run, normalize=True, labels=True, digests=True
    )
    net = network(loader.num_classes, a.stem).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(net.parameters(), lr=a.lr, momentum=0.9, weight_decay=5e-4, nesterov=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, a.lr, total_steps=a.steps)
    parts = {"net": net, "optimizer": optimizer, "schedule": schedule, "loader": loader}
    checkpoint = a.out / "checkpoint.pt"
    if checkpoint.exists():
        for name, state in torch.load(checkpoint).items():
            parts[name].load_state_dict(state)

    with (a.out / "digests.txt").open("a", buffering=1) as log:
        while loader.step < a.steps:
            for batch in loader:
                loss = nn.functional.cross_entropy(net(batch.views[0]), batch.labels)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                print(batch.step, batch.digest, f"{loss.item():.9g}", file=log)
                if loader.step % a.checkpoint_every == 0:
                    save(checkpoint, {name: part.state_dict() for name, part in parts.items()})
                if loader.step == a.steps:
                    break
    (a.out / "weights.txt").write_text(digest(net) + "\n")
    print(f"step {loader.step}: loss {loss.item():.4f}")
    loader.close()


if __name__ == "__main__":
    main()
