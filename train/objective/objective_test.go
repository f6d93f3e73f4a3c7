package objective

import (
	"testing"

	"resslt/train/nn/nntest"
	"resslt/train/torch"
)

func TestWarmUpEnds(t *testing.T) {
	nntest.Torch(t)
	nntest.Do(t, func() {
		a, b := torch.FromFloat32([]float32{3}), torch.FromFloat32([]float32{7})
		if got := WarmUp(a, nil, 1).Item(); got != 3 {
			t.Errorf("α = 1 gives %v, want the relational loss 3", got)
		}
		if got := WarmUp(nil, b, 0).Item(); got != 7 {
			t.Errorf("α = 0 gives %v, want InfoNCE 7", got)
		}
		if got := WarmUp(a, b, 0.25).Item(); got != 6 {
			t.Errorf("α = ¼ gives %v, want 6", got)
		}
	})
}
