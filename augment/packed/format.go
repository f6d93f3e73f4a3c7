package packed

import (
	"encoding/binary"

	"resslt/schemas/sniff"
)

// The layout of a pack; doc.go describes it.
const (
	// Magic begins every pack.
	Magic = sniff.PackedJPEG

	// HeaderBytes are the bytes of a header before its components.
	HeaderBytes = 28

	version     = 1
	planeBytes  = 3
	slackBytes  = 64
	segmentSize = 64 // blocks
	maxTables   = 3

	// Where the header has the lengths of the skeleton and of the JPEG.
	skeletonSize = 20
	jpegSize     = 24
)

// Is reports whether b begins as a pack.
func Is(b []byte) bool { return len(b) >= len(Magic) && string(b[:len(Magic)]) == Magic }

// Size is the size of the packed picture, by its header; ok is false where there is none.
func Size(pack []byte) (w, h int, ok bool) {
	if !Is(pack) || len(pack) < HeaderBytes {
		return 0, 0, false
	}
	w, h = int(binary.LittleEndian.Uint16(pack[12:])), int(binary.LittleEndian.Uint16(pack[14:]))
	return w, h, w > 0 && h > 0
}

// JPEGBytes is the length of the JPEG that was packed, by the header; 0 where there is none.
func JPEGBytes(pack []byte) int {
	if !Is(pack) || len(pack) < HeaderBytes {
		return 0
	}
	return int(binary.LittleEndian.Uint32(pack[jpegSize:]))
}

// Parts are the bytes of a pack by what they are for.
type Parts struct {
	Header, Coefficients, Skeleton int
}

// PartsOf measures a pack.
func PartsOf(pack []byte) (Parts, error) {
	var l layout
	if err := l.parse(pack); err != nil {
		return Parts{}, err
	}
	return Parts{Header: len(pack) - len(l.data) - len(l.skeleton), Coefficients: len(l.data), Skeleton: len(l.skeleton)}, nil
}

// layout are the parts of a pack.
type layout struct {
	width, height int
	planes        [maxPlanes]struct{ h, v, wide, high int }
	count         int // planes
	mcusY         int
	offsets       []byte // of rows, 4 bytes each
	rows          int
	data          []byte
	skeleton      []byte
	body          int // bytes before the skeleton
	jpeg          int // bytes of the file
}

func (l *layout) parse(b []byte) error {
	le := binary.LittleEndian
	if !Is(b) || len(b) < HeaderBytes {
		return corrupt("no packed JPEG")
	}
	if b[8] != version {
		return corrupt("a packed JPEG of version %d, this build reads version %d", b[8], version)
	}
	var ok bool
	if l.width, l.height, ok = Size(b); !ok {
		return corrupt("a picture of %d×%d", l.width, l.height)
	}
	if l.jpeg = JPEGBytes(b); l.jpeg == 0 || int64(len(b)) > sniff.MostPacked(int64(l.jpeg)) {
		return corrupt("%d bytes for a JPEG of %d", len(b), l.jpeg)
	}
	l.count = int(b[10])
	tables, wide := int(b[11]&0x7f), int(b[11]>>7)
	if b[9] > 2 || l.count != 1 && l.count != 3 || (b[9] == 0) != (l.count == 1) || tables < 1 || tables > maxTables {
		return corrupt("colour %d, %d components, %d tables", b[9], l.count, tables)
	}
	at := HeaderBytes + planeBytes*l.count
	if len(b) < at {
		return corrupt("the header is cut off")
	}
	maxH, maxV, sumV := 0, 0, 0
	for i := range l.count {
		p := &l.planes[i]
		k := b[HeaderBytes+planeBytes*i:]
		if p.h, p.v = int(k[0]), int(k[1]); p.h < 1 || p.h > 4 || p.v < 1 || p.v > 4 || int(k[2]) >= tables {
			return corrupt("component %d has factors %d×%d and table %d", i, p.h, p.v, k[2])
		}
		maxH, maxV, sumV = max(maxH, p.h), max(maxV, p.v), sumV+p.v
	}
	mcusX := ceilDiv(l.width, 8*maxH)
	l.mcusY = ceilDiv(l.height, 8*maxV)
	blocks := 0
	for i := range l.count {
		p := &l.planes[i]
		p.wide, p.high = mcusX*p.h, l.mcusY*p.v
		blocks += p.wide * p.high
	}
	at += tables * 64 << wide
	l.rows = l.mcusY * sumV
	l.body = at + 4*(l.rows+1) + int(le.Uint32(b[16:])) + slackBytes
	if n := l.body + int(le.Uint32(b[skeletonSize:])); n != len(b) {
		return corrupt("%d bytes, %d by the header", len(b), n)
	}
	l.offsets = b[at : at+4*(l.rows+1)]
	l.data = b[at+4*(l.rows+1) : l.body-slackBytes]
	l.skeleton = b[l.body:]
	if len(l.data) < blocks+blocks/2 { // a nibble and a byte each
		return corrupt("%d bytes for %d blocks", len(l.data), blocks)
	}
	return nil
}

// row is the coefficient section's part for a row of blocks.
func (l *layout) row(i int) ([]byte, error) {
	from, to := binary.LittleEndian.Uint32(l.offsets[4*i:]), binary.LittleEndian.Uint32(l.offsets[4*i+4:])
	if from > to || int(to) > len(l.data) || i == 0 && from != 0 || i == l.rows-1 && int(to) != len(l.data) {
		return nil, corrupt("row %d is at %d to %d of %d bytes", i, from, to, len(l.data))
	}
	return l.data[from:to], nil
}
