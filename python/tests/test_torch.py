"""torch, JAX and the frameworks around them: `make test-python` runs these."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import BATCH, arguments, digests
from resslt import Batch, Loader, UsageError, adapters, mix

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

Make = Callable[..., Loader]


def test_tensors_are_the_ring(loader: Make) -> None:
    made = loader(views="torch")
    batches = iter(made)
    first, plain = next(batches), next(iter(loader()))
    for tensor, array in zip(first.views, plain.views, strict=True):
        assert tensor.shape == (BATCH, 3, 28, 28)
        assert tensor.is_contiguous(memory_format=torch.channels_last)
        assert (tensor.permute(0, 2, 3, 1).numpy() == array).all()
    connection = made._session._connection
    assert connection is not None
    assert connection.ring is not None
    low = connection.ring.memory.ctypes.data
    assert all(low <= v.data_ptr() < low + connection.ring.memory.nbytes for v in first.views)
    assert (first.labels.dtype, first.labels.tolist()) == (torch.int64, plain.labels.tolist())
    part = first.views[1][3:5]
    kept = part.clone()
    del first
    for _ in range(10):
        next(batches)
    gc.collect()
    assert (part == kept).all()  # a piece of a view holds its slot


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_normalised_as_resslt_train_does(loader: Make, dtype: str) -> None:
    made = loader(views="torch", normalize=True, dtype=dtype)
    x = torch.from_numpy(next(iter(loader())).views[0]).permute(0, 3, 1, 2)
    mean, std = (torch.tensor(v, dtype=torch.float64).reshape(1, 3, 1, 1) for v in (made.info.mean, made.info.std))
    want = x.float().mul((1 / (255 * std)).float()).add((-mean / std).float()).to(getattr(torch, dtype))
    got = next(iter(made)).views[0]
    assert torch.equal(got, want)
    assert got.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("change", [{"dtype": "float32"}, {"dtype": "uint8", "normalize": True}, {"dtype": "int64"}, {"dtype": "nonsense"}])
def test_dtype_that_cannot_be(loader: Make, change: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="dtype"):
        iter(loader(views="torch", **change))


def test_in_torchs_dataloader(loader: Make) -> None:
    with pytest.raises(UsageError, match="not within one"):
        next(iter(torch.utils.data.DataLoader(loader(views="torch"))))


def test_jax(loader: Make) -> None:
    jax = pytest.importorskip("jax")
    plain, batch, floats = (next(iter(loader(**change))) for change in ({}, {"views": "jax"}, {"views": "jax", "normalize": True}))
    assert isinstance(batch.views[0], jax.Array)
    assert (np.asarray(batch.views[1]) == plain.views[1]).all()
    assert (np.asarray(batch.labels) == plain.labels).all()
    np.testing.assert_allclose(np.asarray(floats.views[0]), next(iter(loader(normalize=True))).views[0], atol=1e-6)
    assert digests(loader(views="jax")) == digests(loader())


def _mixed(batch: Batch) -> list[Any]:
    return [mix.mixup(batch, 0.4, seed=1), mix.cutmix(batch, 1.0, seed=1), mix.cutmix(batch, 1.0, seed=2)]


def test_mixing_is_a_function_of_run_step_and_seed(loader: Make) -> None:
    made = loader(views="torch")
    for batch in made:
        if batch.step == 2:
            break
    state = made.state_dict()
    state["step"] = 2
    other = loader(views="torch", workers=1)
    other.load_state_dict(state)
    again = next(iter(other))
    for a, b in zip(_mixed(batch), _mixed(again), strict=True):
        assert a.lam == b.lam
        assert (a.partners == b.partners).all()
        assert all(torch.equal(x, y) for x, y in zip(a.views, b.views, strict=True))
    other.load_state_dict(state | {"step": 3})
    following = next(iter(other))
    assert len({m.lam for m in _mixed(batch) + _mixed(following)}) == 6


def test_what_mixup_and_cutmix_make(loader: Make) -> None:
    batch, floats = next(iter(loader(views="torch"))), next(iter(loader(views="torch", normalize=True)))
    up = mix.mixup(batch, 1.0)
    x = batch.views[0]
    assert torch.equal(up.views[0], (x.float() * up.lam + x[up.partners].float() * (1 - up.lam)).round().to(torch.uint8))
    assert torch.equal(up.partner_labels, batch.labels[up.partners])
    assert mix.mixup(floats, 1.0).lam == up.lam
    cut = mix.cutmix(floats, 1.0)
    y = floats.views[0]
    kept = (cut.views[0] == y).all(dim=1)
    pasted = (cut.views[0] == y[cut.partners]).all(dim=1)
    assert (kept | pasted).all()
    box = ~kept
    assert box.any(dim=0).float().mean().item() == pytest.approx(1 - cut.lam, abs=1e-6)
    numpy = next(iter(loader()))
    assert (mix.cutmix(numpy).views[1] == mix.cutmix(batch).views[1].permute(0, 2, 3, 1).numpy()).all()
    assert (mix.mixup(numpy).views[1] == mix.mixup(batch).views[1].permute(0, 2, 3, 1).numpy()).all()
    with pytest.raises(UsageError, match="without labels"):
        mix.mixup(next(iter(loader(views="torch", labels=False))))


RANK = """
import sys
import torch
import torch.distributed as dist
from conftest import arguments
from resslt import Loader
if "init" in sys.argv:
    dist.init_process_group("gloo")
