package serve

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"

	"resslt/schemas/errs"
)

// Version is that of the protocol; a client of another is refused.
const Version = 1

// kind is the type of a frame.
type kind byte

// The frames: of a client, then of the server.
const (
	frameHello   kind = 'H'
	frameAck     kind = 'A'
	frameRelease kind = 'R'
	frameBye     kind = 'B'

	frameWelcome kind = 'W'
	frameSchema  kind = 'S'
	frameBatch   kind = 'D' // whole
	frameSlot    kind = 'M' // where it is in the ring
	frameEvent   kind = 'E'
	frameError   kind = 'X'
)

const (
	headerBytes = 8
	// maxClientFrame bounds the body of a client's frame.
	maxClientFrame = 64 << 10
	// maxFirstFrames bounds the server's frames before the welcome says what comes.
	maxFirstFrames = 16 << 20
	// maxFrame is the longest body that a header can announce.
	maxFrame = math.MaxUint32
)

// header announces a frame with a body of n bytes.
func header(k kind, n int) []byte {
	h := make([]byte, headerBytes)
	binary.LittleEndian.PutUint32(h, uint32(n)) // callers keep n below maxFrame
	h[4] = byte(k)
	return h
}

// jsonFrame is a whole frame whose body is v as JSON.
func jsonFrame(k kind, v any) ([]byte, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return nil, errs.New("encode frame", string(k), "report this as a bug", errs.BecauseErr(errs.ErrUsage, err))
	}
	return append(header(k, len(body)), body...), nil
}

// numbersFrame is a whole frame of numbers, u64 each.
func numbersFrame(k kind, numbers ...int64) []byte {
	f := header(k, 8*len(numbers))
	for _, n := range numbers {
		f = binary.LittleEndian.AppendUint64(f, uint64(n))
	}
	return f
}

// frame is one of a client. Its body is valid until the next is read.
type frame struct {
	kind kind
	body []byte
}

// number is the body of a frame that is one number, below 2⁶³.
func (f frame) number() (int64, error) {
	if len(f.body) != 8 {
		return 0, protocolError("a frame %q of %d bytes", f.kind, len(f.body))
	}
	n := binary.LittleEndian.Uint64(f.body)
	if n > math.MaxInt64 {
		return 0, protocolError("a frame %q of the number %d", f.kind, n)
	}
	return int64(n), nil
}

// frameReader reads a client's frames.
type frameReader struct {
	from io.Reader
	head [headerBytes]byte
	body []byte
}

// next reads a frame: io.EOF where the client has closed between two, io.ErrUnexpectedEOF
// within one, an error of the protocol for bytes that are no frame.
func (r *frameReader) next() (frame, error) {
	if _, err := io.ReadFull(r.from, r.head[:]); err != nil {
		return frame{}, err
	}
	n, k := binary.LittleEndian.Uint32(r.head[:]), kind(r.head[4])
	switch {
	case k != frameHello && k != frameAck && k != frameRelease && k != frameBye,
		r.head[5]|r.head[6]|r.head[7] != 0:
		return frame{}, protocolError("bytes that are no frame: % x", r.head[:])
	case n > maxClientFrame:
		return frame{}, protocolError("a frame %q of %d bytes, over %d", k, n, maxClientFrame)
	}
	if cap(r.body) < int(n) {
		r.body = make([]byte, n)
	}
	r.body = r.body[:n]
	if _, err := io.ReadFull(r.from, r.body); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return frame{}, err
	}
	return frame{k, r.body}, nil
}

func (k kind) String() string { return string(rune(k)) }

// protocolError is what a client does that no client of the protocol does.
func protocolError(format string, a ...any) error {
	return &refusal{"protocol", errs.New("serve", "", "use a client of this protocol's version, such as the Python package resslt",
		errs.Because(errs.ErrCorrupt, "the client sent "+fmt.Sprintf(format, a...)))}
}
