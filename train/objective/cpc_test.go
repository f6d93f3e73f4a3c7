package objective

import (
	"fmt"
	"slices"
	"testing"

	"resslt/train/nn/nntest"
	"resslt/train/torch"
)

// rowsSeen are, for each row of the context, the rows of the grid that it depends on by its gradient.
func rowsSeen(context func(z *torch.Tensor) *torch.Tensor) (seen [patchSide][]int) {
	for i := range seen {
		z := nntest.FormulaTensor("grid", 1, 0, 1, 8, patchSide, patchSide).To(torch.CPU, torch.Float64, false).Detach().SetRequiresGrad(true)
		torch.Sum(torch.Square(torch.Select(context(z), 2, int64(i))), torch.Unset).Backward()
		for row := range patchSide {
			if torch.Amax(torch.Abs(torch.Select(z.Grad(), 2, int64(row))), []int64{0, 1, 2}, false).Item() > 0 {
				seen[i] = append(seen[i], row)
			}
		}
	}
	return seen
}

// TestContextIsMasked: row i of a context sees itself and one row above for each block, and no row
// below; and a mask that lies a row lower is seen to let one in.
func TestContextIsMasked(t *testing.T) {
	nntest.Torch(t)
	m := method{D: 8, ContextHidden: 24, ContextBlocks: 2, StepFrom: 3, StepTo: 3, name: "cpc-v2"}
	_, obj := m.objective(t)
	nntest.Do(t, func() {
		state := m.state(obj.Parts(), order{double: true})
		for _, direction := range directions {
			right := func(z *torch.Tensor) *torch.Tensor { return masked{state, direction}.context(z, m.ContextBlocks) }
			lower := func(z *torch.Tensor) *torch.Tensor { return right(torch.Roll(z, []int64{-1}, []int64{2})) }
			var want [patchSide][]int
			for i := range want {
				for row := max(0, i-m.ContextBlocks); row <= i; row++ {
					want[i] = append(want[i], row)
				}
			}
			if got := rowsSeen(right); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%s: rows see %v, want %v", direction, got, want)
			}
			if got := rowsSeen(lower); !slices.Contains(got[0], 1) {
				t.Errorf("%s: a mask that is a row too low is not seen: %v", direction, got)
			}
		}
	})
}

// TestTowards: laid towards a direction, the patch a row further on is its neighbour on that side.
func TestTowards(t *testing.T) {
	nntest.Torch(t)
	for direction, side := range map[string]int{"down": patchSide, "up": -patchSide, "right": 1, "left": -1} {
		nntest.Do(t, func() {
			numbers := torch.Reshape(torch.Arange(0, patchCount, 1, torch.Int64, torch.CPU), []int64{1, 1, patchSide, patchSide})
			got := torch.Contiguous(towards(direction, numbers), torch.ContiguousFormat).Int64s()
			for i := range patchCount - patchSide {
				if d := got[i+patchSide] - got[i]; d != int64(side) {
					t.Fatalf("%s: below patch %d is patch %d", direction, got[i], got[i+patchSide])
				}
			}
		})
	}
}

// TestGridOfPatches: each pixel of each patch, as it is, turned about, and with every draw of its colours.
func TestGridOfPatches(t *testing.T) {
	nntest.Torch(t)
	const n = 2
	for _, c := range []struct{ s, p, stride, edge int }{{260, 80, 36, 0}, {32, 9, 4, 1}, {24, 7, 3, 1}, {8, 2, 1, 0}} {
		pixels := nntest.Pixels("grid", n, c.s)
		turn, colors := make([]int64, n*patchCount), make([]int64, n*patchCount)
		for i := range turn {
			turn[i], colors[i] = int64(i/3%2), int64(i%8)
		}
		var want []byte
		for i := range n * patchCount {
			top, left := c.edge+i%patchCount/patchSide*c.stride, c.edge+i%patchSide*c.stride
			for y := range c.p {
				for x := range c.p {
					if turn[i] == 1 {
						x = c.p - 1 - x
					}
					at := ((i/patchCount*c.s+top+y)*c.s + left + x) * 3
					want = append(want, changed([3]byte(pixels[at:at+3]), colors[i])...)
				}
			}
		}
		nntest.Do(t, func() {
			b := Batch{Draws: map[string]*torch.Tensor{"mirror": torch.FromInt64(turn, n, patchCount), "colors": torch.FromInt64(colors, n, patchCount)}}
			got := cpc{}.Show(b, []*torch.Tensor{torch.FromUint8(pixels, n, int64(c.s), int64(c.s), 3)})[0]
			if shape, s := fmt.Sprint(got.Shape()), fmt.Sprintf("[%d %d %d 3]", n*patchCount, c.p, c.p); shape != s || !slices.Equal(got.Bytes(), want) {
				t.Errorf("%d pixels: patches %s are others than %s", c.s, shape, s)
			}
		})
	}
}

// changed is a pixel after the draw of its patch's colours.
func changed(rgb [3]byte, draw int64) []byte {
	switch {
	case draw < 3:
		out := []byte{128, 128, 128}
		out[draw] = rgb[draw]
		return out
	case draw < 5:
		y := byte((306*int(rgb[0]) + 601*int(rgb[1]) + 117*int(rgb[2]) + 512) / 1024)
		return []byte{y, y, y}
	}
	return rgb[:]
}
