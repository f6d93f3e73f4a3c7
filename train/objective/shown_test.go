package objective

import (
	"fmt"
	"slices"
	"testing"

	"resslt/train/nn/nntest"
	"resslt/train/torch"
)

// TestTurned: the four rotations pixel by pixel. Turned by 90 degrees counter-clockwise, what was on
// the right is on top.
func TestTurned(t *testing.T) {
	nntest.Torch(t)
	const n, s = 2, 4
	pixels := nntest.Pixels("turned", n, s)
	at := func(img, y, x, c int) byte { return pixels[((img*s+y)*s+x)*3+c] }
	var want []byte
	for img := range n {
		for q := range quarters {
			for y := range s {
				for x := range s {
					from := [quarters][2]int{{y, x}, {x, s - 1 - y}, {s - 1 - y, s - 1 - x}, {s - 1 - x, y}}[q]
					for c := range 3 {
						want = append(want, at(img, from[0], from[1], c))
					}
				}
			}
		}
	}
	nntest.Do(t, func() {
		got := turned(torch.FromUint8(pixels, n, s, s, 3))
		if shape := fmt.Sprint(got.Shape()); shape != "[8 4 4 3]" || !slices.Equal(got.Bytes(), want) {
			t.Errorf("rotations %s are others", shape)
		}
	})
}

// TestPatches: each pixel of each patch, at the first and last places of cells and between, in the
// order of cells and in another.
func TestPatches(t *testing.T) {
	nntest.Torch(t)
	const n, s = 3, 20 // cells of 6, patches of 4: places 0 to 2
	cell, p := s/gridSide, int(patchOf(s))
	if p != 4 {
		t.Fatalf("a cell of %d gives patches of %d", cell, p)
	}
	pixels := nntest.Pixels("patches", n, s)
	almost := float32(1 - 0x1p-24) // the greatest share that is drawn
	down, right := make([]float32, n*cells), make([]float32, n*cells)
	order := make([]int64, n*cells)
	for i := range down {
		down[i], right[i] = []float32{0, almost, 0.5}[i%3], []float32{almost, 0, 0.34}[i/3%3]
		order[i] = int64((i*4 + 2) % cells)
	}
	place := func(share float32) int { return int(float64(share) * float64(cell-p+1)) }
	for _, ordered := range []bool{false, true} {
		var want []byte
		for i := range n * cells {
			c := i % cells
			if ordered {
				c = int(order[i])
			}
			top, left := c/gridSide*cell+place(down[i]), c%gridSide*cell+place(right[i])
			for y := range p {
				from := ((i/cells*s+top+y)*s + left) * 3
				want = append(want, pixels[from:from+3*p]...)
			}
		}
		nntest.Do(t, func() {
			var o *torch.Tensor
			if ordered {
				o = torch.FromInt64(order, n, cells)
			}
			got := patches(torch.FromUint8(pixels, n, s, s, 3), o, torch.FromFloat32(down, n, cells), torch.FromFloat32(right, n, cells))
			if shape := fmt.Sprint(got.Shape()); shape != "[27 4 4 3]" || !slices.Equal(got.Bytes(), want) {
				t.Errorf("ordered %v: patches %s are others", ordered, shape)
			}
		})
	}
	if patchOf(255) != 64 || patchOf(8) != 1 {
		t.Errorf("patches of %d and %d pixels", patchOf(255), patchOf(8))
	}
}
