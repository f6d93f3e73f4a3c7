package wandb

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"resslt/schemas/errs"
)

func readLog(t *testing.T, path string) (records [][]byte) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := scan(f, func(r []byte) bool { records = append(records, bytes.Clone(r)); return true }); err != nil {
		t.Fatal(err)
	}
	return records
}

// TestGoldenFrame holds a file against bytes that W&B's client wrote (DataStore.open_for_write,
// then b"golden"; wandb 0.19.11).
func TestGoldenFrame(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run.wandb")
	l, err := create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(l.write([]byte("golden")), l.close()); err != nil {
		t.Fatal(err)
	}
	const want = "3a572642e1be00" + "4ef326b9060001676f6c64656e"
	if raw, err := os.ReadFile(path); err != nil || hex.EncodeToString(raw) != want {
		t.Errorf("%x, %v; want %s", raw, err, want)
	}
}

// Records of every length around a block's end come back, also where a fragment's header just
// fits, or does not.
func TestBlocks(t *testing.T) {
	for left := range 20 { // bytes of the block that the first record leaves
		path := filepath.Join(t.TempDir(), "run.wandb")
		l, err := create(path)
		if err != nil {
			t.Fatal(err)
		}
		lengths := []int{blockBytes - len(fileHeader) - fragmentBytes - left, 1, 3*blockBytes + left, 0, 5}
		var want [][]byte
		for i, n := range lengths {
			want = append(want, bytes.Repeat([]byte{byte('a' + i)}, n))
		}
		if err := errors.Join(l.write(want[:2]...), l.write(want[2:]...), l.close()); err != nil {
			t.Fatal(err)
		}
		got := readLog(t, path)
		if len(got) != len(want) {
			t.Fatalf("%d bytes left: %d records, want %d", left, len(got), len(want))
		}
		for i := range want {
			if !bytes.Equal(got[i], want[i]) {
				t.Errorf("%d bytes left: record %d has %d bytes, want %d", left, i, len(got[i]), len(want[i]))
			}
		}
	}
}

// Whatever a killed process left of its last record is cut off, and what comes then is read.
func TestTornRecord(t *testing.T) {
	whole := filepath.Join(t.TempDir(), "run.wandb")
	l, err := create(whole)
	if err != nil {
		t.Fatal(err)
	}
	long := bytes.Repeat([]byte("x"), blockBytes+100)
	if err := l.write([]byte("first")); err != nil {
		t.Fatal(err)
	}
	from := l.size
	if err := errors.Join(l.write(long), l.close()); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	for _, end := range []int64{from, from + 1, from + fragmentBytes, from + fragmentBytes + 1, blockBytes - 1, blockBytes, blockBytes + 3, int64(len(raw)) - 1} {
		path := filepath.Join(t.TempDir(), "run.wandb")
		if err := os.WriteFile(path, raw[:end], 0o644); err != nil {
			t.Fatal(err)
		}
		l, err := open(path, func([]byte) bool { return true })
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(l.write([]byte("next")), l.close()); err != nil {
			t.Fatal(err)
		}
		if got := readLog(t, path); len(got) != 2 || string(got[0]) != "first" || string(got[1]) != "next" {
			t.Errorf("cut at %d: %d records", end, len(got))
		}
	}
	flipped := bytes.Clone(raw)
	flipped[from+fragmentBytes+2] ^= 1
	path := filepath.Join(t.TempDir(), "run.wandb")
	if err := os.WriteFile(path, flipped, 0o644); err != nil {
		t.Fatal(err)
	}
	if got := readLog(t, path); len(got) != 1 {
		t.Errorf("with a flipped bit: %d records", len(got))
	}
	if _, err := open(os.Args[0], nil); !errors.Is(err, errs.ErrUnavailable) {
		t.Errorf("a file that is none: %v", err)
	}
}
