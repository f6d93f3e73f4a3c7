package ingest

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"resslt/schemas"
	"resslt/schemas/bounded/boundedtest"
	"resslt/schemas/errs"
)

func scan(b []byte) (*columns, [sha256.Size]byte, error) {
	return scanTar(bytes.NewReader(b), int64(len(b)), wdsFields{})
}

func TestScanTarFaults(t *testing.T) {
	img := bytes.Repeat([]byte{7}, 1000)
	good := tarBytes(t, tarFile{"1.jpg", img}, tarFile{"2.jpg", img}) // 512+1024, twice, and 1024 of zeros
	// The size field of a header is octal at 124, its check sum at 148.
	claim := func(size int64) []byte {
		b := bytes.Clone(good)
		h := b[1536 : 1536+tarBlock]
		copy(h[124:136], fmt.Sprintf("%011o\x00", size))
		copy(h[148:156], "        ")
		sum := 0
		for _, c := range h {
			sum += int(c)
		}
		copy(h[148:156], fmt.Sprintf("%06o\x00 ", sum))
		return b
	}
	spoilt := bytes.Clone(good)
	spoilt[1536+3] ^= 1
	for _, c := range []struct {
		name   string
		b      []byte
		offset int64
		says   string
	}{
		{"empty", nil, 0, "truncated"},
		{"no tar", []byte(strings.Repeat("plain text ", 100)), 0, "bad tar header"},
		{"cut in a member", good[:1000], 0, "truncated"},
		{"cut in the padding", good[:1530], 0, "truncated"},
		{"cut at a member's end", good[:1536], 1536, "no end-of-archive"},
		{"cut in a header", good[:1600], 1536, "truncated"},
		{"header with a flipped bit", spoilt, 1536, "bad tar header"},
		{"size of 8 GiB", claim(1<<33 - 1), 1536, "claims 8589934591 bytes"},
		{"size a block too large", claim(1000 + 1024 + 512), 1536, "claims"},
		{"two archives", append(bytes.Clone(good), good...), int64(len(good)), "data after the end"},
		{"a member twice", tarBytes(t, tarFile{"1.jpg", img}, tarFile{"1.jpg", img}), 1536, "second member"},
		{"label below -1", tarBytes(t, tarFile{"1.jpg", img}, tarFile{"1.cls", []byte("-2")}), 1536, "no class"},
		{"label of 1 kB", tarBytes(t, tarFile{"1.jpg", img}, tarFile{"1.cls", img}), 1536, "1000 bytes are no class"},
		{"half a label", tarBytes(t, tarFile{"1.jpg", img}, tarFile{"1.cls", []byte("3.5")}), 1536, "no class"},
		{"huge label", tarBytes(t, tarFile{"1.jpg", img}, tarFile{"1.cls", []byte("4294967296")}), 1536, "no class"},
		{"empty label", tarBytes(t, tarFile{"1.jpg", img}, tarFile{"1.cls", nil}), 1536, "no class"},
		{"binary label", tarBytes(t, tarFile{"1.jpg", img}, tarFile{"1.cls", []byte{3, 0, 0, 0}}), 1536, "no class"},
		{"label twice", tarBytes(t, tarFile{"1.jpg", img}, tarFile{"1.cls", []byte("3")}, tarFile{"1.CLS", []byte("3")}), 2560, "second label"},
	} {
		_, _, err := scan(c.b)
		var te *tarError
		if !errors.As(err, &te) || te.offset != c.offset || !strings.Contains(te.why, c.says) {
			t.Errorf("%s: %v; want %q at offset %d", c.name, err, c.says, c.offset)
		}
	}
	// As a shard, the error names the file and the offset.
	path := filepath.Join(t.TempDir(), "s.tar")
	if err := os.WriteFile(path, good[:1000], 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := Open(context.Background(), "wds:"+path, Options{CacheDir: t.TempDir()})
	if !errors.Is(err, errs.ErrCorrupt) || !strings.Contains(err.Error(), "s.tar") || !strings.Contains(err.Error(), "offset 0") {
		t.Errorf("truncated shard: %v", err)
	}
	checkOneLine(t, err)
}

// Names of all lengths, in the three tar dialects, with folders and links between.
func TestScanTarDialects(t *testing.T) {
	img := jpegBytes(t, 5, 5)
	long := strings.Repeat("long/", 40) + strings.Repeat("n", 90) + ".v2.jpg"
	for _, format := range []tar.Format{tar.FormatPAX, tar.FormatGNU} {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		write := func(h tar.Header, data []byte) {
			h.Format, h.Mode, h.Size = format, 0o644, int64(len(data))
			if err := w.WriteHeader(&h); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write(data); err != nil {
				t.Fatal(err)
			}
		}
		if format == tar.FormatPAX {
			if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"comment": "c"}}); err != nil {
				t.Fatal(err)
			}
		}
		write(tar.Header{Typeflag: tar.TypeDir, Name: "d/"}, nil)
		write(tar.Header{Typeflag: tar.TypeReg, Name: "d/Äpfel.JPEG"}, img)
		write(tar.Header{Typeflag: tar.TypeSymlink, Name: "d/link.jpg", Linkname: "../else.jpg"}, nil)
		write(tar.Header{Typeflag: tar.TypeReg, Name: long}, img) // first dot of the base name: ".v2.jpg" is no image extension
		write(tar.Header{Typeflag: tar.TypeReg, Name: strings.Replace(long, ".v2", "", 1)}, img)
		write(tar.Header{Typeflag: tar.TypeReg, Name: ".hidden.jpg"}, img)
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		c, sum, err := scan(b.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if want := sha256.Sum256(b.Bytes()); sum != want {
			t.Errorf("%v: hash %s of a file with %s", format, hexSum(sum), hex.EncodeToString(want[:]))
		}
		if len(c.nameEnd) != 2 || c.name(0) != "d/Äpfel.JPEG" || c.name(1) != strings.Replace(long, ".v2", "", 1) {
			t.Fatalf("%v: %d samples, names %q", format, len(c.nameEnd), c.names)
		}
		for i, off := range c.offsets {
			if got := b.Bytes()[off : off+int64(c.sizes[i])]; !bytes.Equal(got, img) {
				t.Errorf("%v: sample %d does not lie at %d", format, i, off)
			}
		}
	}
}

