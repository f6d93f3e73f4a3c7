package train

import (
	"context"
	"errors"
	"strings"
	"testing"

	"resslt/schemas"
	"resslt/schemas/errs"
	"resslt/train/nn/nntest"
	"resslt/train/torch"
	"resslt/train/torch/torchtest"
)

// TestRanksAgree goes through what two ranks can have to say to each other between
// steps.
func TestRanksAgree(t *testing.T) {
	torchtest.Ranks(t, 2, func(g *torch.Group) []byte {
		c := small
		c.Group = g
		learner := newSmall(t, c)
		defer learner.Free()
		fresh := func() *loop {
			return &loop{Options: Options{Group: g, Spec: &schemas.RunSpec{Epochs: 1, StepsPerEpoch: 9}}, learner: learner}
		}
		own := errors.New("of rank 1 alone")
		stopped, stop := context.WithCancel(t.Context())
		stop()
		expect := func(what string, err, kind error, says string) {
			t.Helper()
			if !errors.Is(err, kind) || kind != nil && !strings.Contains(err.Error(), says) {
				t.Errorf("rank %d, %s: %v", g.Rank(), what, err)
			}
		}

		expect("both can", fresh().agree(t.Context(), nil), nil, "")
		if g.Rank() == 0 {
			expect("one cannot", fresh().agree(t.Context(), nil), errs.ErrUnavailable, "rank 1 cannot go on")
			expect("one is interrupted", fresh().agree(t.Context(), nil), errs.ErrInterrupted, "rank 1 was")
			expect("one has failed before", fresh().agree(t.Context(), nil), errs.ErrUnavailable, "rank 1 cannot go on")
		} else {
			expect("one cannot", fresh().agree(t.Context(), own), own, "")
			expect("one is interrupted", fresh().agree(stopped, nil), context.Canceled, "")
			l := fresh()
			expect("carried", l.carry(own), nil, "")
			expect("one has failed before", l.agree(t.Context(), nil), own, "")
		}

		expect("one state", fresh().sameState(), nil, "")
		if g.Rank() == 1 {
			nntest.Do(t, func() { torch.FillScalar_(torch.Select(learner.queue.Keys, 0, 3), 0.5) })
		}
		expect("another queue", fresh().sameState(), errs.ErrMismatch, "rank 1 has another queue than rank 0")

		expect("written", fresh().written(nil), nil, "")
		if g.Rank() == 0 {
			expect("not written", fresh().written(own), own, "")
		} else {
			expect("not written", fresh().written(nil), errs.ErrUnavailable, "rank 0 cannot save")
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
	place := func(index int) []byte {
		p, err := placeOf(torch.CUDA(index))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	if err := oneEach([][]byte{place(0), place(1), place(2)}); err != nil {
		t.Error(err)
	}
	err := oneEach([][]byte{place(0), place(1), place(1)})
	if !errors.Is(err, errs.ErrUsage) || !strings.Contains(err.Error(), "rank 2") || !strings.Contains(err.Error(), "GPU of rank 1") {
		t.Errorf("one GPU for two ranks: %v", err)
	}
	t.Setenv("CUDA_VISIBLE_DEVICES", "3")
	shown := place(0)
	t.Setenv("CUDA_VISIBLE_DEVICES", "4")
	if err := oneEach([][]byte{shown, place(0)}); err != nil {
		t.Errorf("each is shown one of its own: %v", err)
	}
}
