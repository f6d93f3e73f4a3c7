// Package detectron2 writes a ResNet's weights in the form that detectron2
// starts object detection from (Table 12 of the paper).
//
// The form is a Python pickle of
//
//	{"model": {key: array, …}, "__author__": "resslt", "matching_heuristics": True}
//
// where keys are detectron2's (Key). With the heuristics on, detectron2 matches
// keys by their ends, so that one file serves the R50-C4 detector, whose last
// stage is its head's, and the FPN one.
//
// Channels stay in the order that the network was trained with, red green blue:
// detectron2's own models want blue first, so the configuration must say
// INPUT.FORMAT RGB, and Mean and Std give its pixel statistics in 0–255.
//
// The pickle is written, never read. It names one function, numpy.array, and one
// type, numpy.ndarray, both of NumPy's public interface, and loads in Python 3.
package detectron2
