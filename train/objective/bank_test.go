package objective

import (
	"math"
	"slices"
	"testing"

	"resslt/train/nn/nntest"
	"resslt/train/torch"
)

// TestPartition: NPID's Z against what the first batch of the authors of local aggregation gave
// them, 2,876,934.2 for ImageNet (neuroailab/LocalAggregation, model/instance_model.py, _softmax).
// Their estimate is a mean over a batch, of a bank whose rows are of unit length but for some
// hundredths, so that κ² is, too: it may be off by 2 %.
func TestPartition(t *testing.T) {
	o := Options{Samples: 1281167, Dim: 128, Tau: 0.07}
	if z := math.Exp(o.logPartition()); math.Abs(z/2876934.2-1) > 0.02 {
		t.Errorf("Z is %v, and their first batch gave 2876934.2", z)
	}
	// On a circle ₀F₁ is Bessel's I₀, on a sphere of three dimensions sinh(κ)/κ.
	if got, want := (Options{Samples: 1, Dim: 3, Tau: 0.05}).logPartition(), math.Log(math.Sinh(20)/20); math.Abs(got-want) > 1e-13 {
		t.Errorf("the sphere's mean of exp(20·t) has the logarithm %v, want %v", got, want)
	}
}

// TestKMeans: of clusters far from each other the centroids are the means, from any rows of
// theirs; a centroid without rows stays; and chunks of rows change nothing but rounding.
func TestKMeans(t *testing.T) {
	nntest.Torch(t)
	nntest.Do(t, func() {
		x := nntest.FormulaTensor("points", 0.1, 0, 12, 3).To(torch.CPU, torch.Float64, false)
		for i := range int64(12) { // three clusters of four, row i is of i mod 3
			torch.Add_(torch.Select(torch.Select(x, 0, i), 0, i%3), torch.Scalar(5, torch.Float64, torch.CPU), 1)
		}
		c := kmeans(x, torch.FromInt64([]int64{3, 1, 8}, 3))
		if got := c.labels.Int64s(); !slices.Equal(got, []int64{0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2}) {
			t.Errorf("labels %v", got)
		}
		for k := range int64(3) {
			var sum, apart [3]float64
			rows := x.Float64s()
			for i := k; i < 12; i += 3 {
				for d := range sum {
					sum[d] += rows[3*i+int64(d)] / 4
				}
			}
			centre := torch.Select(c.centroids, 0, k).Float64s()
			nntest.Close(t, "centroid", centre, sum[:], 1e-15)
			spread := 0.0
			for i := k; i < 12; i += 3 {
				for d := range apart {
					apart[d] = rows[3*i+int64(d)] - sum[d]
				}
				spread += math.Sqrt(apart[0]*apart[0] + apart[1]*apart[1] + apart[2]*apart[2])
			}
			nntest.Close(t, "spread", []float64{c.spread.Float64s()[k]}, []float64{spread}, 1e-14)
		}
		if got := c.members.Float64s(); !slices.Equal(got, []float64{4, 4, 4}) {
			t.Errorf("members %v", got)
		}
		far := []float32{0, 0, 0, 100, 100, 100} // the second has no rows
		if got := moved(x, torch.FromFloat32(far, 2, 3).To(torch.CPU, torch.Float64, false)).Float64s(); !slices.Equal(got[3:], []float64{100, 100, 100}) || got[0] == 0 {
			t.Errorf("of centroids %v the first moves and the second stays, got %v", far, got)
		}
	})
}
