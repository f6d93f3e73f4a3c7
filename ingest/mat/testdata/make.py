#!/usr/bin/python3
"""Writes the MAT-files of the tests, by SciPy: annotations in the shape of
Flowers-102's and Stanford Cars', a few entries each."""

import os

import numpy as np
from scipy.io import savemat

here = os.path.dirname(os.path.abspath(__file__))


def out(name, vars, **kw):
    savemat(os.path.join(here, name), vars, **kw)


for name, packed in (("plain.mat", False), ("deflated.mat", True)):
    out(
        name,
        {
            "labels": np.array([[77, 1, 102]], dtype=np.uint8),
            "weights": np.array([[1.5, -2.0], [3.25, 4.0]]),
            "big": np.array([[2**40, -5]], dtype=np.int64),
            "title": "tulips é",
            "names": np.array(["AM General Hummer SUV 2000", "Acura RL Sedan 2012"], dtype=object).reshape(1, 2),
            "annotations": np.array(
                [[(10, 200, 1, "00001.jpg"), (20, 300, 2, "00002.jpg")]],
                dtype=[("bbox_x1", object), ("bbox_x2", object), ("class", object), ("fname", object)],
            ),
            "nothing": np.zeros((0, 0)),
        },
        do_compression=packed,
    )
out("complex.mat", {"z": np.array([1 + 2j])})
