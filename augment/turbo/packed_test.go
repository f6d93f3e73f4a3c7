//go:build cgo

package turbo

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"resslt/augment"
	"resslt/schemas"
	"resslt/schemas/errs"
	"resslt/schemas/racetest"
)

// noBones stands in for the part of a pack that pixels do not need.
func noBones([]byte) ([]byte, error) { return []byte("bones"), nil }

// pack packs a JPEG that can be packed.
func pack(tb testing.TB, name string, jpeg []byte) []byte {
	tb.Helper()
	k := NewPacker()
	defer k.Close()
	out, why, err := k.Pack(jpeg, noBones)
	if err != nil || why != "" {
		tb.Fatalf("%s: not packed: %s %v", name, why, err)
	}
	return out
}

// packedPainter is a painter of the engine that reads packed JPEGs.
func packedPainter(tb testing.TB, t tier) augment.Painter {
	tb.Helper()
	p := engine{tier: t, formats: augment.PackedFormats}.NewPainter(augment.DefaultLimits)
	tb.Cleanup(func() { p.Close() })
	return p
}

// packables are all JPEGs of the fixtures that can be packed.
func packables(tb testing.TB) map[string][]byte {
	tb.Helper()
	out := madeJPEGs(tb)
	for name, data := range jpegs(tb) {
		out[name] = data
	}
	for _, name := range []string{"cmyk.jpg", "ycck.jpg"} {
		delete(out, name)
	}
	return out
}

// TestPackedIsTheJPEG: whole pictures and boxes of packs, by every tier, are those that
// libjpeg gives.
func TestPackedIsTheJPEG(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	p := newPainter(t, chosen.tier)
	for name, jpeg := range packables(t) {
		m := whole(t, p, &schemas.Sample{Key: name, Data: jpeg})
		s := &schemas.Sample{Key: name, Data: pack(t, name, jpeg)}
		for _, tier := range tiers() {
			q := packedPainter(t, tier)
			checkPicture(t, fmt.Sprintf("%s by %s", name, tier), whole(t, q, s), m)
			boxes := 100
			if testing.Short() {
				boxes = 15
			}
			for range boxes {
				box := randomBox(rng, m)
				open(t, q, s, box)
				checkTiles(t, q, m, box, name)
			}
		}
	}
}

// checkPicture compares two pictures.
func checkPicture(t *testing.T, name string, got, want *augment.Image) {
	t.Helper()
	if got.W != want.W || got.H != want.H {
		t.Errorf("%s is %d×%d, want %d×%d", name, got.W, got.H, want.W, want.H)
	} else if at := firstDifference(got.Pix, want.Pix); at >= 0 {
		t.Errorf("%s (%d×%d): row %d, column %d, colour %d is %d, libjpeg has %d", name, got.W, got.H, at/3/got.W, at/3%got.W, at%3, got.Pix[at], want.Pix[at])
	}
}

// TestPackedPhotos is the same for real pictures, with their sizes.
func TestPackedPhotos(t *testing.T) {
	racetest.SkipNumbers(t)
	p := newPainter(t, chosen.tier)
	plain, packed, n := 0, 0, 0
	for _, s := range photos(t, 150) {
		k := NewPacker()
		data, why, err := k.Pack(s.Data, noBones)
		k.Close()
		if err != nil {
			t.Fatal(err)
		}
		if why != "" {
			t.Logf("%s stays a JPEG: %s", s.Key, why)
			continue
		}
		plain, packed, n = plain+len(s.Data), packed+len(data), n+1
		m := whole(t, p, s)
		for _, tier := range tiers() {
			checkPicture(t, fmt.Sprintf("%s by %s", s.Key, tier), whole(t, packedPainter(t, tier), &schemas.Sample{Key: s.Key, Data: data}), m)
		}
	}
	t.Logf("%d pictures: %d bytes as JPEG, %d packed: %.3f ×", n, plain, packed, float64(packed)/float64(plain))
}

