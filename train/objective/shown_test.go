package objective

import (
	"fmt"
	"math"
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

// TestPasted: CutMix's boxes pixel by pixel, in the middle, at the borders and beyond them, of pairs
// whose mates' draws are none of theirs; and the share of the pixels inside.
func TestPasted(t *testing.T) {
	nntest.Torch(t)
	const n, s = 12, 9 // pairs
	var shares, centers []float32
	var want []byte
	var portions []float64
	pixels := nntest.Pixels("pasted", 2*n, s)
	almost := float32(1 - 0x1p-24)
	for i := range n {
		three := []float32{float32(i) / n, 0.3, almost}
		own := []float32{three[i%3], three[(i+1)%3], three[(i+2)%3]}
		at := []float32{[]float32{0, almost, 0.5}[i%3], []float32{0.6, 0, almost, 0.25}[i%4]}
		shares, centers = append(append(shares, own...), 9, 9, 9), append(append(centers, at...), 9, 9)
		slices.Sort(own)
		cut := int(s * math.Sqrt(1-float64(own[1])))
		y, x := int(float64(at[0])*s), int(float64(at[1])*s)
		inside := 0
		for row := range s {
			for column := range s {
				image := 2 * i
				if row >= y-cut/2 && row < y+cut/2 && column >= x-cut/2 && column < x+cut/2 {
					image, inside = 2*i+1, inside+1
				}
				from := ((image*s+row)*s + column) * 3
				want = append(want, pixels[from:from+3]...)
			}
		}
		portions = append(portions, float64(inside)/(s*s))
	}
	nntest.Do(t, func() {
		b := Batch{Draws: map[string]*torch.Tensor{"share": torch.FromFloat32(shares, 2*n, 3), "center": torch.FromFloat32(centers, 2*n, 2)}}
		shown := bingo{}.Show(b, []*torch.Tensor{torch.FromUint8(pixels, 2*n, s, s, 3)})
		if shape := fmt.Sprint(shown[2].Shape()); len(shown) != 3 || shape != "[12 9 9 3]" || !slices.Equal(shown[2].Bytes(), want) {
			t.Errorf("mixed images %s are others", shape)
		}
		const size = s * s * 3
		if got := shown[0].Bytes(); !slices.Equal(got[size:2*size], pixels[2*size:3*size]) {
			t.Error("the second anchor is not the third image")
		}
		if got := shown[1].Bytes(); !slices.Equal(got[size:2*size], pixels[3*size:4*size]) {
			t.Error("the second mate is not the fourth image")
		}
		_, share := pasted(b, s)
		for i, got := range share.Float32s() {
			if got != float32(portions[i]) {
				t.Errorf("pair %d: %v of the pixels are the mate's, want %v", i, got, portions[i])
			}
		}
		if slices.Min(portions) == slices.Max(portions) {
			t.Error("all boxes are alike")
		}
	})
}
