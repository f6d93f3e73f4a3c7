// Package detectron2 writes a ResNet's weights in the format from which detectron2
// initialises detectors (Table 12 of the paper).
//
// The format is a Python pickle of
//
//	{"model": {key: array, …}, "__author__": "resslt", "matching_heuristics": True}
//
// with detectron2's keys (Key). With the heuristics on, detectron2 matches keys by
// suffix, so that one file works for the R50-C4 detector, whose head has the last stage,
// and for the FPN detector.
//
// Channels keep the order of training, red green blue. detectron2's own models have blue
// first, so the configuration needs INPUT.FORMAT RGB; Pixels has its pixel statistics.
//
// Pickles are written, never read. They refer to one function, numpy.array, and one type,
// numpy.ndarray, both in NumPy's public interface, and load in Python 3.
package detectron2
