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
//	crop     a view, in multi-crop: global ones, which the teacher sees too, and local ones
//	state    tensors of the objective's own: prototypes, a centre, queues (Parts.State)
//	sample   an image of the data set, by its number; N of them
//	bank     state with a row for every sample (bank.go), which Batch.Samples are the keys of
//	refresh  making a part of the state again now and then, from the rest: clusters of a bank
//	pair     a sample and its mate, another image that is like it: rows 2i and 2i+1 (Parts.Pairs)
//	draw     random numbers of a step, a row for each sample (Parts.Draws)
//	label    a sample's class; objectives with Parts.Labels have those of some samples
//	key encoder  the student's momentum average, next to a frozen teacher (Parts.KeyViews)
//	ramp     α, which goes from 0 to 1 over the epochs of a recipe key (Method.Ramp)
//
// Embeddings that reach an objective are fp32 (or float64), with rows of unit
// length unless Parts.Raw, which is about the student's.
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
//	moco-v2-symmetric  yes  teacher's  no   pair, both ways  moco.go     its authors' notebook for CIFAR-10
//	infomin            yes      teacher's  second head  key + query + jigsaw, coupled  infomin.go  Tian et al. 2020, arXiv 2005.10243
//	barlow-twins       no       no     no   pair, coupled    barlow.go   Zbontar et al. 2021, arXiv 2103.03230
//	vicreg             no       no     no   pair, coupled    vicreg.go   Bardes et al. 2022, arXiv 2105.04906
//	moco-v3            yes      no     yes  pair, both ways  mocov3.go   Chen et al. 2021, arXiv 2104.02057
//	dino               yes      no     no   pair, both ways  dino.go     Caron et al. 2021, arXiv 2104.14294
//	swav               no       own    no   pair, coupled    swav.go     Caron et al. 2020, arXiv 2006.09882
//	w-mse              no       no     no   two or more, coupled  wmse.go  Ermolov et al. 2021, arXiv 2007.06346
//	clsa               yes      teacher's  no   weak + query + strong, coupled  clsa.go  Wang and Qi 2021, arXiv 2104.07713
//	isd                yes      teacher's  yes  pair        isd.go      Tejankar et al. 2021, arXiv 2012.09259
//	seed               frozen   teacher's  no  one, both see it  seed.go Fang et al. 2021, arXiv 2101.04731
//	compress           frozen   own    no   one, both see it  compress.go  Koohpayegani et al. 2020, arXiv 2010.14713
//	compress-1q        frozen   teacher's  no  one, both see it  compress.go  the same, with one list of anchor points
//	disco              frozen   student's average's  no  pair, coupled  disco.go  Gao et al. 2021, arXiv 2104.09124
//	bingo              frozen   own    no   pair, of samples in pairs, coupled  bingo.go  Xu et al. 2021, arXiv 2107.01691
//	simdis             frozen   no        five  pair, coupled   simdis.go  Gu et al. 2021, arXiv 2106.11304
//	fixmatch           no       no     no   weak + strong, coupled, some labels  fixmatch.go  Sohn et al. 2020, arXiv 2001.07685
//	uda                no       no     no   weak + strong, coupled, some labels  uda.go  Xie et al. 2020, arXiv 1904.12848
//	s4l                no       no     no   one, some labels  s4l.go  Zhai et al. 2019, arXiv 1905.03670
//	unigrad            yes      no     no   pair, both ways  unigrad.go  Tao et al. 2021, arXiv 2112.05141
//	truncated-triplet  yes      no     yes  pair, both ways  triplet.go  Wang et al. 2021, arXiv 2104.08913
//	mochi              yes      teacher's  no  pair         mochi.go    Kalantidis et al. 2020, arXiv 2010.01028
//	adco               yes      own    no   pair            adco.go     Hu et al. 2020, arXiv 2011.08435
//	wcl                no       no     second head  pair, coupled  wcl.go  Zheng et al. 2021, arXiv 2110.04770
//	fnc                no       no     no   two or more, coupled  fnc.go Huynh et al. 2020, arXiv 2011.11765
//
//	npid               no       bank      no   one          npid.go     Wu et al. 2018, arXiv 1805.01978
//	pcl-v2             yes      teacher's, bank  no  pair   pcl.go      Li et al. 2020, arXiv 2005.04966
//	localagg           no       bank      no   one          localagg.go Zhuang et al. 2019, arXiv 1903.12355
//	pirl               no       bank      second head  image + jigsaw, coupled  pirl.go  Misra and van der Maaten 2020, arXiv 1912.01991
//	rotation           no       no        no   one, turned  rotation.go Gidaris et al. 2018, arXiv 1803.07728
//	relative-loc       no       no        no   one, in patches  relativeloc.go  Doersch et al. 2015, arXiv 1505.05192
//	cpc-v2             no       no        no   one, in patches  cpc.go      Hénaff et al. 2020, arXiv 1905.09272
//
// Local crops besides: ressl, by any number of strong views; moco-v2 and its symmetric form,
// byol, moco-v3, dino, swav, unigrad, truncated-triplet and adco (multicrop.go).
//
// equations.go holds the ReSSL paper's equations 1 to 5 and 7 one by one; ressl.go puts
// them together. Equation 6 moves weights, not embeddings: it is in package train's
// step.go. Which of a batch's views each network sees is Method.Views, which recipe.Sides
// applies.
//
// # State
//
// An objective's methods are pure functions. What it keeps from step to step it declares in
// Parts.State, and the learner owns:
//
//	Targets, Loss   read Batch.State; what Update will want they leave in Rows
//	backward        gives parameters their gradients, the mean over the batch and the ranks
//	optimiser       moves them, the network's once hold_epochs are over, or their own (Parts.Group)
//	equation 6      moves the average of what is Averaged
//	Update          changes buffers by the Rows of the whole batch
//	Refresh         before some steps: makes buffers again from others (Refresher)
//
// So state is in checkpoints, equal on all ranks, and written in place, outside of what a
// CUDA graph replays. A number that changes from step to step is α, what a Ramper makes
// of it, or a draw, and nothing else: a replay takes it from a tensor.
//
// An objective that is Parts.Keyed is told the batch's samples. What it keeps of each is a buffer
// with a row for every one of them; Update is given the samples of the whole batch, of all ranks
// and micro-batches, because Targets or Loss has put Batch.Samples into Rows. What it does between
// epochs is its Refresh: a function of its state and of permutations by seed and step alone, without
// another pass over the data. So every rank does it alike, and a resumed run as the first did.
//
// A pretext task is a Viewer: Show makes what the student sees of its views, on the device and by
// Draws, with several rows for a sample where it likes (shown.go).
//
// # One more objective
//
// A file with a Method and a type that implements Objective, its Method's name in methods,
// and a fixture: train/testdata/parity/objectives.py computes loss and gradients with
// PyTorch, methods_test.go compares. docs/extend.md has the whole list.
//
// # One more term, one more statistic
//
// A loss term is a line in its objective's Loss. A statistic is a field of Statistics and
// an assignment in Describe, both in statistics.go; Terms carries what it is computed
// from.
package objective
