// Package eval scores an encoder on labelled images by the paper's protocols, and
// visualises its features.
//
// # Vocabulary
//
//	source     gives un-augmented images and labels in batches; an interface that the
//	           owner of the data implements
//	views      gives augmented training images, other ones in every epoch; likewise
//	set        the features of every image of a source, (N,D), with labels
//	target     +1, 0 or −1 of an image for a class, if it may show several: 0 is
//	           PASCAL VOC's "difficult"
//	probe      a linear classifier on the features
//	top-n      percent of test images whose class is among the n best scores
//	per class  mean over classes of the accuracy within each
//	mAP        mean over classes of the average precision, 11-point or all-point
//	report     eval.json: the results of a folder's encoders (see Report)
//
// # Protocols
//
// Each protocol is a file with a function of its name; transfer and low-shot have their
// solvers, and t-SNE its tree, in a second file.
//
//	KNN        cosine similarity, weight exp(cos/T), T = 0.1; k = 20 as in solo-learn
//	           and k = 200 as in Lightly, both reported    knn.go
//	Linear     SGD without weight decay, scored after the last epoch (the best epoch
//	           would be chosen on the test set). Small sets (section 4): lr 10, 100
//	           epochs, ×0.1 at 60 and 80. ImageNet (section 5.1): lr 0.1·B/256,
//	           Nesterov, 90 epochs, cosine. On cached features of un-augmented
//	           images or, by LinearOnViews, on crops and flips, as in the
//	           papers                                      linear.go
//	FineTune   the whole network and a classifier, each with its own learning rate
//	           (Tables 10 and 14)                          finetune.go
//	Transfer   L2-regularised logistic regression by L-BFGS, λ chosen on a
//	           validation set among 45 (Table 9)           transfer.go, logistic.go
//	LowShot    for each class a linear SVM against the rest, on k images of each
//	           class (Table 11)                            lowshot.go, svm.go
//	Neighbours the nearest images of a query (Figure 2)    neighbours.go
//	TSNE       the images in the plane (Figure 3)          tsne.go, quadtree.go
//
// What the paper leaves open: λ multiplies ‖W‖²/2, which is added to the sum of the
// images' losses (λ = 1/C of scikit-learn); semi-supervised batches have 256 images and
// the momentum is 0.9; the low-shot protocol follows PCL's code, which the paper names:
// C = 0.5, unit-length features, weight 2 for positive images, all-point precision,
// difficult objects as absent.
//
// # Invariants
//
// Results depend only on the features, the options and the seed: no generator is shared,
// ties go to the lower class, and the training order of each epoch is a permutation
// keyed by (seed, epoch). Draws and splits of images are keyed, too. Features are
// computed in eval mode, with batch norm's running statistics.
//
//	train, err := eval.Features(ctx, backbone, images, eval.FeatureOptions{})
//	top1, err := eval.KNN(train, test, eval.KNNOptions{})      // top1[200], percent
//	probe, err := eval.Linear(ctx, train, test, eval.LinearOptions{Seed: seed})
//	fit, val, err := eval.HoldOut(train, 0.2, seed)
//	best, err := eval.Transfer(ctx, fit, val, test, eval.TransferOptions{})
//	err = eval.Append(dir, eval.Result{Protocol: "transfer", …})
//
// Tests compare KNN, Linear, Transfer, LowShot, TSNE and Trustworthiness with
// scikit-learn and PyTorch on the same features (peers_test.go, testdata/peers.py).
package eval