with Loader(**arguments(views="torch")) as loader:
    if "init" not in sys.argv:
        dist.init_process_group("gloo")
    net = torch.nn.Linear(3, 10)
    torch.manual_seed(0)
    torch.nn.init.normal_(net.weight)
    torch.nn.init.zeros_(net.bias)
    net = torch.nn.parallel.DistributedDataParallel(net)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    samples = []
    for batch in loader:
        x = batch.views[0].float().mean(dim=(2, 3)) / 255
        torch.nn.functional.cross_entropy(net(x), batch.labels).backward()
        optimizer.step()
        optimizer.zero_grad()
        every = [torch.empty(len(batch), dtype=torch.int64) for _ in range(2)]
        dist.all_gather(every, torch.from_numpy(batch.samples))
        samples.append(torch.cat(every))
    if dist.get_rank() == 0:
        torch.save({"samples": samples, "weight": net.module.weight.detach()}, sys.argv[1])
dist.destroy_process_group()
"""


@pytest.mark.parametrize("how", ["init", "variables"])
def test_two_ranks_of_torchrun(tmp_path: Path, how: str) -> None:
    (tmp_path / "rank.py").write_text(RANK)
    paths = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(tmp_path / "rank.py")]
    ran = subprocess.run(
        [*command, str(tmp_path / "out.pt"), how], env=os.environ | {"PYTHONPATH": paths}, capture_output=True, timeout=400
    )
    assert ran.returncode == 0, ran.stderr.decode()[-4000:]
    got = torch.load(tmp_path / "out.pt")
    with Loader(**arguments(views="torch")) as one:
        torch.manual_seed(0)
        net = torch.nn.Linear(3, 10)
        torch.manual_seed(0)
        torch.nn.init.normal_(net.weight)
        torch.nn.init.zeros_(net.bias)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        for batch, samples in zip(one, got["samples"], strict=True):
            assert (torch.from_numpy(batch.samples) == samples).all()
            x = batch.views[0].float().mean(dim=(2, 3)) / 255
            torch.nn.functional.cross_entropy(net(x), batch.labels).backward()
            optimizer.step()
            optimizer.zero_grad()
    torch.testing.assert_close(got["weight"], net.weight.detach())


def _lightning_model(seen: list[str]) -> Any:
    lightning = pytest.importorskip("lightning")

    class Model(lightning.LightningModule):  # type: ignore[misc, name-defined, unused-ignore]
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.net = torch.nn.Linear(3, 10)

        def training_step(self, batch: Batch) -> Any:
            seen.append(batch.digest)
            return torch.nn.functional.cross_entropy(self.net(batch.views[0].mean(dim=(2, 3))), batch.labels)

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    return Model()


def _trainer(folder: Path, **changes: Any) -> Any:
    from lightning import Trainer

    options: dict[str, Any] = dict(default_root_dir=folder, accelerator="cpu", logger=False, enable_progress_bar=False, barebones=False)
    return Trainer(**options | dict(enable_model_summary=False, enable_checkpointing=False) | changes)


def test_lightning_resumes_in_mid_epoch(loader: Make, tmp_path: Path) -> None:
    """Lightning keeps the loader's state in its checkpoints by itself: no adapter is needed."""
    calm: list[str] = []
    model = _lightning_model(calm)
    _trainer(tmp_path, max_epochs=2).fit(model, loader(views="torch", normalize=True))
    plain = loader()
    assert calm == digests(plain) + digests(plain)
    seen: list[str] = []
    callback = pytest.importorskip("lightning.pytorch.callbacks").ModelCheckpoint(tmp_path, "mid", every_n_train_steps=27)
    first = _trainer(tmp_path, max_steps=27, max_epochs=2, enable_checkpointing=True, callbacks=[callback])
    first.fit(_lightning_model(seen), loader(views="torch", normalize=True))
    again = _lightning_model(seen)
    _trainer(tmp_path, max_epochs=2).fit(again, loader(views="torch", normalize=True), ckpt_path=tmp_path / "mid.ckpt")
    assert seen == calm
    assert torch.equal(again.net.weight, model.net.weight)


def test_accelerate_leaves_the_loader_as_it_is(loader: Make) -> None:
    """prepare() wraps torch's DataLoaders alone; a Loader passes through, and moves its batches itself."""
    accelerate = pytest.importorskip("accelerate")
    accelerator = accelerate.Accelerator(cpu=True)
    made = loader(views="torch", normalize=True, device=accelerator.device)
    net = torch.nn.Linear(3, 10)
    prepared, optimizer, batches = accelerator.prepare(net, torch.optim.SGD(net.parameters(), lr=0.1), made)
    assert batches is made
    for batch in batches:
        accelerator.backward(torch.nn.functional.cross_entropy(prepared(batch.views[0].mean(dim=(2, 3))), batch.labels))
        optimizer.step()
        optimizer.zero_grad()
    assert made.step == 20


def test_timm_train_one_epoch_takes_pairs(loader: Make) -> None:
    """timm's loops want (input, target), a len, and its helpers' attributes; the pairs are collate's."""
    timm = pytest.importorskip("timm")
    from timm.utils import AverageMeter, accuracy

    made = loader(views="torch", normalize=True, collate=adapters.supervised)
    model = timm.create_model("test_resnet", num_classes=10, in_chans=3)
    top1 = AverageMeter()
    for index, (images, target) in enumerate(made):
        with torch.no_grad():
            top1.update(accuracy(model(images), target)[0].item(), len(target))
        if index == 2:
            break
    assert top1.count == 3 * BATCH


def test_collates(loader: Make) -> None:
    views, targets, names = next(iter(loader(views="torch", collate=adapters.lightly)))
    indices, also, labels = next(iter(loader(views="torch", collate=adapters.solo)))
    assert (len(views), names[:2]) == (2, [str(i) for i in indices[:2]])
    assert torch.equal(targets, labels)
    assert all(torch.equal(a, b) for a, b in zip(views, also, strict=True))
