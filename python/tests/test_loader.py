"""The loader against the real server: what comes, when, and where it goes on."""

from __future__ import annotations

import gc
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import BATCH, ROOT, Serve, digests
from resslt import BusyError, DeniedError, Loader, MismatchError, NoServerError, UsageError, client

Make = Callable[..., Loader]


@pytest.fixture(scope="module")
def calm() -> list[list[str]]:
    """The digests of the small run's two epochs, undisturbed."""
    from conftest import arguments

    with Loader(**arguments()) as loader:
        return [digests(loader), digests(loader)]


def test_what_a_batch_is(loader: Make) -> None:
    made = loader()
    assert (len(made), made.epochs, made.batch_size, made.num_classes, made.info.samples) == (20, 2, BATCH, 10, 10000)
    batches = iter(made)
    first, second = next(batches), next(batches)
    assert (first.step, first.epoch, second.step, len(first)) == (0, 0, 1, BATCH)
    assert first.names == ("weak", "strong")
    assert first.view("strong") is first.views[1]
    assert [(v.shape, v.dtype) for v in first.views] == [((BATCH, 28, 28, 3), np.uint8)] * 2
    assert first.labels.dtype == np.int64
    assert set(first.labels) == set(range(10))
    assert first.slots.tolist() == list(range(BATCH))
    assert not set(first.samples) & set(second.samples)
    assert [len(p) for p in first.plans] == [BATCH, BATCH]
    assert first.replaced == ()
    assert first.views[0].std() > 20  # pictures, and not an empty slot


def test_an_epoch_has_every_sample_once(loader: Make) -> None:
    made = loader()
    seen = np.sort(np.concatenate([b.samples for b in made]))
    assert (seen == np.arange(10000)).all()
    assert made.epoch == 1


@pytest.mark.parametrize("change", [{"shared_memory": False}, {"workers": 1}, {"credits": 1}, {"credits": 8}])
def test_the_same_batches_however_they_come(loader: Make, calm: list[list[str]], change: dict[str, Any]) -> None:
    made = loader(**change)
    assert [digests(made), digests(made)] == calm


def test_other_seeds_give_others(loader: Make, calm: list[list[str]]) -> None:
    assert not set(digests(loader(seed=4))) & set(calm[0])


def test_the_run_ends(loader: Make) -> None:
    made = loader(epochs=1)
    assert len(list(made)) == 20
    with pytest.raises(UsageError, match="the run is over"):
        iter(made)


def test_without_end(loader: Make, calm: list[list[str]]) -> None:
    made = loader(epochs=None)
    assert made.epochs is None
    assert [len(list(made)) for _ in range(3)] == [20, 20, 20]


def test_views_are_the_ring(loader: Make) -> None:
    made = loader()
    batch = next(iter(made))
    connection = made._session._connection
    assert connection is not None
    assert connection.ring is not None
    assert all(np.shares_memory(v, connection.ring.memory) for v in batch.views)
    assert all(v.ctypes.data % 64 == 0 for v in batch.views)


def test_keeping_every_batch_does_not_block(loader: Make, calm: list[list[str]]) -> None:
    made = loader()
    kept = list(made)
    pixels = [[v.copy() for v in b.views] for b in kept]
    assert digests(made) == calm[1]  # all slots were used again meanwhile
    assert digests(kept) == calm[0]
    assert all((v == p).all() for b, ps in zip(kept, pixels, strict=True) for v, p in zip(b.views, ps, strict=True))


def test_batches_outlive_the_loader(loader: Make) -> None:
    made = loader()
    batch = next(iter(made))
    copies = [v.copy() for v in batch.views]
    made.close()
    gc.collect()
    assert all((v == c).all() for v, c in zip(batch.views, copies, strict=True))
    with pytest.raises(UsageError, match="closed"):
        iter(made)


def test_a_loop_left_early_goes_on_with_the_next_epoch(loader: Make, calm: list[list[str]]) -> None:
    made = loader()
    for batch in made:
        if batch.step == 3:
            break
    assert digests(made) == calm[1]


def test_set_epoch(loader: Make, calm: list[list[str]]) -> None:
    made = loader()
    made.set_epoch(1)
    assert digests(made) == calm[1]
    made.set_epoch(0)
    assert digests(made) == calm[0]
    made.set_epoch(1)  # where it is anyway
    assert digests(made) == calm[1]


