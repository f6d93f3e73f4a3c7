package train

import (
	"fmt"

	"resslt/schemas/errs"
	"resslt/train/safetensors"
	"resslt/train/torch"
)

// hostCopy is a copy of a learner's state in host memory, from which a checkpoint is written
// while the next steps are made. Its memory is as large as the checkpoint's file, pinned where
// the device is a GPU, and serves one checkpoint after the other.
//
// On a GPU the copies are in the stream of the steps, behind one step and before the next,
// and neither the host nor a step that was launched before waits for them.
type hostCopy struct {
	memory  *torch.HostBuffer    // nil before the first copy
	to      []*torch.Tensor      // kept: a part of memory for each tensor of the state
	tensors []safetensors.Tensor // the same parts, for readers outside torch.Do
	finite  *torch.Tensor        // kept: (1) uint8, the last byte of memory: is all of it finite?
	done    *torch.Event         // behind the copies
}

// partAlign is where parts of the memory begin, for any element type.
const partAlign = 64

// begin copies the state, or has the device do it. What the memory had before is lost.
func (h *hostCopy) begin(l *Learner) error {
	return torch.Do(func() error {
		if h.memory == nil {
			if err := h.allocate(l); err != nil {
				return err
			}
		}
		torch.NoGrad(func() {
			for i, n := range l.State() {
				torch.ScopeDo(func() { torch.Copy_(h.to[i], n.Tensor, true) })
			}
			torch.ScopeDo(func() { torch.Copy_(h.finite, l.finite(), true) })
		})
		h.done.Record()
		return nil
	})
}

// allocate takes memory for the learner's state, whose names and shapes stay as they are.
func (h *hostCopy) allocate(l *Learner) error {
	state := l.State()
	var at []int64
	var size int64
	for _, n := range state {
		t := safetensors.Tensor{Name: n.Name, DType: formatType(n.Tensor.DType()), Shape: n.Tensor.Shape()}
		if t.DType == "" {
			return errs.New("copy tensor", n.Name, "report this as a bug", errs.Because(errs.ErrUnsupported, fmt.Sprint(n.Tensor.DType())))
		}
		h.tensors, at = append(h.tensors, t), append(at, size)
		size += (n.Tensor.Numel()*t.DType.Size() + partAlign - 1) / partAlign * partAlign
	}
	h.memory = torch.NewHostBuffer(size+1, l.config.Device.Type == torch.DeviceCUDA)
	h.done = torch.NewEvent(l.config.Device, false)
	part := func(at, bytes int64, d torch.DType, shape []int64) *torch.Tensor {
		return torch.Scope(func() *torch.Tensor {
			return torch.Reshape(torch.ViewDtype(torch.Narrow(h.memory.Tensor, 0, at, bytes), d), shape)
		}).Keep()
	}
	for i, n := range state {
		bytes := n.Tensor.Numel() * h.tensors[i].DType.Size()
		h.to = append(h.to, part(at[i], bytes, n.Tensor.DType(), h.tensors[i].Shape))
		h.tensors[i].Data = h.memory.Bytes[at[i] : at[i]+bytes : at[i]+bytes]
	}
	h.finite = part(size, 1, torch.Uint8, []int64{1})
	return nil
}

// wait waits until the copy is whole, or for the end of another rank.
func (h *hostCopy) wait(g *torch.Group) error {
	return torch.Do(func() error { return passed(h.done, g) })
}

// isFinite reports whether all of the state is finite, once the copy is whole.
func (h *hostCopy) isFinite() bool { return h.memory.Bytes[len(h.memory.Bytes)-1] != 0 }

// free releases the memory. The device must be done with it, or lost.
func (h *hostCopy) free() {
	if h.memory == nil {
		return
	}
	for _, t := range h.to {
		t.Free()
	}
	if h.finite != nil {
		h.finite.Free()
	}
	if h.done != nil {
		quietly(h.done.Free)
	}
	h.memory.Free()
	*h = hostCopy{}
}
