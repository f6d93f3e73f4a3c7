// Package knnprobe scores a run's encoder by k nearest neighbours while the run trains.
//
// The score is taken by `resslt eval knn` in a process of its own, so that neither libtorch's
// threads nor its random state are shared with the training: the weights are the same with
// the probe and without. One process runs at a time. Of the snapshots that wait the newest is
// kept, so that a slow probe neither holds the training up nor falls ever further behind.
//
// The same process finds the nearest images of a few queries by the features that it has: how they
// change over the epochs shows what an encoder learns. They are kept, small, in OUT/neighbours.
//
//	probe, err := knnprobe.Start(ctx, knnprobe.Options{Recipe: r, Out: out, From: step, …})
//	train.Options{Snapshot: probe.Take}
//	probe.Close()                       // waits for the last score
//	lines, err := knnprobe.Read(out)    // OUT/knn.jsonl
//	steps, err := knnprobe.NeighbourSteps(out)
package knnprobe
