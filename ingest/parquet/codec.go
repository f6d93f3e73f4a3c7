package parquet

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/andybalholm/brotli"
	"github.com/golang/snappy"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// codec compresses pages, numbered as in parquet.thrift.
type codec int64

const (
	uncompressed codec = iota
	codecSnappy
	codecGzip
	codecLZO
	codecBrotli
	codecLZ4Hadoop // blocks with lengths before them, or, of old writers, frames or bare blocks
	codecZstd
	codecLZ4
)

var codecNames = [...]string{"UNCOMPRESSED", "SNAPPY", "GZIP", "LZO", "BROTLI", "LZ4", "ZSTD", "LZ4_RAW"}

func (c codec) String() string {
	if c < 0 || int(c) >= len(codecNames) {
		return fmt.Sprintf("codec %d", int64(c))
	}
	return codecNames[c]
}

// supported is an error that names a codec that cannot be read.
func (c codec) supported() error {
	if c < 0 || int(c) >= len(codecNames) || c == codecLZO {
		return fmt.Errorf("compressed by %v: write it with zstd, snappy or none", c)
	}
	return nil
}

var errSize = errors.New("it is not of the size that its header claims")

// decompress gives the size bytes that b holds. Memory grows with what comes out of b,
// not by what is claimed.
func (c codec) decompress(b []byte, size int64) (out []byte, err error) {
	defer func() { // of a library's decoder
		if r := recover(); r != nil {
			out, err = nil, fmt.Errorf("the decoder gave up: %v", r)
		}
	}()
	if size == 0 && len(b) == 0 {
		return nil, nil
	}
	switch c {
	case uncompressed:
		if int64(len(b)) != size {
			return nil, errSize
		}
		return b, nil
	case codecSnappy:
		// Snappy allocates by its own claim; 64 bytes come of 3 at most.
		if n, err := snappy.DecodedLen(b); err != nil || int64(n) != size || size > 64*int64(len(b)) {
			return nil, errSize
		}
		return snappy.Decode(make([]byte, size), b)
	case codecGzip:
		r, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			return nil, err
		}
		return readSize(r, len(b), size)
	case codecBrotli:
		return readSize(brotli.NewReader(bytes.NewReader(b)), len(b), size)
	case codecZstd:
		r, _ := zstdReaders.Get().(*zstd.Decoder)
		if r == nil {
			var err error
			if r, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxPageBytes)); err != nil {
				return nil, err
			}
		}
		defer zstdReaders.Put(r)
		if err := r.Reset(bytes.NewReader(b)); err != nil {
			return nil, err
		}
		return readSize(r, len(b), size)
	case codecLZ4:
		return lz4Block(b, size)
	case codecLZ4Hadoop:
		return lz4Hadoop(b, size)
	}
	return nil, c.supported()
}

// zstdReaders keeps decoders, whose tables are large.
var zstdReaders sync.Pool

// readSize reads size bytes, the last, of what compressed bytes hold.
func readSize(r io.Reader, compressed int, size int64) ([]byte, error) {
	// Photographs do not shrink; what shrinks further grows the buffer.
	out := bytes.NewBuffer(make([]byte, 0, min(size+1, 4*int64(compressed))+bytes.MinRead))
	n, err := out.ReadFrom(io.LimitReader(r, size+1))
	if err == nil && n != size {
		err = errSize
	}
	return out.Bytes(), err
}

// maxLZ4Ratio is how many bytes may come of one of LZ4's.
const maxLZ4Ratio = 255

// lz4Block decompresses a bare block.
func lz4Block(b []byte, size int64) ([]byte, error) {
	if size > maxLZ4Ratio*int64(len(b)) {
		return nil, errSize
	}
	out := make([]byte, size)
	n, err := lz4.UncompressBlock(b, out)
	if err == nil && int64(n) != size {
		err = errSize
	}
	return out, err
}

// lz4Hadoop decompresses what writers have stored under the name LZ4: Hadoop's blocks,
// each behind its two lengths; a frame; or a bare block.
func lz4Hadoop(b []byte, size int64) ([]byte, error) {
	if len(b) >= 4 && binary.LittleEndian.Uint32(b) == 0x184D2204 {
		return readSize(lz4.NewReader(bytes.NewReader(b)), len(b), size)
	}
	if out, ok := hadoopBlocks(b, size); ok {
		return out, nil
	}
	return lz4Block(b, size)
}

// hadoopBlocks decompresses blocks that follow their length when decompressed, each in
// parts that follow their length.
func hadoopBlocks(b []byte, size int64) (out []byte, ok bool) {
	// length splits off a length.
	length := func(most int64) (n int64, ok bool) {
		if len(b) < 4 {
			return 0, false
		}
		n, b = int64(binary.BigEndian.Uint32(b)), b[4:]
		return n, n > 0 && n <= most
	}
	for int64(len(out)) < size {
		left, ok := length(size - int64(len(out)))
		for ok && left > 0 {
			var n int64
			if n, ok = length(int64(len(b)) - 4); !ok {
				break
			}
			part := make([]byte, min(left, maxLZ4Ratio*n))
			k, err := lz4.UncompressBlock(b[:n], part)
			if ok = err == nil && k > 0; ok {
				out, b, left = append(out, part[:k]...), b[n:], left-int64(k)
			}
		}
		if !ok {
			return nil, false
		}
	}
	return out, len(b) == 0
}
