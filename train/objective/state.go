package objective

import "resslt/train/torch"

// Tensor declares a tensor that an objective has of its own. The learner makes it, puts it
// into checkpoints as objective.NAME, and hands it to every pass in Batch.State.
type Tensor struct {
	Name  string
	Shape []int64
	Start Start
	// Parameter: gradients reach it, and an optimiser of its own moves it (Group). Otherwise it
	// is a buffer, which Updater changes.
	Parameter bool
	// Whole: its elements are int64, of a buffer that begins as zeros.
	Whole bool
	// Averaged: the teacher's side has a momentum average of it (equation 6), AverageOf(NAME).
	Averaged bool
}

// AverageOf is the name of the momentum average of a tensor that is Averaged.
func AverageOf(name string) string { return name + "_teacher" }

// Start is what a tensor begins as.
type Start int

// What a tensor may begin as.
const (
	Zeros    Start = iota
	UnitRows       // random rows of unit length, by the seed and the tensor's name
)

// Group says how an objective's parameters move: by an optimiser of the network's kind, at
// the network's learning rate, once the recipe's hold_epochs are over.
type Group struct {
	Climb bool // up the loss in place of down
	Free  bool // from the first step on: hold_epochs does not count
	// Own, if set, moves them in place of the network's optimiser, from where α is 1 on;
	// hold_epochs does not count.
	Own *SGD
}

// SGD is an optimiser with the network's momentum and a learning rate that stays.
type SGD struct{ LR, WeightDecay float64 }

// State are an objective's tensors by name.
type State map[string]*torch.Tensor

// push puts rows (B,D) before those of a queue (K,D), newest first, whose last ones drop out.
func push(queue, rows *torch.Tensor) {
	torch.Copy_(queue, torch.Narrow(torch.Cat([]*torch.Tensor{rows, queue}, 0), 0, 0, queue.Size(0)), false)
}

// Draw declares random numbers that an objective wants in every step, (B,Columns), a row for
// each of the batch's samples. The learner draws them by seed, step and row, so that they do
// not depend on ranks and micro-batches, and hands them to every pass in Batch.Draws.
type Draw struct {
	Name    string
	Columns int // 0: nothing is drawn
	// Below n > 0 asks for int64 from 0 to n−1; 0 for numbers of the embeddings' type, from 0 to
	// below 1.
	Below int
	// Ramp: it is wanted while the ramp's α is below 1 alone. It is the last one declared, or the
	// numbers of those behind it would change there.
	Ramp bool
}
