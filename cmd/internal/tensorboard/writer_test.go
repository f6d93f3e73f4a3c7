package tensorboard

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"resslt/schemas/errs"

	"google.golang.org/protobuf/encoding/protowire"
)

// point is a scalar of a step, as a reader of the files sees it.
type point struct {
	step int64
	tag  string
}

// read does what TensorBoard does with a folder: files in order of name, a START
// event drops what was read of its step and later ones.
func read(t *testing.T, dir string) map[point]float32 {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "events.out.tfevents.*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d event files, %v", len(files), err)
	}
	slices.Sort(files)
	got := map[point]float32{}
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for first := true; len(raw) > 0; first = false {
			n := binary.LittleEndian.Uint64(raw)
			sum(t, raw[:8], raw[8:])
			event := raw[12 : 12+n]
			sum(t, event, raw[12+n:])
			raw = raw[16+n:]

			var step int64
			fields := parse(t, event)
			if v, ok := fields[2]; ok {
				step = int64(v.number)
			}
			if version := string(fields[3].bytes); first != (version == "brain.Event:2") {
				t.Errorf("%s: version %q in the wrong place", f, version)
			}
			if log, ok := fields[7]; ok {
				if parse(t, log.bytes)[1].number != 1 {
					t.Error("a session log that is no START")
				}
				maps.DeleteFunc(got, func(p point, _ float32) bool { return p.step >= step })
			}
			for summary := fields[5].bytes; len(summary) > 0; {
				num, typ, n := protowire.ConsumeTag(summary)
				body, m := protowire.ConsumeBytes(summary[max(n, 0):])
				if num != 1 || typ != protowire.BytesType || n < 0 || m < 0 {
					t.Fatal("a summary that is none")
				}
				summary = summary[n+m:]
				v := parse(t, body)
				got[point{step, string(v[1].bytes)}] = math.Float32frombits(uint32(v[2].number))
			}
		}
	}
	return got
}

func sum(t *testing.T, data, crc []byte) {
	t.Helper()
	c := crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli))
	if want := (c>>15 | c<<17) + 0xa282ead8; binary.LittleEndian.Uint32(crc) != want {
		t.Fatalf("checksum %#x, want %#x", crc[:4], want)
	}
}

type field struct {
	number uint64
	bytes  []byte
}

func parse(t *testing.T, b []byte) map[protowire.Number]field {
	t.Helper()
	out := map[protowire.Number]field{}
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		b = b[n:]
		var f field
		switch typ {
		case protowire.VarintType:
			f.number, n = protowire.ConsumeVarint(b)
		case protowire.Fixed64Type:
			f.number, n = protowire.ConsumeFixed64(b)
		case protowire.Fixed32Type:
			var v uint32
			v, n = protowire.ConsumeFixed32(b)
			f.number = uint64(v)
		case protowire.BytesType:
			f.bytes, n = protowire.ConsumeBytes(b)
		}
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		out[num], b = f, b[n:]
	}
	return out
}

func TestScalarsAndResume(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tb")
	session := func(next int64, steps ...int64) {
		t.Helper()
		w, err := Open(dir, next)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range steps {
			if err := w.Scalars(s, Scalar{"loss/total", float64(s) + float64(next)/100}, Scalar{"schedule/lr", 0.5}); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	session(0, 10, 20, 30)
	session(25, 30, 40) // killed after 30, with a checkpoint of step 24
	got := read(t, dir)
	want := map[point]float32{}
	for step, loss := range map[int64]float32{10: 10, 20: 20, 30: 30.25, 40: 40.25} {
		want[point{step, "loss/total"}], want[point{step, "schedule/lr"}] = loss, 0.5
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
}

func TestUnwritable(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(filepath.Join(file, "tb"), 0); !errors.Is(err, errs.ErrUnavailable) {
		t.Errorf("error %v", err)
	}
}

// TestChecksum holds the sum against the bytes that every file of TensorFlow's
// own writer begins with: a first event of 24 bytes.
func TestChecksum(t *testing.T) {
	const want = 0x224b7fa3 // "\xa3\x7fK\""
	if got := masked(binary.LittleEndian.AppendUint64(nil, 24)); got != want {
		t.Errorf("checksum %#x, want %#x", got, want)
	}
}
