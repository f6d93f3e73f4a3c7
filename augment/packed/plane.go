package packed

// Coefficients are a JPEG's quantized coefficients.
type Coefficients struct {
	Width, Height int // pixels
	Planes        []Plane
}

// Plane is a component. Its blocks go from left to right, then down; with those that only
// fill the last MCUs up, which interleaved scans code too.
type Plane struct {
	H, V       int      // sampling factors
	Wide, High int      // blocks, of whole MCUs
	Masks      []uint64 // of each block: bit k is set where coefficient k, in zigzag order, isn't 0
	First      []uint32 // of each block: where its first coefficient that isn't 0 is in Values
	Values     []int16  // the coefficients that aren't 0
}

// reset makes room for the blocks of a plane, in the memory that it has.
func (p *Plane) reset(h, v, wide, high int) {
	n := wide * high
	p.H, p.V, p.Wide, p.High = h, v, wide, high
	if cap(p.Masks) < n {
		p.Masks, p.First = make([]uint64, n), make([]uint32, n)
	}
	p.Masks, p.First, p.Values = p.Masks[:n], p.First[:n], p.Values[:0]
}

// dc is coefficient 0 of a block.
func (p *Plane) dc(block int) int {
	if p.Masks[block]&1 == 0 {
		return 0
	}
	return int(p.Values[p.First[block]])
}
