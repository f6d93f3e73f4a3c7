package eval

import (
	"context"
	"fmt"

	"resslt/schemas/errs"
	"resslt/train/torch"
)

// Neighbour is a row of a bank and its similarity to the query.
type Neighbour struct {
	Row    int
	Cosine float64
}

// Neighbours lists the k images of the bank with the largest cosine similarity to each
// query, nearest first (Figure 2). A bank image with the query's id is the query itself
// and is skipped.
func Neighbours(ctx context.Context, queries, bank *Set, k int) ([][]Neighbour, error) {
	if queries.Dim != bank.Dim {
		return nil, errs.New("find neighbours", "", "use one encoder for both",
			errs.Because(errs.ErrUsage, fmt.Sprintf("queries have %d dimensions, the bank %d", queries.Dim, bank.Dim)))
	}
	if k < 1 || k >= bank.Len() {
		return nil, errs.New("find neighbours", fmt.Sprint(k), fmt.Sprintf("give 1 to %d", bank.Len()-1),
			errs.Because(errs.ErrUsage, "there are not so many neighbours"))
	}
	n := int64(bank.Len())
	chunk := max(1, similarityCells/n)
	var out [][]Neighbour
	err := torch.Do(func() (err error) {
		torch.NoGrad(func() {
			torch.ScopeDo(func() {
				columns := torch.T(unit(bank.X))
				for at := int64(0); at < int64(queries.Len()) && err == nil; at += chunk {
					torch.ScopeDo(func() {
						out = append(out, neighboursFrom(queries, bank, columns, at, min(chunk, int64(queries.Len())-at), k)...)
					})
					err = ctx.Err()
				}
			})
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// neighboursFrom is Neighbours of the queries from a row on; columns are the bank's features, of unit
// length, (D,N).
func neighboursFrom(queries, bank *Set, columns *torch.Tensor, from, rows int64, k int) (out [][]Neighbour) {
	// One more than k, for the query itself.
	cos, idx := torch.Topk(torch.Mm(unit(torch.Narrow(queries.X, 0, from, rows)), columns), int64(k)+1, 1, true, true)
	c, r := cos.Float32s(), idx.Int64s()
	for q := range int(rows) {
		var near []Neighbour
		for j := q * (k + 1); j < (q+1)*(k+1) && len(near) < k; j++ {
			if queries.IDs != nil && bank.IDs != nil && queries.IDs[int(from)+q] == bank.IDs[r[j]] {
				continue
			}
			near = append(near, Neighbour{int(r[j]), float64(c[j])})
		}
		out = append(out, near)
	}
	return out
}
