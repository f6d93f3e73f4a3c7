package eval

import (
	"cmp"
	"math"
	"slices"

	"resslt/train/torch"
)

// Accuracy is the share of rows whose class scores (N,C) predict, in percent.
type Accuracy struct {
	Top1     float64
	Top5     float64 // of min(5, C) classes
	PerClass float64 // mean over classes of the top-1 within each, for small unbalanced sets
}

// accuracy of scores (N,C), on any device, for labels (N).
func accuracy(scores *torch.Tensor, labels []int32) Accuracy {
	truth := labelTensor(labels, scores.Device())
	_, best := torch.Topk(scores, min(5, scores.Size(1)), 1, true, true)
	in := torch.Sum(torch.Eq(best, torch.Unsqueeze(truth, 1)), torch.Int64).Item()
	last := int64(-1)
	top := torch.Argmax(scores, &last, false).Int64s()
	n := scores.Size(1)
	right, all := make([]int, n), make([]int, n)
	sum := 0
	for i, l := range labels {
		all[l]++
		if top[i] == int64(l) {
			right[l]++
			sum++
		}
	}
	mean, seen := 0.0, 0
	for c := range all {
		if all[c] > 0 {
			mean += float64(right[c]) / float64(all[c])
			seen++
		}
	}
	return Accuracy{Top1: percent(int64(sum), len(labels)), Top5: percent(int64(in), len(labels)), PerClass: 100 * mean / float64(seen)}
}

// Precision is the average precision of a ranking, in percent.
type Precision struct {
	ElevenPoint float64 // mean of the precision at recall ≥ 0, 0.1 … 1 (VOC2007)
	AllPoint    float64 // area under the monotone precision, at every recall (VOC2010; PCL's and VISSL's)
}

// averagePrecision ranks the images by score, highest first, and scores the ranking by
// targets: +1 relevant, −1 not, 0 ignored (VOC's difficult ones). Equal scores keep
// their order. Without a relevant image it is NaN.
func averagePrecision(scores []float64, targets []int8) Precision {
	var order []int
	relevant := 0
	for i, t := range targets {
		if t != 0 {
			order = append(order, i)
		}
		if t > 0 {
			relevant++
		}
	}
	if relevant == 0 {
		return Precision{math.NaN(), math.NaN()}
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(scores[b], scores[a]) })
	// precision[j] is that at the j-th relevant image, recall (j+1)/relevant.
	precision := make([]float64, 0, relevant)
	for rank, i := range order {
		if targets[i] > 0 {
			precision = append(precision, float64(len(precision)+1)/float64(rank+1))
		}
	}
	for j := relevant - 2; j >= 0; j-- {
		precision[j] = max(precision[j], precision[j+1])
	}
	var p Precision
	for _, v := range precision {
		p.AllPoint += 100 * v / float64(relevant)
	}
	for t := range 11 {
		// The first recall of at least t/10: (j+1)·10 ≥ t·relevant.
		j := max(0, (t*relevant+9)/10-1)
		p.ElevenPoint += 100 * precision[j] / 11
	}
	return p
}

// meanPrecision is the mean over classes of the average precision of scores (N,C),
// row-major, for the set's targets. Classes that no image shows are ignored.
func meanPrecision(scores []float64, s *Set, classes int) Precision {
	each := make([]Precision, classes)
	one := make([]float64, s.Len())
	for c := range classes {
		for i := range one {
			one[i] = scores[i*classes+c]
		}
		each[c] = averagePrecision(one, s.column(c))
	}
	return meanOf(each)
}

// meanOf is the mean over the classes whose precision is a number, NaN if there is none.
func meanOf(each []Precision) Precision {
	var mean Precision
	seen := 0
	for _, p := range each {
		if math.IsNaN(p.AllPoint) {
			continue
		}
		mean.ElevenPoint += p.ElevenPoint
		mean.AllPoint += p.AllPoint
		seen++
	}
	if seen == 0 {
		return Precision{math.NaN(), math.NaN()}
	}
	return Precision{mean.ElevenPoint / float64(seen), mean.AllPoint / float64(seen)}
}

// hits counts the rows of scores (N,C) whose highest score is that of truth (N).
func hits(scores, truth *torch.Tensor) int64 {
	last := int64(-1)
	return int64(torch.Sum(torch.Eq(torch.Argmax(scores, &last, false), truth), torch.Int64).Item())
}

func percent(right int64, of int) float64 { return 100 * float64(right) / float64(of) }
