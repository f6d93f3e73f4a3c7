package parquet

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"testing"

	"github.com/pierrec/lz4/v4"
)

// What writers have stored under the name LZ4 is told apart by its bytes.
func TestLZ4(t *testing.T) {
	want := bytes.Repeat([]byte("0123456789 a page that shrinks; "), 40)
	block := func(b []byte) []byte {
		out := make([]byte, lz4.CompressBlockBound(len(b)))
		n, err := lz4.CompressBlock(b, out, nil)
		if err != nil || n == 0 {
			t.Fatal(n, err)
		}
		return out[:n]
	}
	length := func(n int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(n)) }
	part := func(b []byte) []byte { c := block(b); return append(length(len(c)), c...) }
	var frame bytes.Buffer
	w := lz4.NewWriter(&frame)
	if _, err := w.Write(want); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	half := len(want) / 2
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	for name, b := range map[string][]byte{
		"a bare block":       block(want),
		"a frame":            frame.Bytes(),
		"a block of Hadoop":  join(length(len(want)), part(want)),
		"two blocks":         join(length(half), part(want[:half]), length(len(want)-half), part(want[half:])),
		"a block of 2 parts": join(length(len(want)), part(want[:half]), part(want[half:])),
	} {
		got, err := codecLZ4Hadoop.decompress(b, int64(len(want)))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes of %d, %v", name, len(got), len(want), err)
		}
		for _, bad := range [][]byte{b[:len(b)-1], b[1:], append(bytes.Clone(b), 7), nil} {
			if got, err := codecLZ4Hadoop.decompress(bad, int64(len(want))); err == nil {
				t.Errorf("%s, damaged: %d bytes", name, len(got))
			}
		}
	}
}

// A page that claims more than its body can hold asks for no memory.
func TestCodecsRefuseClaims(t *testing.T) {
	for c := codecSnappy; c <= codecLZ4; c++ {
		if c.supported() != nil {
			continue
		}
		for _, b := range [][]byte{{}, {0}, []byte("no compressed bytes at all"), bytes.Repeat([]byte{0xff}, 100)} {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := c.decompress(b, maxPageBytes)
			runtime.ReadMemStats(&after)
			if n := after.TotalAlloc - before.TotalAlloc; err == nil || n > maxPageBytes/4 {
				t.Errorf("%v: %v, %d bytes allocated", c, err, n)
			}
		}
	}
}
