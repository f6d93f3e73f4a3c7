"""lightly's SimCLR loop, with resslt's Loader in the place of its dataset and DataLoader.

    python simclr_lightly.py --data folder:imagenet --out out
    python simclr_lightly.py --data folder:imagenet --out out --nats nats://broker:4222

The loop is that of lightly's examples: its heads, its loss, its (views, targets, names).
Checkpoints and digests are as in cifar10_supervised.py.
"""

import argparse
import logging
from pathlib import Path

import torch
from lightly.loss import NTXentLoss
from lightly.models.modules import SimCLRProjectionHead
from torch import nn
from torchvision.models import resnet18

from cifar10_supervised import digest, save
from resslt import Batch, Loader, adapters


class SimCLR(nn.Module):
    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.projection_head = SimCLRProjectionHead(512, 512, 128)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.projection_head(self.backbone(x).flatten(start_dim=1))


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--data", required=True)
    p.add_argument("--out", type=Path, default=Path("out"))
    p.add_argument("--nats")
    p.add_argument("--run", help="name of the run in the broker")
    p.add_argument("--image-size", type=int, default=96)
    p.add_argument("--batch-size", type=int, default=64)
    p.add_argument("--steps", type=int, default=30)
    p.add_argument("--checkpoint-every", type=int, default=5)
    p.add_argument("--threads", type=int, default=2)
    a = p.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    a.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    torch.set_num_threads(a.threads)
    torch.use_deterministic_algorithms(True)

    log = (a.out / "digests.txt").open("a", buffering=1)

    def collate(batch: Batch) -> tuple:
        print(batch.step, batch.digest, file=log)
        return adapters.lightly(batch)

    # fmt: off
    dataloader = Loader(
        data=a.data, policy="simclr", image_size=a.image_size, batch_size=a.batch_size, seed=0,
        nats=a.nats, run=a.run, normalize=True, digests=True, collate=collate,
    )
    # fmt: on
    model = SimCLR(nn.Sequential(*list(resnet18().children())[:-1]))
    criterion = NTXentLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.06)
    parts = {"model": model, "optimizer": optimizer, "loader": dataloader}
    checkpoint = a.out / "checkpoint.pt"
    if checkpoint.exists():
        for name, state in torch.load(checkpoint).items():
            parts[name].load_state_dict(state)

    while dataloader.step < a.steps:
        for views, _, _ in dataloader:
            x0, x1 = views
            loss = criterion(model(x0), model(x1))
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            if dataloader.step % a.checkpoint_every == 0:
                save(checkpoint, {name: part.state_dict() for name, part in parts.items()})
            if dataloader.step == a.steps:
                break
    (a.out / "weights.txt").write_text(digest(model) + "\n")
    print(f"step {dataloader.step}: loss {loss.item():.4f}")
    dataloader.close()
    log.close()


if __name__ == "__main__":
    main()