func FuzzScanTar(f *testing.F) {
	f.Add(tarBytes(f, tarFile{"1.jpg", []byte("image")}, tarFile{"1.cls", []byte("3")}))
	f.Add(tarBytes(f, tarFile{strings.Repeat("x", 200) + ".png", make([]byte, 600)}))
	f.Add(make([]byte, 1024))
	for _, c := range groupCases {
		f.Add(linkedTar(f, tar.FormatPAX, c.members...))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		boundedtest.Allocates(t, 8<<20, 500, len(b), func() {
			c, sum, err := scan(b)
			if err != nil {
				return
			}
			if sum != sha256.Sum256(b) {
				t.Fatal("hash of other bytes")
			}
			if len(c.sizes) != len(c.nameEnd) || len(c.labels) != len(c.nameEnd) || len(c.offsets) != len(c.nameEnd) {
				t.Fatal("columns of different lengths")
			}
			for i, l := range c.labels {
				if l < schemas.NoLabel || c.classes != nil && int(l) >= len(c.classes) {
					t.Fatalf("sample %d has label %d of %q", i, l, c.classes)
				}
			}
			for i, off := range c.offsets {
				if off < tarBlock || off+int64(c.sizes[i]) > int64(len(b)) {
					t.Fatalf("sample %d lies at %d, %d bytes, in a file of %d", i, off, c.sizes[i], len(b))
				}
			}
		})
	})
}
