package objective

import (
	"math/rand/v2"
	"testing"

	"resslt/train/nn/nntest"
	"resslt/train/torch"
)

// TestComponents: labels of graphs with one edge out of each node, against a search.
func TestComponents(t *testing.T) {
	nntest.Torch(t)
	r := rand.New(rand.NewPCG(1, 2))
	for n := 2; n < 40; n++ {
		next := make([]int64, n)
		for i := range next {
			for next[i] = int64(i); next[i] == int64(i); {
				next[i] = int64(r.IntN(n))
			}
		}
		want := make([]int64, n) // the least node that is connected, by repeated relaxation
		for i := range want {
			want[i] = int64(i)
		}
		for range n {
			for i, j := range next {
				least := min(want[i], want[j])
				want[i], want[j] = least, least
			}
		}
		nntest.Do(t, func() {
			got := components(torch.FromInt64(next, int64(n))).Int64s()
			for i := range got {
				for j := range got {
					if (got[i] == got[j]) != (want[i] == want[j]) {
						t.Fatalf("%d nodes, edges to %v: labels %v, want those of %v", n, next, got, want)
					}
				}
			}
		})
	}
}
