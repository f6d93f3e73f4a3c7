package packed

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
)

// The skeleton is the file without its entropy-coded bytes:
//
//	[8]byte   the first bytes of the file's SHA-256
//	uvarint   n, and n bytes: the last ones of the stretches of entropy-coded bytes, for their padding
//	          bits; a single byte stands for all; none: ones
//	parts, to the end:
//	    uvarint 2·n, and n bytes: so many bytes of the file
//	    uvarint 2·k + 1: segment k of the list of known segments (known.go)
//
// The parts make a stream of markers; behind each SOS segment belong a scan's bytes, with
// its restart markers.

const sumBytes = 8

// skeleton is a skeleton's content.
type skeleton struct {
	sum    [sumBytes]byte
	pads   []byte
	header []byte // the stream of markers
}

// cut takes the entropy-coded bytes out of a JPEG. header's memory is used again; with
// keepPads the last byte of each stretch is kept.
func (s *skeleton) cut(jpeg []byte, keepPads bool) error {
	sum := sha256.Sum256(jpeg)
	s.sum = [sumBytes]byte(sum[:])
	s.pads, s.header = s.pads[:0], s.header[:0]
	r := header{data: jpeg}
	done := 0 // bytes of jpeg that are in header or cut out
	for {
		marker, _, err := r.segment()
		if err != nil {
			return err
		}
		if marker == 0 || marker == markerEOI {
			break
		}
		if marker != markerSOS {
			continue
		}
		s.header = append(s.header, jpeg[done:r.pos]...)
		for r.pos < len(jpeg) {
			n := bytes.IndexByte(jpeg[r.pos:], 0xff)
			if n < 0 {
				n = len(jpeg) - r.pos
			}
			begun := r.pos
			r.pos += n
			if r.pos+1 < len(jpeg) && jpeg[r.pos+1] == 0 {
				r.pos += 2
				continue
			}
			if keepPads {
				last := byte(0xff) // a stuffed byte is in front
				if n > 0 {
					last = jpeg[r.pos-1]
				} else if begun >= 2 && jpeg[begun-1] != 0 {
					last = jpeg[begun-1]
				}
				s.pads = append(s.pads, last)
			}
			if r.pos+1 < len(jpeg) && jpeg[r.pos+1] >= markerRST0 && jpeg[r.pos+1] < markerSOI {
				r.pos += 2
				continue
			}
			break
		}
		done = r.pos
	}
	s.header = append(s.header, jpeg[done:]...)
	return nil
}

// append writes the skeleton behind b.
func (s *skeleton) append(b []byte) []byte {
	b = append(b, s.sum[:]...)
	b = binary.AppendUvarint(b, uint64(len(s.pads)))
	b = append(b, s.pads...)
	literal := func(part []byte) {
		if len(part) > 0 {
			b = binary.AppendUvarint(b, uint64(len(part))<<1)
			b = append(b, part...)
		}
	}
	known := knownSegments()
	r := header{data: s.header}
	done := 0
	for {
		begun := r.pos
		marker, _, err := r.segment()
		if err != nil || r.pos == begun {
			break
		}
		if k, ok := known.number[string(s.header[begun:r.pos])]; ok {
			literal(s.header[done:begun])
			b = binary.AppendUvarint(b, uint64(k)<<1|1)
			done = r.pos
		}
		if marker == markerEOI {
			break
		}
	}
	literal(s.header[done:])
	return b
}

// parse reads what append wrote. header's memory is used again; it has no more bytes than
// the file, which has so many.
func (s *skeleton) parse(b []byte, size int) error {
	number := func() (int, bool) {
		v, n := binary.Uvarint(b)
		if n <= 0 || v > 1<<40 {
			return 0, false
		}
		b = b[n:]
		return int(v), true
	}
	if len(b) < sumBytes {
		return corrupt("the skeleton is cut off")
	}
	s.sum = [sumBytes]byte(b)
	b = b[sumBytes:]
	n, ok := number()
	if !ok || n > len(b) {
		return corrupt("the skeleton is cut off")
	}
	s.pads, b = b[:n:n], b[n:]
	known := knownSegments().bytes
	s.header = s.header[:0]
	for len(b) > 0 {
		v, ok := number()
		if !ok {
			return corrupt("the skeleton is cut off")
		}
		var part []byte
		switch n := v >> 1; {
		case v&1 == 0 && n > len(b):
			return corrupt("the skeleton is cut off")
		case v&1 == 0:
			part, b = b[:n], b[n:]
		case n >= len(known):
			return corrupt("the skeleton names segment %d", n)
		default:
			part = known[n]
		}
		if s.header = append(s.header, part...); len(s.header) > size {
			return corrupt("the skeleton is larger than its JPEG")
		}
	}
	return nil
}
