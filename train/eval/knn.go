package eval

import (
	"cmp"
	"fmt"
	"slices"

	"resslt/schemas/errs"
	"resslt/train/recipe"
	"resslt/train/torch"
)

// KNNOptions are the options of KNN; the defaults are recipe.Default's.
type KNNOptions struct {
	K           []int   // numbers of neighbours that vote
	Temperature float64 // T of the weights
}

func (o KNNOptions) applyDefaults() KNNOptions {
	if len(o.K) == 0 {
		o.K = recipe.Default().KNNK
	}
	o.Temperature = cmp.Or(o.Temperature, recipe.Default().KNNTemperature)
	return o
}

// Validate returns an error wrapping errs.ErrUsage.
func (o KNNOptions) Validate() error {
	o = o.applyDefaults()
	for _, k := range o.K {
		if k < 1 {
			return errs.New("knn option", "k", "give 1 or more", errs.Because(errs.ErrUsage, fmt.Sprintf("is %d", k)))
		}
	}
	if !(o.Temperature > 0) {
		return errs.New("knn option", "temperature", "give a number above 0", errs.Because(errs.ErrUsage, fmt.Sprintf("is %v", o.Temperature)))
	}
	return nil
}

// similarityCells bounds the similarity matrix of a chunk: 64 MiB of floats.
const similarityCells = 16 << 20

// KNN returns the top-1 accuracy in percent for each k: a test image's score for class
// c is Σ exp(cos/T) over those of its k nearest training images that are of class c.
// A k above the number of training images counts them all.
func KNN(train, test *Set, o KNNOptions) (map[int]float64, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o = o.applyDefaults()
	numClasses, err := singleLabel(train, test)
	if err != nil {
		return nil, err
	}
	right := make(map[int]int64, len(o.K))
	err = torch.Do(func() error {
		torch.NoGrad(func() {
			bank := torch.T(unit(train.X)) // (D,N)
			labels, want := train.labels(), test.labels()
			n := int64(train.Len())
			most := min(int64(slices.Max(o.K)), n)
			chunk := max(1, similarityCells/n)
			for at := int64(0); at < int64(test.Len()); at += chunk {
				torch.ScopeDo(func() {
					rows := min(chunk, int64(test.Len())-at)
					queries := unit(torch.Narrow(test.X, 0, at, rows))
					// Sorted, so that the first k columns are the nearest for any k.
					cos, idx := torch.Topk(torch.Mm(queries, bank), most, 1, true, true)
					weight := torch.Exp(torch.DivScalar(cos, o.Temperature))
					class := torch.Reshape(torch.IndexSelect(labels, 0, torch.Flatten(idx, 0, -1)), []int64{rows, most})
					truth := torch.Narrow(want, 0, at, rows)
					for _, k := range o.K {
						m := min(int64(k), most)
						votes := torch.Zeros([]int64{rows, int64(numClasses)}, torch.Float32, train.X.Device())
						torch.ScatterAdd_(votes, 1, torch.Narrow(class, 1, 0, m), torch.Narrow(weight, 1, 0, m))
						right[k] += hits(votes, truth)
					}
				})
			}
		})
		return nil
	})
	if err != nil {
		return nil, err
	}
	top1 := make(map[int]float64, len(right))
	for k, r := range right {
		top1[k] = percent(r, test.Len())
	}
	return top1, nil
}

// unit divides each row by its L2 norm.
func unit(x *torch.Tensor) *torch.Tensor {
	return torch.Scope(func() *torch.Tensor {
		norm := torch.LinalgVectorNorm(x, 2, []int64{1}, true, torch.Unset)
		return torch.Div(x, torch.ClampMin(norm, 1e-12))
	})
}