@pytest.mark.parametrize("taken", [0, 7, 19, 20])
def test_state_in_mid_epoch(loader: Make, calm: list[list[str]], taken: int) -> None:
    made = loader()
    batches = [b for epoch in range(2) for b in _some(made, taken - 20 * epoch)]
    state = pickle.loads(pickle.dumps(made.state_dict()))
    assert digests(batches) == (calm[0] + calm[1])[:taken]
    other = loader(workers=1)
    other.load_state_dict(state)
    other.set_epoch(taken // 20)  # as loops with a sampler do; it is no reason to begin anew
    rest = digests(other) if taken % 20 or taken < 20 else []
    want = (calm[0] + calm[1])[taken : (taken // 20 + 1) * 20]
    assert (rest or digests(other)) == want


def _some(loader: Loader, n: int) -> list[Any]:
    """The next n batches, at most those of an epoch."""
    if n <= 0:
        return []
    got = []
    for batch in loader:
        got.append(batch)
        if len(got) == n:
            break
    return got


def test_state_of_another_run(loader: Make) -> None:
    state = loader().state_dict()
    fresh = loader(seed=4)
    fresh.load_state_dict(state)
    with pytest.raises(MismatchError, match="hint"):
        iter(fresh)
    known = loader(seed=4)
    assert len(known) == 20
    with pytest.raises(MismatchError, match="saved"):
        known.load_state_dict(state)
    with pytest.raises(UsageError, match="no state"):
        known.load_state_dict({"step": 3})


def test_pickled_loader_goes_on_by_itself(loader: Make, calm: list[list[str]]) -> None:
    made = loader()
    for batch in made:
        if batch.step == 4:
            break
    with pickle.loads(pickle.dumps(made)) as copy:
        assert digests(copy) == calm[0][5:]


def test_an_older_iterator_is_over(loader: Make) -> None:
    made = loader()
    old = iter(made)
    next(old)
    iter(made)
    with pytest.raises(UsageError, match="newest iterator"):
        next(old)


def test_no_samples_to_index(loader: Make) -> None:
    with pytest.raises(UsageError, match="in place of torch's DataLoader"):
        loader()[0]


def test_normalised(loader: Make) -> None:
    plain, floats = next(iter(loader())), next(iter(loader(normalize=True)))
    info = loader().info
    want = (plain.views[0] / 255 - np.array(info.mean)) / np.array(info.std)
    assert floats.views[0].dtype == np.float32
    np.testing.assert_allclose(floats.views[0], want, atol=2e-6)


def test_labels(loader: Make) -> None:
    assert next(iter(loader(labels=False))).labels is None
    assert next(iter(loader(labels=True))).labels is not None
    assert next(iter(loader(collate=lambda b: (b.views[0], b.labels))))[1].shape == (BATCH,)


def test_ranks_share_each_batch(loader: Make, serve: Callable[..., Serve]) -> None:
    address = serve().address
    with Loader(connect=address, views="numpy", client="whole") as whole:
        want = list(whole)
    parts = [Loader(connect=address, views="numpy", client="parts", rank=r, world=2) for r in range(2)]
    for w, *rows in zip(want, *parts, strict=True):
        assert [len(p) for p in rows] == [BATCH // 2, BATCH // 2]
        assert {p.step for p in rows} == {w.step}
        for name in ("samples", "labels", "slots"):
            assert (np.concatenate([getattr(p, name) for p in rows]) == getattr(w, name)).all()
        assert all((np.concatenate([p.views[i] for p in rows]) == w.views[i]).all() for i in range(2))
    for p in parts:
        p.close()


def test_clients_of_one_server(calm: list[list[str]], serve: Callable[..., Serve], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_BUSY_RETRY", 0.2)
    address = serve().address
    loaders = [Loader(connect=address, views="numpy", client=f"c{i}", digests=True) for i in range(3)]
    steps = list(zip(*loaders, strict=True))
    assert [[b.digest for b in step] for step in steps] == [[d] * 3 for d in calm[0]]
    with pytest.raises(BusyError):
        len(Loader(connect=address, views="numpy", client="c1"))
    with pytest.raises(MismatchError, match="batch_size"):
        iter(Loader(connect=address, views="numpy", client="c4", batch_size=7))
    for one in loaders:
        one.close()


def test_tcp_with_a_token(calm: list[list[str]], serve: Callable[..., Serve], tmp_path: Path) -> None:
    (tmp_path / "token").write_text("open sesame")
    (tmp_path / "token").chmod(0o600)
    address = serve("--listen=tcp:127.0.0.1:0", f"--listen-token-file={tmp_path / 'token'}").address
    with pytest.raises(DeniedError):
        len(Loader(connect=address, token="wrong", views="numpy"))
    with pytest.raises(DeniedError):
        len(Loader(connect=address, views="numpy"))
    with Loader(connect=address, token="open sesame", views="numpy", digests=True) as loader:
        assert digests(loader) == calm[0]


def test_nobody_listens(tmp_path: Path) -> None:
    with pytest.raises(NoServerError, match="nothing listens there"):
        len(Loader(connect=f"unix:{tmp_path}/none"))
    with pytest.raises(NoServerError, match="leave connect= out"):
        len(Loader(connect="tcp:127.0.0.1:1"))


def test_another_protocol(serve: Callable[..., Serve], monkeypatch: pytest.MonkeyPatch) -> None:
    from resslt import Error, frames

    address = serve().address
    monkeypatch.setattr(frames, "PROTOCOL", 99)
    with pytest.raises(Error, match="99"):
        len(Loader(connect=address, views="numpy"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"data": "folder:/no/such/folder", "split": None}, "/no/such/folder"),
        ({"policy": "no-such-policy"}, "no-such-policy"),
        ({"batch_size": 20000}, "20000"),
        ({"serve_args": ("--no-such-flag",)}, "no-such-flag"),
    ],
)
def test_errors_of_the_start(loader: Make, change: dict[str, Any], said: str) -> None:
    from resslt import Error

    made = loader(**change)
    with pytest.raises(Error, match=said):
        len(made)


def test_replaced_samples(loader: Make, tmp_path: Path) -> None:
    pictures = sorted((ROOT / "augment/turbo/testdata/jpeg").glob("rst*_4*.jpg"))[:7]
    for i, p in enumerate(pictures):
        shutil.copy(p, tmp_path / f"{i}.jpg")
    (tmp_path / "7.jpg").write_bytes(pictures[0].read_bytes()[:200])
    made = loader(data=f"folder:{tmp_path}", split=None, batch_size=8, epochs=1)
    (batch,) = list(made)
    (replaced,) = batch.replaced
    assert batch.samples[replaced.row] == replaced.sample != replaced.planned
    assert replaced.reason
    assert made.num_classes == 0
    assert set(batch.labels) == {-1}
    with pytest.raises(UsageError, match="no labels"):
        iter(loader(data=f"folder:{tmp_path}", split=None, batch_size=8, epochs=1, labels=True))
