package raster

import (
	"bytes"
	"compress/lzw"
	"errors"
	"io"
)

// GIF: a screen with a palette, then extensions and frames. The first frame is read, on the
// screen that it lies on.

type gif struct {
	w, h         int // of the screen, or of the frame where that reaches beyond it
	x, y, fw, fh int // the frame
	interlaced   bool
	colors       palette
	transparent  int // index, -1 for none
	literal      int // bits of a code for a literal
	blocks       []byte
}

func (g *gif) Size() (w, h int) { return g.w, g.h }

func openGIF(b []byte) (Picture, error) {
	if len(b) < 13 {
		return nil, errCut
	}
	g := &gif{w: int(le16(b, 6)), h: int(le16(b, 8)), transparent: -1}
	for i := range g.colors { // of a file without a palette
		g.colors[i] = [3]byte{byte(i), byte(i), byte(i)}
	}
	at, err := g.palette(b, 13, b[10])
	if err != nil {
		return nil, err
	}
	for {
		if at >= len(b) {
			return nil, errCut
		}
		tag := b[at]
		at++
		switch tag {
		case '!':
			if at, err = g.extension(b, at); err != nil {
				return nil, err
			}
		case ',':
			return g, g.frame(b, at)
		case ';':
			return nil, corrupt("GIF without a picture")
		}
		// Pillow passes over other bytes between blocks.
	}
}

// palette reads the palette that the flags announce.
func (g *gif) palette(b []byte, at int, flags byte) (end int, err error) {
	if flags&0x80 == 0 {
		return at, nil
	}
	n := 2 << (flags & 7)
	if len(b) < at+3*n {
		return 0, errCut
	}
	g.colors = palette{}
	for i := range n {
		copy(g.colors[i][:], b[at+3*i:])
	}
	return at + 3*n, nil
}

// extension passes over one, and keeps the transparent index of a graphic control.
func (g *gif) extension(b []byte, at int) (end int, err error) {
	if at >= len(b) {
		return 0, errCut
	}
	label := b[at]
	at++
	for first := true; ; first = false {
		if at >= len(b) || at+1+int(b[at]) > len(b) {
			return 0, errCut
		}
		block := b[at+1 : at+1+int(b[at])]
		at += 1 + len(block)
		if len(block) == 0 {
			return at, nil
		}
		if first && label == 0xf9 && len(block) >= 4 && block[0]&1 != 0 {
			g.transparent = int(block[3])
		}
	}
}

// frame reads the frame's header.
func (g *gif) frame(b []byte, at int) error {
	if len(b) < at+9 {
		return errCut
	}
	g.x, g.y, g.fw, g.fh = int(le16(b, at)), int(le16(b, at+2)), int(le16(b, at+4)), int(le16(b, at+6))
	flags := b[at+8]
	g.interlaced = flags&0x40 != 0
	g.w, g.h = max(g.w, g.x+g.fw), max(g.h, g.y+g.fh)
	if g.fw == 0 || g.fh == 0 {
		return corrupt("GIF with a frame of %d×%d pixels", g.fw, g.fh)
	}
	at, err := g.palette(b, at+9, flags)
	if err != nil {
		return err
	}
	if at >= len(b) {
		return errCut
	}
	if g.literal = int(b[at]); g.literal < 1 || g.literal > 8 {
		return corrupt("GIF with codes of %d bits", g.literal)
	}
	g.blocks = b[at+1:]
	return nil
}

func (g *gif) Decode(dst []byte) error {
	background := g.colors[max(0, g.transparent)]
	if g.fw != g.w || g.fh != g.h {
		for i := 0; i < len(dst); i += 3 {
			copy(dst[i:i+3], background[:])
		}
	}
	var r io.Reader = &gifBits{blocks: gifBlocks{rest: g.blocks}}
	if g.literal > 1 {
		l := lzw.NewReader(&gifBlocks{rest: g.blocks}, lzw.LSB, g.literal)
		defer l.Close()
		r = l
	}
	row := make([]byte, g.fw)
	for i := range g.fh {
		if _, err := io.ReadFull(r, row); err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				return errCut
			}
			return corrupt("GIF: %v", err)
		}
		y := g.y + g.line(i)
		g.colors.fill(dst[3*(y*g.w+g.x):], row)
	}
	return nil
}

// line is the row of the frame that the i-th of the file is.
func (g *gif) line(i int) int {
	if !g.interlaced {
		return i
	}
	for _, pass := range [4]struct{ from, step int }{{0, 8}, {4, 8}, {2, 4}, {1, 2}} {
		n := (g.fh - pass.from + pass.step - 1) / pass.step // 0 or less where the frame is too low
		if n = max(0, n); i < n {
			return pass.from + i*pass.step
		}
		i -= n
	}
	return g.fh - 1 // not reached: the passes have all rows
}

// gifBits reads the indexes of a file whose literals have 1 bit, which no specification allows.
// As Pillow reads it, all of its codes have 2 bits: two literals, to be passed over, the end.
type gifBits struct {
	blocks gifBlocks
	packed byte
	left   int // codes in packed
}

func (g *gifBits) Read(p []byte) (int, error) {
	for i := 0; i < len(p); {
		if g.left == 0 {
			var err error
			if g.packed, err = g.blocks.ReadByte(); err != nil {
				return i, err
			}
			g.left = 4
		}
		code := g.packed & 3
		g.packed, g.left = g.packed>>2, g.left-1
		switch code {
		case 0, 1:
			p[i] = code
			i++
		case 3:
			return i, io.EOF
		}
	}
	return len(p), nil
}

// gifBlocks reads the bytes of blocks, each after its length, up to an empty one.
type gifBlocks struct {
	rest  []byte
	block bytes.Reader
}

func (g *gifBlocks) ReadByte() (byte, error) {
	for g.block.Len() == 0 {
		if len(g.rest) == 0 || g.rest[0] == 0 {
			return 0, io.ErrUnexpectedEOF
		}
		n := min(int(g.rest[0]), len(g.rest)-1)
		g.block.Reset(g.rest[1 : 1+n])
		g.rest = g.rest[1+n:]
	}
	return g.block.ReadByte()
}

func (g *gifBlocks) Read(p []byte) (int, error) {
	for i := range p {
		b, err := g.ReadByte()
		if err != nil {
			return i, err
		}
		p[i] = b
	}
	return len(p), nil
}
