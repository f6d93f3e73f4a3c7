package train

import (
	"encoding/binary"
	"fmt"

	"resslt/schemas/errs"
	"resslt/train/nn"
	"resslt/train/torch"
)

// queue is the memory buffer Q of section 3.2: the last K teacher embeddings,
// first in, first out. It lives in the root scope until Free.
type queue struct {
	keys    *torch.Tensor // (K,D) float, rows of unit length
	pointer *torch.Tensor // () int64: the row that the next key takes; on the CPU
	at      int64         // pointer's value, so that a step need not read it back
}

// newQueue starts with random unit vectors, drawn by seed. k and d must be
// positive.
func newQueue(k, d int, seed uint64, device torch.Device, dtype torch.DType) (*queue, error) {
	if k < 1 || d < 1 {
		return nil, errs.New("make queue", fmt.Sprintf("%d×%d", k, d), "give positive sizes", errs.ErrUsage)
	}
	q := &queue{}
	err := torch.Do(func() error {
		q.keys = torch.Scope(func() *torch.Tensor {
			data := nn.Random(seed, "queue").UnitVectors(k, d)
			return torch.FromFloat32(data, int64(k), int64(d)).To(device, dtype, false)
		}).Keep()
		q.pointer = torch.FromInt64([]int64{0}).Keep()
		return nil
	})
	if err != nil {
		return nil, err
	}
	return q, nil
}

// enqueue replaces the oldest rows by keys (B,D), one tensor after the other, wrapping at the
// end: K need not be a multiple of B. Of more than K keys the last K stay. Where an objective
// has no queue there are no keys, and nothing happens.
func (q *queue) enqueue(views []*torch.Tensor) {
	if len(views) == 0 {
		return
	}
	torch.NoGrad(func() {
		torch.ScopeDo(func() {
			keys := cat(views)
			k, b := q.keys.Size(0), keys.Size(0)
			if b > k {
				q.at = (q.at + b - k) % k
				keys, b = torch.Narrow(keys, 0, b-k, k), k
			}
			first := min(b, k-q.at)
			torch.Copy_(torch.Narrow(q.keys, 0, q.at, first), torch.Narrow(keys, 0, 0, first), false)
			if rest := b - first; rest > 0 {
				torch.Copy_(torch.Narrow(q.keys, 0, 0, rest), torch.Narrow(keys, 0, first, rest), false)
			}
			q.moveTo((q.at + b) % k)
		})
	})
}

// moveTo sets the pointer, in Go and in the state.
func (q *queue) moveTo(at int64) {
	q.at = at
	q.pointer.CopyFrom(binary.NativeEndian.AppendUint64(nil, uint64(at)))
}

// state is the queue and its pointer, for the checkpoint.
func (q *queue) state() []nn.Named {
	return []nn.Named{{Name: "keys", Tensor: q.keys}, {Name: "pointer", Tensor: q.pointer}}
}

// restored takes the pointer that was loaded into the state.
func (q *queue) restored() error {
	at := q.pointer.Int64s()[0]
	if at < 0 || at >= q.keys.Size(0) {
		return errs.New("load queue", "pointer", "use an undamaged checkpoint",
			errs.Because(errs.ErrCorrupt, fmt.Sprintf("is %d, the queue has %d rows", at, q.keys.Size(0))))
	}
	q.at = at
	return nil
}

// free releases the queue.
func (q *queue) free() {
	q.keys.Free()
	q.pointer.Free()
}
