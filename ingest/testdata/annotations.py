#!/usr/bin/python3
"""Writes small annotation files by SciPy, in the shape of Stanford Cars' devkit
and of Flowers-102's labels and splits."""

import os

import numpy as np
from scipy.io import savemat

here = os.path.dirname(os.path.abspath(__file__))


def out(name, vars):
    savemat(os.path.join(here, name), vars, do_compression=True)


def annos(rows):
    kinds = [(k, object) for k in ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class", "fname")]
    return {
        "annotations": np.array([[tuple(np.uint8(v) if k != "fname" else v for (k, _), v in zip(kinds, r)) for r in rows]], dtype=kinds)
    }


out(
    "cars_meta.mat",
    {"class_names": np.array(["AM General Hummer SUV 2000", "Acura RL Sedan 2012", "FIAT 500 Abarth 2012"], dtype=object).reshape(1, 3)},
)
out("cars_train_annos.mat", annos([(39, 116, 250, 200, 3, "00001.jpg"), (36, 16, 250, 200, 1, "00002.jpg")]))
out("cars_test_annos_withlabels.mat", annos([(39, 116, 250, 200, 2, "00001.jpg")]))
out("imagelabels.mat", {"labels": np.array([[77, 77, 1, 102, 5]], dtype=np.uint8)})
out(
    "setid.mat",
    {"trnid": np.array([[4, 1]], dtype=np.uint16), "valid": np.array([[5]], dtype=np.uint16), "tstid": np.array([[2, 3]], dtype=np.uint16)},
)

# ILSVRC2012's devkit: two classes and the synset above them, numbered otherwise
# than their ids sort.
kinds = [(k, object) for k in ("ILSVRC2012_ID", "WNID", "words", "num_children")]
out(
    "meta.mat",
    {
        "synsets": np.array(
            [
                (np.uint16(1), "n02000000", "goldfish", np.uint8(0)),
                (np.uint16(2), "n01000000", "tench", np.uint8(0)),
                (np.uint16(3), "n00000001", "fish", np.uint8(2)),
            ],
            dtype=kinds,
        ).reshape(3, 1)
    },
)
