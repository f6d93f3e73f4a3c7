package train

import (
	"strings"

	"resslt/schemas"
	"resslt/train/nn"
	"resslt/train/objective"
	"resslt/train/recipe"
	"resslt/train/torch"
)

// Needs estimates what a training takes, in bytes: before its first step, by the tensors that there are
// and one image's way through the network. Memory is the device's.
type Needs struct {
	Weights     int64 // networks, the optimiser's state, queue and the objective's own tensors
	Gradients   int64
	Activations int64 // that a pass of the student keeps for its backward pass
	Similarity  int64 // of embeddings to the queue, with what the loss makes of them
	Checkpoint  int64 // a checkpoint's file
	Encoder     int64 // encoder.safetensors
}

// Memory is the sum that is needed at once.
func (n Needs) Memory() int64 { return n.Weights + n.Gradients + n.Activations + n.Similarity }

// similarities is how many arrays of (samples, keys) live at once: of the teacher logits and target; of the
// student logits, their logarithms, and the gradients of both.
const similarities = 6

// Needs estimates what training on batches of the spec takes. It changes nothing that a step depends on.
func (l *Learner) Needs(spec *schemas.RunSpec) (n Needs, err error) {
	_, student, err := recipe.Sides(l.config.Objective, l.config.Crops, spec.Views)
	if err != nil {
		return n, err
	}
	rows := int64(spec.BatchSize / max(1, l.config.Accumulate) / max(1, l.config.Group.World()))
	err = torch.Do(func() error {
		for _, s := range l.State() {
			n.Checkpoint += bytesOf(s.Tensor)
		}
		n.Weights = n.Checkpoint
		for _, p := range nn.Parameters(l.student) {
			n.Gradients += bytesOf(p.Tensor)
		}
		for _, p := range nn.StateDict(l.student.Backbone) {
			n.Encoder += bytesOf(p.Tensor)
		}
		kept := map[int]int64{} // by view size, of one image
		var sizes []int64
		for _, v := range student {
			sizes = append(sizes, int64(spec.Views[v].Size))
		}
		for _, s := range l.shownOf(sizes) {
			size := int(s[1])
			if _, known := kept[size]; !known {
				kept[size] = l.keptOf(size)
			}
			if one := s[0] * rows / l.unit() * kept[size]; l.parts.Coupled {
				n.Activations += one
			} else {
				n.Activations = max(n.Activations, one)
			}
		}
		return nil
	})
	if l.parts.Queue != objective.NoQueue {
		n.Similarity = similarities * 4 * rows * int64(l.config.QueueSize)
	}
	return n, err
}

// unit is the least number of samples that the objective can be shown: one, or a pair.
func (l *Learner) unit() int64 {
	if l.parts.Pairs {
		return 2
	}
	return 1
}

// shownOf are the images that the student sees of one sample, or pair, whose views have these sizes:
// how many there are in each pass's tensor, and their size.
func (l *Learner) shownOf(sizes []int64) (out [][2]int64) {
	torch.ScopeDo(func() {
		dev := l.config.Device
		b := objective.Batch{Draws: map[string]*torch.Tensor{}}
		for _, d := range l.parts.Draws {
			t := l.config.dtype()
			if d.Below > 0 {
				t = torch.Int64
			}
			b.Draws[d.Name] = torch.Zeros([]int64{l.unit(), int64(d.Columns)}, t, dev)
		}
		var views []*torch.Tensor
		for _, s := range sizes {
			views = append(views, torch.Zeros([]int64{l.unit(), s, s, 3}, torch.Uint8, dev))
		}
		for _, x := range l.criterion.shown(b, views) {
			out = append(out, [2]int64{x.Size(0), x.Size(1)})
		}
	})
	return out
}

// bytesOf is the size of a tensor's elements.
func bytesOf(t *torch.Tensor) int64 { return t.Numel() * int64(t.DType().Size()) }

// keeps are the ops whose backward pass needs their input. In-place ops keep their result, which
// is the input of the next.
var keeps = map[string]bool{
	"aten::conv2d": true, "resslt::conv3x3": true, "aten::batch_norm": true, "resslt::sync_batch_norm": true, "aten::layer_norm": true,
	"aten::linear": true, "aten::matmul": true, "aten::mm": true, "aten::addmm": true, "aten::mul.Tensor": true, "aten::softmax.int": true,
	"aten::gelu": true, "aten::silu": true, "aten::hardswish": true, "aten::hardsigmoid": true, "aten::max_pool2d": true,
}

// keptOf is what the student keeps of one image of a size for the backward pass, bytes: the
// image goes through the network in evaluation mode, which moves no statistics and draws nothing.
func (l *Learner) keptOf(size int) (sum int64) {
	s := l.student
	s.SetTraining(false)
	defer s.SetTraining(true)
	torch.NoGrad(func() {
		torch.ScopeDo(func() {
			x := s.input(torch.FromUint8(make([]byte, 3*size*size), 1, int64(size), int64(size), 3).To(l.config.Device, torch.Uint8, false))
			if !s.recompute {
				sum = l.watched(func() { s.heads(func() *torch.Tensor { return s.Backbone.Forward(x) }) })
				return
			}
			var largest int64 // stage: only its input stays, and one is computed again at a time
			for _, stage := range s.Backbone.Stages() {
				sum += bytesOf(x)
				in := x
				largest = max(largest, l.watched(func() { s.autocast(func() { x = stage.Forward(in) }) }))
			}
			sum += largest + l.watched(func() { s.heads(func() *torch.Tensor { return x }) })
		})
	})
	return sum
}

// watched is what the ops of a forward pass would keep.
func (l *Learner) watched(forward func()) (sum int64) {
	torch.Watch(func(op string, first *torch.Tensor) {
		if first == nil || !keeps[op] {
			return
		}
		n := bytesOf(first)
		if l.config.BF16 && first.DType() == torch.Float32 && (strings.Contains(op, "conv") || strings.Contains(op, "linear") || strings.Contains(op, "mm") || strings.Contains(op, "matmul")) {
			n /= 2 // autocast keeps its copy in bfloat16
		}
		sum += n
	}, forward)
	return sum
}

// Estimate is Needs of a learner that is not there yet, which it builds and frees.
func Estimate(r *recipe.Recipe, spec *schemas.RunSpec) (Needs, error) {
	l, err := newLearner(Options{Recipe: r, Spec: spec})
	if err != nil {
		return Needs{}, err
	}
	defer l.Free()
	return l.Needs(spec)
}
