"""What other people's training loops want of a batch: values for Loader's collate=."""

from __future__ import annotations

from typing import Any

from .batch import Batch


def supervised(batch: Batch) -> tuple[Any, Any]:
    """(images, labels), of the first view: torchvision's references, timm, Lightning examples."""
    return batch.views[0], batch.labels


def lightly(batch: Batch) -> tuple[list[Any], Any, list[str]]:
    """(views, labels, names), as lightly's datasets give; the names are the samples' numbers."""
    return batch.views, batch.labels, [str(i) for i in batch.samples]


def solo(batch: Batch) -> tuple[Any, list[Any], Any]:
    """(indices, views, labels), as solo-learn's pretraining steps take."""
    return batch.samples, batch.views, batch.labels
