// Package objective is the mathematics of the training objectives: ReSSL, and the
// methods that its paper compares with. An objective maps embeddings to a loss; it
// knows no images, no networks and no optimiser.
//
// # Vocabulary
//
//	view     an augmented version of every sample of a batch
//	z        embedding g(F(x)), (B,D): backbone F, projector g
//	p        prediction q(z), (B,D), where the student has a predictor q; else z
//	z¹, z²   the student's and the teacher's embedding of the same samples
//	queue Q  (K,D), embeddings of earlier batches, as it was before this batch's keys
//	key      an embedding that enters the queue after the step
//	target   what the student's embedding is compared with; no gradient
//	pass     one forward and one backward of the student: of one view, or of both where
//	         the loss couples them
//	term     a summand of the loss, or a tensor that it is computed from
//
// Embeddings that reach an objective are fp32 (or float64), with rows of unit
// length, as all six papers take them.
//
// # The objectives
//
//	name      teacher  queue     predictor  views            file
//	ressl     yes      teacher's optional   weak + strong(s) ressl.go    Zheng et al., section 3
//	moco-v2   yes      teacher's no         pair             moco.go     Chen et al. 2020, arXiv 2003.04297
//	simclr    no       no        no         pair, coupled    simclr.go   Chen et al. 2020, arXiv 2002.05709
//	byol      yes      no        yes        pair, both ways  byol.go     Grill et al. 2020, arXiv 2006.07733
//	simsiam   no       no        yes        pair, coupled    simsiam.go  Chen and He 2021, arXiv 2011.10566
//	nnclr     no       student's yes        pair, coupled    nnclr.go    Dwibedi et al. 2021, arXiv 2104.14548
//
// equations.go holds the ReSSL paper's equations 1 to 5 and 7 one by one; ressl.go puts
// them together. Equation 6 moves weights, not embeddings: it is in package train's
// step.go. Which of a batch's views each network sees is recipe.Sides.
//
// # One more objective
//
// A file with a type that implements Objective, a line in registry, a row in recipe's
// table of objectives, and a fixture: train/testdata/parity/objectives.py computes loss
// and gradients with PyTorch, parity_test.go compares.
//
// # One more term, one more statistic
//
// A loss term is a line in its objective's Loss. A statistic is a field of Statistics and
// an assignment in Describe, both in statistics.go; Terms carries what it is computed
// from.
package objective
