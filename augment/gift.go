package augment

import (
	"image"
	"runtime"

	"github.com/disintegration/gift"
)

// giftEngine crops and resizes with the gift library; the integer kernels of this
// package do the rest.
type giftEngine struct{ formats Formats }

// Name ends with the target of this build. gift filters in float32, and Go compilers fuse
// multiply and add where the target has such an instruction (arm64, amd64.v3, …), so that
// equal plans give equal bytes only in builds for one target: the name keeps others out of
// the run.
func (e giftEngine) Name() string {
	return "gift/" + e.formats.Version() + "-" + runtime.GOARCH + goTarget
}

func (e giftEngine) NewPainter(l Limits) Painter {
	return &giftPainter{decoder: decoder{limits: l, formats: e.formats}}
}

type giftPainter struct {
	decoder
	resizer
	finisher
	crop image.NRGBA   // the box of the picture
	mid  image.NRGBA64 // resized in one direction; 16 bits, as gift's own
	out  image.NRGBA   // S×S
}

var giftOptions = gift.Options{Parallelization: false} // the farm's workers are the parallelism

func (p *giftPainter) Paint(plan *Plan, dst []byte) error {
	if plan.Window == (Window{}) {
		p.cropAndResize(plan, dst)
	} else {
		p.resize(dst, &p.image, plan) // evaluation: Pillow's pixels, by this package's kernels
	}
	p.finish(dst, plan)
	return nil
}

// cropAndResize renders the plan's box into dst, (S,S,3).
func (p *giftPainter) cropAndResize(plan *Plan, dst []byte) {
	filter := gift.LinearResampling
	if plan.Filter == Bicubic {
		filter = gift.CubicResampling
	}
	box, size := plan.Box, plan.Size
	p.crop = image.NRGBA{Pix: grow(p.crop.Pix, 4*box.W*box.H), Stride: 4 * box.W, Rect: image.Rect(0, 0, box.W, box.H)}
	for y := range box.H {
		in, out := p.image.row(box.Y+y, box), p.crop.Pix[y*p.crop.Stride:][:p.crop.Stride]
		for x := range box.W {
			i, o := in[3*x:3*x+3:3*x+3], out[4*x:4*x+4:4*x+4]
			o[0], o[1], o[2], o[3] = i[0], i[1], i[2], 255
		}
	}
	p.out = image.NRGBA{Pix: grow(p.out.Pix, 4*size*size), Stride: 4 * size, Rect: image.Rect(0, 0, size, size)}
	// gift.Resize allocates its temporary picture on every call; with one pass a call,
	// it can be reused.
	if box.W != size && box.H != size {
		p.mid = image.NRGBA64{Pix: grow(p.mid.Pix, 8*size*box.H), Stride: 8 * size, Rect: image.Rect(0, 0, size, box.H)}
		gift.Resize(size, box.H, filter).Draw(&p.mid, &p.crop, &giftOptions)
		gift.Resize(size, size, filter).Draw(&p.out, &p.mid, &giftOptions)
	} else {
		gift.Resize(size, size, filter).Draw(&p.out, &p.crop, &giftOptions)
	}
	for i, o := 0, 0; o < len(dst); i, o = i+4, o+3 {
		in, out := p.out.Pix[i:i+4:i+4], dst[o:o+3:o+3]
		out[0], out[1], out[2] = in[0], in[1], in[2]
	}
}

func (p *giftPainter) Close() error { return nil }
