// Package online scores a run's encoder while the run trains: by k nearest neighbours every
// knn_every epochs, and by a linear classifier every linear_every.
//
// # Detached
//
// A score is taken by `resslt eval` in a process of its own, so that neither libtorch's
// threads nor its random state are shared with the training: the weights are the same with
// the scores and without. The features are those of un-augmented images by a copy of the
// encoder, computed once for both probes. The classifier is the one of the run's end (the
// recipe's linear_ keys), fitted again each time: the curve ends where `linear_top1` of
// summary.json is, and no score depends on those before it, nor on where the run was resumed.
//
// solo-learn and others train one classifier along with the encoder, on the training's own
// views: it costs no second pass over the images, and what it scores is a mixture of the
// encoders so far on augmented images. Its updates would also have to be in every checkpoint.
//
// # Neighbours
//
// kNN's process also finds the nearest images of a few queries by the features that it has: how they
// change over the epochs shows what an encoder learns. They are kept, small, in OUT/neighbours.
//
// # In turn
//
// One process runs at a time. The training does not wait for it: of the snapshots that wait
// the newest is kept, so that slow scores neither hold the training up nor fall ever further
// behind; it has the lower priority. Where the recipe's stop_on decides by a score how long the run is, the training waits
// (Score), no score is left out, and libtorch has the training's number of threads, so that
// every machine of a type decides alike.
//
//	e, err := online.Start(ctx, online.Options{Recipe: r, Out: out, From: step, …})
//	train.Options{Snapshot: e.Take, Score: e.Score}
//	e.Close()                            // waits for the last score
//	scores, err := online.Read(out)      // OUT/knn.jsonl and OUT/linear.jsonl
//	steps, err := online.NeighbourSteps(out)
package online
