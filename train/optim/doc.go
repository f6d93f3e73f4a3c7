// Package optim has the optimisers, SGD, LARS and AdamW over whole lists of tensors (foreach),
// and the schedules of their hyper-parameters.
//
// # Vocabulary
//
//	step      index of an update, from 0
//	schedule  a hyper-parameter as a pure function of the step
//	buffer    a parameter's momentum, v; part of the checkpoint
//	trust     LARS's layer-wise factor of the gradient
//
// # Invariants
//
// Semantics are PyTorch's: weight decay is added to the gradient, and the learning rate
// multiplies the buffer, not the gradient that is added to it.
//
//	SGD   g ← g + λw;  v ← μv + g;  w ← w − lr·v          (Nesterov: w ← w − lr·(g + μv))
//	LARS  where w has two dimensions or more: g ← g + λw;  g ← g·η‖w‖/‖g‖
//	      v ← μv + g;  w ← w − lr·v
//
//	AdamW m ← β₁m + (1−β₁)g;  v ← β₂v + (1−β₂)g²;  w ← w − lr·(λw + m̂/(√v̂ + ε))
//
// Before that, gradients may be scaled so that the norm of all together is bounded (Clip).
// With AdamW the learning rate may fall from layer to layer of the backbone (LayerDecay).
//
// LARS neither decays nor adapts parameters of one dimension, which are batch norm's and
// biases; with DecayMatricesOnly SGD and AdamW do not decay them either.
//
// A schedule has no state, so resuming at a step needs only the step, and it gives the
// same bits on every architecture (no math.Cos).
//
//	opt, err := optim.New(nn.Parameters(model), optim.Options{Momentum: 0.9, WeightDecay: 5e-4})
//	lr := optim.WarmupCosine(0.06, warmup, total)
//	for step := range total {
//		loss.Backward()
//		opt.Step(lr(step))
//		opt.ZeroGrad()
//	}
package optim
