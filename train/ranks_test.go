package train

import (
	"context"
	"errors"
	"strings"
	"testing"

	"resslt/schemas/errs"
	"resslt/train/nn/nntest"
	"resslt/train/torch"
	"resslt/train/torch/torchtest"
)

// TestRanksAgree goes through what two ranks exchange between steps.
func TestRanksAgree(t *testing.T) {
	torchtest.Ranks(t, 2, func(g *torch.Group) []byte {
		c := small
		c.Group = g
		learner := newSmall(t, c)
		defer learner.Free()
		fresh := func() *ranks { return &ranks{group: g} }
		own := errors.New("of rank 1 alone")
		stopped, stop := context.WithCancel(t.Context())
		stop()
		expect := func(what string, err, kind error, says string) {
			t.Helper()
			if !errors.Is(err, kind) || kind != nil && !strings.Contains(err.Error(), says) {
				t.Errorf("rank %d, %s: %v", g.Rank(), what, err)
			}
		}

		expect("both can", fresh().ready(t.Context(), "step 1 of 9", nil), nil, "")
		if g.Rank() == 0 {
			expect("one cannot", fresh().ready(t.Context(), "step 1 of 9", nil), errs.ErrUnavailable, "rank 1 cannot continue")
			expect("one is interrupted", fresh().ready(t.Context(), "step 1 of 9", nil), errs.ErrInterrupted, "rank 1 was")
			expect("one has failed before", fresh().ready(t.Context(), "step 1 of 9", nil), errs.ErrUnavailable, "rank 1 cannot continue")
		} else {
			expect("one cannot", fresh().ready(t.Context(), "step 1 of 9", own), own, "")
			expect("one is interrupted", fresh().ready(stopped, "step 1 of 9", nil), context.Canceled, "")
			r := fresh()
			expect("deferred", r.deferError(own), nil, "")
			expect("one has failed before", r.ready(t.Context(), "step 1 of 9", nil), own, "")
		}

		same := func() error {
			state, err := HostTensors(learner.State())
			return errors.Join(err, fresh().sameState(0, state))
		}
		expect("one state", same(), nil, "")
		if g.Rank() == 1 {
			nntest.Do(t, func() { torch.FillScalar_(torch.Select(learner.queue.keys, 0, 3), 0.5) })
		}
		expect("another queue", same(), errs.ErrMismatch, "rank 1 has another queue than rank 0")

		expect("saved", fresh().agree("save", "step 1", nil, false), nil, "")
		if g.Rank() == 0 {
			expect("not saved", fresh().agree("save", "step 1", own, false), own, "")
		} else {
			expect("not saved", fresh().agree("save", "step 1", nil, false), errs.ErrUnavailable, "rank 0 cannot save")
		}
		return nil
	})
}

// TestOwnDevice: a rank has the GPU of its number where the recipe leaves it open.
func TestOwnDevice(t *testing.T) {
	for _, c := range []struct {
		recipe string
		want   int
	}{{"cuda", 3}, {"cuda:1", 1}} {
		dev, err := torch.ParseDevice(c.recipe)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := torch.Info(); err == nil && len(info.CUDA) == 1 {
			t.Skip("there is one GPU, which is everybody's")
		}
		if got := ownDevice(dev, c.recipe, 3); got.Index != c.want {
			t.Errorf("%s: rank 3 of its machine has %v", c.recipe, got)
		}
	}
	if got := ownDevice(torch.CPU, "cpu", 3); got != torch.CPU {
		t.Errorf("cpu: %v", got)
	}
}

// TestOneRankEach: a GPU is one rank's.
func TestOneRankEach(t *testing.T) {
	gpu := func(index int) []byte {
		p, err := gpuIdentity(torch.CUDA(index))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	if err := distinctGPUs([][]byte{gpu(0), gpu(1), gpu(2)}); err != nil {
		t.Error(err)
	}
	err := distinctGPUs([][]byte{gpu(0), gpu(1), gpu(1)})
	if !errors.Is(err, errs.ErrUsage) || !strings.Contains(err.Error(), "rank 2") || !strings.Contains(err.Error(), "GPU of rank 1") {
		t.Errorf("one GPU for two ranks: %v", err)
	}
	t.Setenv("CUDA_VISIBLE_DEVICES", "3")
	shown := gpu(0)
	t.Setenv("CUDA_VISIBLE_DEVICES", "4")
	if err := distinctGPUs([][]byte{shown, gpu(0)}); err != nil {
		t.Errorf("each is shown one of its own: %v", err)
	}
}
