package torch

import (
	"errors"
	"fmt"
	"time"

	"resslt/schemas/errs"
)

var (
	fnDistBackends = op{name: "resslt::dist_backends"}
	fnDistJoin     = op{name: "resslt::dist_join", args: "host,port,rank,world,serves,prefix,timeout_ms,device"}
	fnDistGather   = op{name: "resslt::dist_gather", args: "group,self"}
	fnDistSum      = op{name: "resslt::dist_sum", args: "group,self"}
	fnDistMean     = op{name: "resslt::dist_mean", args: "group,tensors,bucket_bytes"}
	fnDistExchange = op{name: "resslt::dist_exchange", args: "group,self"}
	fnDistLeave    = op{name: "resslt::dist_leave", args: "group"}
	fnDistGone     = op{name: "resslt::dist_gone", args: "group"}
	fnDistAbort    = op{name: "resslt::dist_abort", args: "group"}
	fnDistFree     = op{name: "resslt::dist_free", args: "group"}
	fnSyncNorm     = op{name: "resslt::sync_batch_norm", args: "group,input,weight,bias,running_mean,running_var,momentum,eps"}
)

// Defaults of GroupOptions.
const (
	// DefaultGroupTimeout is longer than anything that one rank does alone, such as a
	// checkpoint or a probe.
	DefaultGroupTimeout = 10 * time.Minute
	bucketBytes         = 25 << 20 // of gradients that are summed at once
)

// GroupOptions says where the processes of a group meet.
type GroupOptions struct {
	Rank, World int
	Host        string // of the TCP store
	Port        int
	// Serve makes this process serve the store. One process of the group does, or none
	// if whoever started the group serves it.
	Serve  bool
	Prefix string // of the group's keys in the store
	Device Device // of the collectives' tensors, in addition to the CPU
	// Timeout is how long a rank may be silent; default DefaultGroupTimeout.
	Timeout time.Duration
}

// Group is this process's membership in a process group. Its methods are collectives:
// every rank calls them in the same order, with tensors of the same shape and type.
// They run inside Do and fail with errs.ErrUnavailable if another rank is gone, or
// silent for longer than the timeout; the group is unusable then.
//
// A nil *Group is a single process: rank 0 of 1.
type Group struct {
	h           uint64
	rank, world int
}

// JoinGroup waits until every rank has joined. Errors wrap errs.ErrUnavailable if one
// does not, or ErrUnsupported if the shim lacks the device's backend: gloo for the CPU,
// NCCL for GPUs.
func JoinGroup(o GroupOptions) (*Group, error) {
	if o.Timeout == 0 {
		o.Timeout = DefaultGroupTimeout
	}
	where := fmt.Sprintf("%s:%d as rank %d of %d", o.Host, o.Port, o.Rank, o.World)
	if o.World < 1 || o.Rank < 0 || o.Rank >= o.World || o.Port < 1 || o.Port > 65535 || o.Timeout < time.Millisecond {
		return nil, errs.New("join group", where, "give 0 ≤ rank < world, a port and a timeout", errs.ErrUsage)
	}
	g := &Group{rank: o.Rank, world: o.World}
	err := Do(func() error {
		var b [32]uint64
		w := putString(b[:0], o.Host)
		w = putInt(putInt(putInt(w, int64(o.Port)), int64(o.Rank)), int64(o.World))
		w = putString(putBool(w, o.Serve), o.Prefix)
		g.h = fnDistJoin.word(putDevice(putInt(w, o.Timeout.Milliseconds()), o.Device))
		return nil
	})
	if err == nil {
		return g, nil
	}
	var e *errs.Error
	if !errors.As(err, &e) || !errors.Is(err, errs.ErrUnavailable) {
		return nil, err
	}
	return nil, errs.New("join group", where, "start all ranks with the same MASTER_ADDR and MASTER_PORT, reachable from each", e.Err)
}

// Backends lists the backends of the shim: "gloo", "nccl".
func Backends() (names []string, err error) {
	err = Do(func() error {
		have := fnDistBackends.word(nil)
		for i, name := range []string{"gloo", "nccl"} {
			if have&(1<<i) != 0 {
				names = append(names, name)
			}
		}
		return nil
	})
	return names, err
}

// Rank is this process's number, from 0.
func (g *Group) Rank() int {
	if g == nil {
		return 0
	}
	return g.rank
}

