package eval

import (
	"context"
	"fmt"

	"resslt/schemas/errs"
	"resslt/train/torch"
)

// Neighbour is a row of a bank, and how near it is.
type Neighbour struct {
	Row    int
	Cosine float64
}

// Neighbours lists the k images of the bank most similar to each query by cosine,
// nearest first (Figure 2). A bank image with the query's id is the query itself
// and left out.
func Neighbours(ctx context.Context, queries, bank *Set, k int) ([][]Neighbour, error) {
	if queries.Dim != bank.Dim {
		return nil, errs.New("find neighbours", "", "use one encoder for both",
			errs.Because(errs.ErrUsage, fmt.Sprintf("queries have %d dimensions, the bank %d", queries.Dim, bank.Dim)))
	}
	if k < 1 || k >= bank.Len() {
		return nil, errs.New("find neighbours", fmt.Sprint(k), fmt.Sprintf("give 1 to %d", bank.Len()-1),
			errs.Because(errs.ErrUsage, "so many neighbours there are not"))
	}
	n := int64(bank.Len())
	chunk := max(1, similarityCells/n)
	var out [][]Neighbour
	for at := int64(0); at < int64(queries.Len()); at += chunk {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		rows := min(chunk, int64(queries.Len())-at)
		err := torch.Do(func() error {
			torch.NoGrad(func() {
				// One more than k, for the query itself.
				cos, idx := torch.Topk(torch.Mm(unit(torch.Narrow(queries.X, 0, at, rows)), torch.T(unit(bank.X))), int64(k)+1, 1, true, true)
				c, r := cos.Float32s(), idx.Int64s()
				for q := range int(rows) {
					var near []Neighbour
					for j := q * (k + 1); j < (q+1)*(k+1) && len(near) < k; j++ {
						if queries.IDs != nil && bank.IDs != nil && queries.IDs[int(at)+q] == bank.IDs[r[j]] {
							continue
						}
						near = append(near, Neighbour{int(r[j]), float64(c[j])})
					}
					out = append(out, near)
				}
			})
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// eachDistance calls do with squared Euclidean distances between features, some
// rows at a time: d is (rows,N), from the images at from to all, and at least 0.
func eachDistance(ctx context.Context, s *Set, do func(from int, d []float32) error) error {
	n := int64(s.Len())
	chunk := max(1, similarityCells/n)
	for at := int64(0); at < n; at += chunk {
		if err := ctx.Err(); err != nil {
			return err
		}
		var d []float32
		rows := min(chunk, n-at)
		err := torch.Do(func() error {
			torch.NoGrad(func() {
				// Centred, since |x|² + |y|² − 2x·y cancels.
				x := torch.Sub(s.X, torch.MeanDim(s.X, []int64{0}, true, torch.Unset), 1)
				norm := torch.SumDim(torch.Square(x), []int64{1}, false, torch.Unset)
				q := torch.Narrow(x, 0, at, rows)
				both := torch.Add(torch.Unsqueeze(torch.Narrow(norm, 0, at, rows), 1), torch.Unsqueeze(norm, 0), 1)
				d = torch.ClampMin_(torch.Sub_(both, torch.Mm(q, torch.T(x)), 2), 0).Float32s()
			})
			return nil
		})
		if err != nil {
			return err
		}
		if err := do(int(at), d); err != nil {
			return err
		}
	}
	return nil
}
