package augmenttest

import (
	"testing"

	"resslt/schemas"
)

// Render renders a sample by a renderer of augment, under seed 1 and the given epoch.
// (Tests of augment itself use this package, so it cannot import augment.)
type Render func(s *schemas.Sample, epoch int64, pixels, plans [][]byte) ([][]byte, error)

// Rig renders samples into buffers of its own.
type Rig struct {
	Pixels [][]byte // of each view, (S,S,3) uint8, overwritten by Render
	Plans  [][]byte // encoded, likewise

	tb     testing.TB
	render Render
}

// NewRig makes a rig for a policy of these views.
func NewRig(tb testing.TB, views []schemas.ViewSpec, render Render) *Rig {
	g := &Rig{tb: tb, render: render}
	for _, v := range views {
		g.Pixels = append(g.Pixels, make([]byte, v.Bytes()))
	}
	return g
}

// Render renders the sample, or ends the test.
func (g *Rig) Render(s *schemas.Sample, epoch int64) {
	g.tb.Helper()
	var err error
	if g.Plans, err = g.render(s, epoch, g.Pixels, g.Plans); err != nil {
		g.tb.Fatal(err)
	}
}