// World is the number of ranks.
func (g *Group) World() int {
	if g == nil {
		return 1
	}
	return g.world
}

// Rows is the half-open range of a batch's n rows that are this rank's.
func (g *Group) Rows(n int) (from, to int) {
	return g.Rank() * n / g.World(), (g.Rank() + 1) * n / g.World()
}

// Gather concatenates every rank's t (n,…) along rows, in rank order: (World·n,…). It
// carries no gradient. In a single process it returns t.
func (g *Group) Gather(t *Tensor) *Tensor {
	if g == nil {
		return t
	}
	var b [4]uint64
	return fnDistGather.one(putTensor(putInt(b[:0], int64(g.h)), t))
}

// Sum sums the contiguous t over the ranks, in place, with the same bits on every rank.
func (g *Group) Sum(t *Tensor) {
	if g == nil {
		return
	}
	var b [4]uint64
	fnDistSum.none(putTensor(putInt(b[:0], int64(g.h)), t))
}

// Mean replaces each tensor by its mean over the ranks, in place, with the same bits on
// every rank. The tensors are sent in flat buckets, in the order given.
func (g *Group) Mean(tensors []*Tensor) {
	if g == nil || len(tensors) == 0 {
		return
	}
	w := make([]uint64, 0, len(tensors)+8)
	fnDistMean.none(putInt(putTensors(putInt(w, int64(g.h)), tensors), bucketBytes))
}

// Exchange returns every rank's bytes, all of one length, in rank order. It waits for
// no GPU.
func (g *Group) Exchange(mine []byte) (all [][]byte) {
	if g == nil {
		return [][]byte{mine}
	}
	ScopeDo(func() {
		var b [4]uint64
		t := FromUint8(mine, int64(len(mine)))
		raw := fnDistExchange.one(putTensor(putInt(b[:0], int64(g.h)), t)).Bytes()
		for r := range g.world {
			all = append(all, raw[r*len(mine):(r+1)*len(mine)])
		}
	})
	return all
}

// Gone reports whether another rank has left the group or ended, judging by connections
// that serve this purpose alone. It is not a collective, and always false if the shim
// lacks gloo.
func (g *Group) Gone() bool {
	if g == nil || g.h == 0 {
		return false
	}
	var b [2]uint64
	return fnDistGone.word(putInt(b[:0], int64(g.h))) != 0
}

// Abort aborts the collectives in flight on the GPU, which would wait for a rank that is
// gone. Only Free may follow.
func (g *Group) Abort() {
	if g == nil || g.h == 0 || deviceLost.Load() {
		return
	}
	_ = Do(func() error { // the group has failed already: no further error matters
		var b [2]uint64
		fnDistAbort.none(putInt(b[:0], int64(g.h)))
		return nil
	})
}

// Leave waits briefly until every rank has called it, and frees the group. It ends
// work that succeeded; after a failure call Free.
func (g *Group) Leave() error {
	if g == nil || g.h == 0 {
		return nil
	}
	err := Do(func() error {
		var b [2]uint64
		fnDistLeave.none(putInt(b[:0], int64(g.h)))
		return nil
	})
	g.Free()
	return err
}

// Free leaves the group without waiting for the other ranks.
func (g *Group) Free() {
	if g == nil || g.h == 0 {
		return
	}
	h := g.h
	g.h = 0
	if deviceLost.Load() {
		return
	}
	_ = Do(func() error { // freeing cannot fail
		var b [2]uint64
		fnDistFree.none(putInt(b[:0], int64(h)))
		return nil
	})
}

// SyncBatchNorm is BatchNorm in training mode with statistics over the rows of all
// ranks, for input (N,C) or (N,C,H,W): up to rounding, what one process would compute
// from all of them. weight and bias may be nil. The running statistics (C) are updated
// by momentum, with the unbiased variance. Backward is a collective, too; the gradients
// of weight and bias are those of this rank's rows.
func (g *Group) SyncBatchNorm(input, weight, bias, runningMean, runningVar *Tensor, momentum, eps float64) *Tensor {
	var b [24]uint64
	w := putTensor(putInt(b[:0], int64(g.h)), input)
	w = putTensor(putTensor(putOptTensor(putOptTensor(w, weight), bias), runningMean), runningVar)
	return fnSyncNorm.one(putDouble(putDouble(w, momentum), eps))
}
