// Package eval measures a frozen encoder by its features: a k-nearest-neighbour
// vote and a linear probe.
//
// # Vocabulary
//
//	source    gives un-augmented images and labels in batches; declared here,
//	          made by whoever has the data
//	set       the features of every image of a source, with labels
//	kNN       each test image takes the class that its k most similar training
//	          images vote for (Wu et al. 2018, Non-parametric Instance
//	          Discrimination, section 3.4)
//	probe     a linear classifier on the features
//	top-n     percent of test images whose class is among the n best scores
//
// # Protocols
//
// Features are taken in eval mode, batch norm by its running statistics, from
// one un-augmented view an image, and cached; the probe therefore sees no
// augmentation, unlike the papers' (random crop and flip), and takes seconds.
//
//	KNN     cosine similarity, weight exp(cos/T), T = 0.1; k = 20 as in solo-learn
//	        and k = 200 as in Lightly, both reported
//	Linear  SGD, lr 10, momentum 0.9, no decay, 100 epochs, ×0.1 at epochs 60 and
//	        80, batch 256 (the small-set protocol); the last epoch is reported,
//	        since picking the best one would choose it on the test set
//
// # Invariants
//
// Results depend on the features, the options and the seed alone: no generator
// is shared, ties go to the lower class, and the training order of each epoch is
// a permutation keyed by (seed, epoch).
//
//	train, err := eval.Features(ctx, backbone, images, eval.FeatureOptions{})
//	top1, err := eval.KNN(train, test, eval.KNNOptions{})      // top1[200], percent
//	probe, err := eval.Linear(train, test, eval.LinearOptions{Seed: seed})
package eval