// BenchmarkPacked is what views of real pictures cost from JPEGs and from packs, by the CPU
// time of the process.
func BenchmarkPacked(b *testing.B) {
	samples := photos(b, 64)
	packs := make([]*schemas.Sample, len(samples))
	for i, s := range samples {
		packs[i] = &schemas.Sample{ID: s.ID, Key: s.Key, Data: pack(b, s.Key, s.Data)}
	}
	for _, preset := range []string{"imagenet", "imagenet-multi"} {
		for _, tier := range tiers() {
			for form, of := range map[string][]*schemas.Sample{"jpeg": samples, "packed": packs} {
				b.Run(preset+"/"+tier.String()+"/"+form, func(b *testing.B) {
					g := newRig(b, engine{tier: tier, formats: augment.PackedFormats}, preset)
					g.Render(of[0], 0)
					began := cpuTime(b)
					for i := range b.N {
						g.Render(of[i%len(of)], int64(i))
					}
					b.ReportMetric(float64(b.N)/(cpuTime(b)-began).Seconds(), "samples/CPU-s")
				})
			}
		}
	}
}

// cpuTime is the CPU time of this process.
func cpuTime(tb testing.TB) time.Duration {
	tb.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// TestPackedViews: whole samples, from pack and from JPEG: the same plans and pixels, and
// nothing allocated for it.
func TestPackedViews(t *testing.T) {
	jpeg := readFile(t, parityFiles+"jpeg420.jpg")
	for _, preset := range []string{"imagenet", "imagenet-multi", "imagenet-strong"} {
		plain := newRig(t, chosen, preset)
		from := newRig(t, augment.PackedEngine(chosen), preset)
		s := &schemas.Sample{ID: 3, Key: "sample", Data: jpeg}
		p := &schemas.Sample{ID: 3, Key: "sample", Data: pack(t, "jpeg420.jpg", jpeg)}
		epochs := int64(10)
		if testing.Short() {
			epochs = 1
		}
		for epoch := range epochs {
			plain.Render(s, epoch)
			from.Render(p, epoch)
			for v := range plain.Pixels {
				if !bytes.Equal(plain.Plans[v], from.Plans[v]) || !bytes.Equal(plain.Pixels[v], from.Pixels[v]) {
					t.Fatalf("%s: view %d of epoch %d differs", preset, v, epoch)
				}
			}
		}
		epoch := int64(0)
		if n := testing.AllocsPerRun(int(10*epochs), func() { epoch++; from.Render(p, epoch) }); n > 0.5 {
			t.Errorf("%s: %.2f allocations a sample", preset, n)
		}
	}
}

// TestPackedNeedsItsEngine: an engine of another version stops the run, which is no fault of
// the sample: nothing takes its place.
func TestPackedNeedsItsEngine(t *testing.T) {
	if got := augment.PackedEngine(augment.DefaultEngine()).Name(); got != "turbo/3" {
		t.Errorf("the engine of packed data is %s", got)
	}
	s := &schemas.Sample{Key: "sample", Data: pack(t, "gray.jpg", readFile(t, parityFiles+"gray.jpg"))}
	for _, name := range augment.EngineNames() {
		e, err := augment.EngineByName(name)
		if err != nil {
			t.Fatal(err)
		}
		if augment.PackedEngine(e).Name() == name {
			continue
		}
		p := e.NewPainter(augment.DefaultLimits)
		_, _, err = p.Open(s)
		var bad *schemas.BadSample
		if !errors.Is(err, errs.ErrMismatch) || errors.As(err, &bad) {
			t.Errorf("%s: %v, want ErrMismatch", name, err)
		}
		p.Close()
	}
}

// TestStaysJPEG: what can't be packed, and why.
func TestStaysJPEG(t *testing.T) {
	jpg := readFile(t, parityFiles+"jpeg444.jpg")
	coarse := bytes.Clone(jpg) // 255 in every quantisation table: sums beyond those of any picture
	for at := bytes.Index(coarse, []byte("\xff\xdb")); at >= 0; {
		n := int(coarse[at+2])<<8 | int(coarse[at+3])
		for i := range n - 3 {
			coarse[at+5+i] = 255
		}
		next := bytes.Index(coarse[at+2:], []byte("\xff\xdb"))
		if next < 0 {
			break
		}
		at += 2 + next
	}
	k := NewPacker()
	defer k.Close()
	for _, c := range []struct {
		name string
		data []byte
		why  string
	}{
		{"CMYK", readFile(t, parityFiles+"cmyk.jpg"), "it is CMYK"},
		{"YCCK", readFile(t, parityFiles+"ycck.jpg"), "it is CMYK"},
		{"cut off", jpg[:len(jpg)-2], "it is damaged"},
		{"half of it", append(bytes.Clone(jpg[:len(jpg)/2]), 0xff, 0xd9), "it is damaged"},
		{"no tables", cut(jpg, 0xdb), "it is damaged"},
		{"scans without end", bomb(t, 120), "it has too many scans"},
		{"coefficients of no picture", coarse, "its coefficients are out of the range of pictures"},
		{"65,500 squared", sized(jpg, 65500, 65500), "it has too many pixels"},
		{"nothing", nil, "it is empty"},
		{"a text", []byte("no picture"), "it is damaged"},
	} {
		pack, why, err := k.Pack(c.data, noBones)
		if err != nil || pack != nil || why != c.why {
			t.Errorf("%s: %d bytes, %q, %v; want %q", c.name, len(pack), why, err, c.why)
		}
	}
	arithmetic := bytes.Clone(jpg)
	arithmetic[bytes.Index(jpg, []byte("\xff\xc0"))+1] = 0xcb
	if _, why, err := k.Pack(arithmetic, noBones); why != "it is of a kind that libjpeg does not read" || err != nil {
		t.Errorf("a JPEG of another kind: %q, %v", why, err)
	}
	// The packer has no past.
	if out, why, err := k.Pack(jpg, noBones); err != nil || why != "" || !bytes.Equal(out, pack(t, "jpeg444.jpg", jpg)) {
		t.Errorf("after refusals: %q, %v", why, err)
	}
	big := func([]byte) ([]byte, error) { return make([]byte, 2*len(jpg)), nil }
	if pack, why, err := k.Pack(jpg, big); pack != nil || why == "" || err != nil {
		t.Errorf("a pack over twice the JPEG's size: %d bytes, %q, %v", len(pack), why, err)
	}
	if _, _, err := k.Pack(jpg, func([]byte) ([]byte, error) { return nil, errs.ErrCorrupt }); !errors.Is(err, errs.ErrCorrupt) {
		t.Errorf("the skeleton's error: %v", err)
	}
}

// TestSame: what Same says of a pack, of one of other pixels, and of damaged bytes.
func TestSame(t *testing.T) {
	k := NewPacker()
	defer k.Close()
	jpg := readFile(t, parityFiles+"jpeg444.jpg")
	data := pack(t, "jpeg444.jpg", jpg)
	if same, err := k.Same(data, jpg); !same || err != nil {
		t.Errorf("a pack and its JPEG: %t, %v", same, err)
	}
	coarser := bytes.Clone(data)
	coarser[28+9]++ // the first step of the first table
	if same, err := k.Same(coarser, jpg); same || err != nil {
		t.Errorf("another table: %t, %v", same, err)
	}
	if same, err := k.Same(pack(t, "gray.jpg", readFile(t, parityFiles+"gray.jpg")), jpg); same || err != nil {
		t.Errorf("another picture: %t, %v", same, err)
	}
	for _, c := range [][2][]byte{{data[:100], jpg}, {data, jpg[:100]}, {data, nil}, {nil, jpg}} {
		if _, err := k.Same(c[0], c[1]); !errors.Is(err, errs.ErrCorrupt) {
			t.Errorf("%d and %d bytes: %v", len(c[0]), len(c[1]), err)
		}
	}
}

// TestRGBIsPacked: a JPEG whose components are red, green and blue.
func TestRGBIsPacked(t *testing.T) {
	jpg := cut(readFile(t, parityFiles+"jpeg444.jpg"), 0xe0) // without JFIF, which means YCbCr
	frame, scan := bytes.Index(jpg, []byte("\xff\xc0")), bytes.Index(jpg, []byte("\xff\xda"))
	for i, id := range []byte("RGB") {
		jpg[frame+10+3*i], jpg[scan+5+2*i] = id, id
	}
	want := whole(t, newPainter(t, chosen.tier), &schemas.Sample{Key: "rgb", Data: jpg})
	data := pack(t, "rgb", jpg)
	if data[9] != 2 {
		t.Fatalf("colour %d", data[9])
	}
	for _, tier := range tiers() {
		checkPicture(t, tier.String(), whole(t, packedPainter(t, tier), &schemas.Sample{Key: "rgb", Data: data}), want)
	}
}

// TestPackedLimits: limits are those of the JPEG, and hold before anything is allocated.
func TestPackedLimits(t *testing.T) {
	jpg := readFile(t, parityFiles+"jpeg420.jpg")
	data := pack(t, "jpeg420.jpg", jpg)
	sizedPack := func(w, h uint16) []byte {
		b := bytes.Clone(data)
		binary.LittleEndian.PutUint16(b[12:], w)
		binary.LittleEndian.PutUint16(b[14:], h)
		return b
	}
	for _, c := range []struct {
		name   string
		data   []byte
		limits augment.Limits
		want   error
	}{
		{"just within", data, augment.Limits{MaxPixels: 1 << 18, MaxBytes: len(jpg), MaxSide: 4096}, nil},
		{"a byte over", data, augment.Limits{MaxPixels: 1 << 18, MaxBytes: len(jpg) - 1, MaxSide: 4096}, errs.ErrTooLarge},
		{"much after it", append(bytes.Clone(data), make([]byte, 2*len(jpg))...), augment.Limits{MaxPixels: 1 << 18, MaxBytes: len(jpg), MaxSide: 4096}, errs.ErrTooLarge},
		{"many pixels", data, augment.Limits{MaxPixels: 100, MaxBytes: len(jpg), MaxSide: 4096}, errs.ErrTooLarge},
		{"a long side", data, augment.Limits{MaxPixels: 1 << 18, MaxBytes: len(jpg), MaxSide: 10}, errs.ErrTooLarge},
		{"a claim of 65,535 squared", sizedPack(65535, 65535), augment.DefaultLimits, errs.ErrCorrupt},
		{"no width", sizedPack(0, 10), augment.DefaultLimits, errs.ErrCorrupt},
	} {
		p := engine{tier: chosen.tier, formats: augment.PackedFormats}.NewPainter(c.limits)
		_, _, err := decodeWhole(p, c.data)
		if !errors.Is(err, c.want) || (c.want == nil) != (err == nil) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		p.Close()
	}
}

// TestPackedCutEverywhere cuts packs at every byte, and adds one: always ErrCorrupt.
func TestPackedCutEverywhere(t *testing.T) {
	p := packedPainter(t, chosen.tier)
	for name, jpeg := range packables(t) {
		data := pack(t, name, jpeg)
		step := 1
		if testing.Short() {
			step = 17
		}
		for at := len(data) + 1; at >= 8; at -= step {
			b := append(bytes.Clone(data), 0)[:at]
			if _, _, err := decodeWhole(p, b); (at == len(data)) != (err == nil) || (err != nil && !errors.Is(err, errs.ErrCorrupt)) {
				t.Fatalf("%s, %d of %d bytes: %v", name, at, len(data), err)
			}
		}
	}
}

// TestPackedFields damages one field after the other.
func TestPackedFields(t *testing.T) {
	data := pack(t, "jpeg420.jpg", readFile(t, parityFiles+"jpeg420.jpg"))
	const parts, tables = 28, 28 + 9
	rows := tables + 2*64
	first := int(binary.LittleEndian.Uint32(data[rows+4:]))
	row := rows + 4*(3*4+1) // 51 pixels high: four rows of MCUs, of two, one and one block rows
	if got := int(binary.LittleEndian.Uint32(data[rows+4*12+4:])); len(data) < row || got < 0 {
		t.Fatal("another layout")
	}
	for _, c := range []struct {
		name string
		at   int
		to   []byte
		want error
	}{
		{"another version", 8, []byte{2}, errs.ErrUnsupported},
		{"an unknown colour space", 9, []byte{3}, errs.ErrCorrupt},
		{"grey of three components", 9, []byte{0}, errs.ErrCorrupt},
		{"two components", 10, []byte{2}, errs.ErrCorrupt},
		{"no component", 10, []byte{0}, errs.ErrCorrupt},
		{"255 components", 10, []byte{255}, errs.ErrCorrupt},
		{"no table", 11, []byte{0}, errs.ErrCorrupt},
		{"four tables", 11, []byte{4}, errs.ErrCorrupt},
		{"wide tables", 11, []byte{0x82}, errs.ErrCorrupt},
		{"more data than bytes", 16, []byte{0xff, 0xff, 0xff, 0xff}, errs.ErrCorrupt},
		{"less data", 16, []byte{0, 0, 0, 0}, errs.ErrCorrupt},
		{"a skeleton of 4 GB", 20, []byte{0xff, 0xff, 0xff, 0xff}, errs.ErrCorrupt},
		{"a JPEG of no bytes", 24, []byte{0, 0, 0, 0}, errs.ErrCorrupt},
		{"no horizontal factor", parts, []byte{0}, errs.ErrCorrupt},
		{"a factor of five", parts, []byte{5}, errs.ErrCorrupt},
		{"no vertical factor", parts + 1, []byte{0}, errs.ErrCorrupt},
		{"factors of 3 and 2", parts, []byte{3, 2, 0, 2}, errs.ErrCorrupt},
		{"a table that is not there", parts + 2, []byte{2}, errs.ErrCorrupt},
		{"a step of zero", tables + 5, []byte{0}, errs.ErrCorrupt},
		{"a first row that begins late", rows, []byte{1}, errs.ErrCorrupt},
		{"a row of no bytes", rows + 4, []byte{0, 0, 0, 0}, errs.ErrCorrupt},
		{"a row that ends before it begins", rows + 8, []byte{0, 0, 0, 0}, errs.ErrCorrupt},
		{"a row behind the data", rows + 4, []byte{0xff, 0xff, 0xff, 0x7f}, errs.ErrCorrupt},
		{"a row of a byte more", rows + 4, binary.LittleEndian.AppendUint32(nil, uint32(first+1)), errs.ErrCorrupt},
		{"masks of fifteen bytes", row, []byte{0xff}, errs.ErrCorrupt},
		{"no masks", row, []byte{0, 0, 0, 0}, errs.ErrCorrupt},
	} {
		for _, tier := range tiers() {
			bad := bytes.Clone(data)
			copy(bad[c.at:], c.to)
			p := packedPainter(t, tier)
			_, _, err := decodeWhole(p, bad)
			var sample *schemas.BadSample
			if !errors.Is(err, c.want) || !errors.As(err, &sample) {
				t.Errorf("%s, %s: %v, want %v of the sample", c.name, tier, err, c.want)
			}
			// The painter is as good as new.
			if _, _, err := decodeWhole(p, data); err != nil {
				t.Errorf("after %s, %s: %v", c.name, tier, err)
			}
		}
	}
}

// packsAgree decodes bytes by every tier: the same view, or the same refusal of the sample.
func packsAgree(painters []augment.Painter, data []byte) error {
	want, wantErr := view(painters[0], data)
	if wantErr != nil && !errors.Is(wantErr, errs.ErrCorrupt) && !errors.Is(wantErr, errs.ErrUnsupported) && !errors.Is(wantErr, errs.ErrTooLarge) {
		return wantErr
	}
	for _, p := range painters[1:] {
		got, err := view(p, data)
		if fmt.Sprint(err) != fmt.Sprint(wantErr) {
			return fmt.Errorf("one tier says %v, another %v", wantErr, err)
		}
		if !bytes.Equal(got, want) {
			return errors.New("two tiers give different pixels")
		}
	}
	return nil
}

func packPainters(tb testing.TB) []augment.Painter {
	tb.Helper()
	var out []augment.Painter
	for _, t := range tiers() {
		p := engine{tier: t, formats: augment.PackedFormats}.NewPainter(smallLimits)
		tb.Cleanup(func() { p.Close() })
		out = append(out, p)
	}
	return out
}

// TestDamagedPacks damages bytes. dctfuzz does so millions of times.
func TestDamagedPacks(t *testing.T) {
	painters := packPainters(t)
	rng := rand.New(rand.NewPCG(7, 8))
	for name, jpeg := range packables(t) {
		data := pack(t, name, jpeg)
		for range 60 {
			b := bytes.Clone(data)
			for range 1 + rng.IntN(4) {
				b[rng.IntN(len(b))] = byte(rng.Uint32())
			}
			if err := packsAgree(painters, b); err != nil {
				t.Fatalf("%s: %v\n%x", name, err, b)
			}
		}
	}
}

// FuzzPacked looks for packs that crash, hang or make tiers differ, and packs the JPEGs that
// it meets.
func FuzzPacked(f *testing.F) {
	for name, jpeg := range packables(f) {
		f.Add(pack(f, name, jpeg))
		f.Add(jpeg)
	}
	painters := packPainters(f)
	k := NewPacker()
	f.Cleanup(func() { k.Close() })
	plain := chosen.NewPainter(smallLimits)
	f.Cleanup(func() { plain.Close() })
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := packsAgree(painters, data); err != nil {
			t.Fatal(err)
		}
		want, err := view(plain, data)
		if err != nil || !bytes.HasPrefix(data, []byte("\xff\xd8\xff")) {
			return
		}
		if pack, _, err := k.Pack(data, noBones); err != nil {
			t.Fatal(err)
		} else if pack != nil {
			if got, err := view(painters[0], pack); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("the pack's pixels are not the JPEG's: %v", err)
			}
		}
	})
}
