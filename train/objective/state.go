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
	Rate    float64 // times the network's learning rate, below 0 to climb the loss; 0 means 1
	NoDecay bool    // no weight decay
}

// State are an objective's tensors by name.
type State map[string]*torch.Tensor
