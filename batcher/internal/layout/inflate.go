package layout

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// codec decompresses raw into no more than n bytes.
type codec func(raw []byte, n int64) ([]byte, error)

// codecs are those of Arrow's BodyCompression, by their numbers. Our writer uses zstd.
var codecs = map[int8]codec{0: unlz4, 1: unzstd}

// decoder is shared: it keeps no state between calls, and makes no more than there is
// room for.
var decoder = sync.OnceValues(func() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecodeAllCapLimit(true))
})

func unzstd(raw []byte, n int64) ([]byte, error) {
	d, err := decoder()
	if err != nil {
		return nil, err
	}
	return d.DecodeAll(raw, make([]byte, 0, n))
}

// unlz4 takes LZ4's frame format, whose blocks are of at most 4 MiB.
func unlz4(raw []byte, n int64) ([]byte, error) {
	out := make([]byte, n)
	r := lz4.NewReader(bytes.NewReader(raw))
	if _, err := io.ReadFull(r, out); err != nil {
		return nil, err
	}
	if more, err := r.Read(make([]byte, 1)); more != 0 || !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("more than %d bytes (%w)", n, err)
	}
	return out, nil
}

// stored is the length of a buffer that its writer left as it was.
const stored = -1

// inflate decompresses a buffer of Arrow's compressed form: its length, then a frame of the
// codec. It makes no more than limit bytes.
func inflate(decompress codec, raw []byte, limit int64) ([]byte, error) {
	if len(raw) < 8 {
		return nil, corrupt("a compressed buffer of %d bytes", len(raw))
	}
	n := int64(binary.LittleEndian.Uint64(raw))
	if n == stored {
		n = int64(len(raw)) - 8
		decompress = func(raw []byte, _ int64) ([]byte, error) { return raw, nil }
	}
	if n < 0 || n > limit {
		return nil, corrupt("a buffer that claims %d bytes, over %d", n, limit)
	}
	out, err := decompress(raw[8:], n)
	if err == nil && int64(len(out)) != n {
		err = corrupt("a buffer of %d bytes that claims %d", len(out), n)
	}
	return out, err
}
