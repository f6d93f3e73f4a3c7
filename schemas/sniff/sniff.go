package sniff

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"

	"resslt/schemas/bounded"
	"resslt/schemas/errs"
)

// PackedJPEG begins a packed JPEG (augment/packed), as \x89PNG\r\n begins a PNG.
const PackedJPEG = "\x89RDCT\r\n\x1a"

// MostPacked is the most bytes that the pack of a JPEG may have. What would be larger stays a
// JPEG, so that a limit for the files of a data set means the same, packed or not.
func MostPacked(jpeg int64) int64 { return 2*jpeg + 1024 }

// HeadBytes is how much of a file What wants to see.
const HeadBytes = 1024

// Instead returns an error of an opener whose file is something else than it wants, nil where
// File does not know better than the opener. want is a noun phrase, hint what to do
// where the kind has no advice of its own. It wraps ErrUnsupported, and for files of no bytes ErrCorrupt.
func Instead(op, path, want, hint string) error {
	k := File(path)
	if k.Name == "" || k.Name == want {
		return nil
	}
	if k.Hint != "" {
		hint = k.Hint
	}
	sentinel := errs.ErrUnsupported
	if k.bare {
		sentinel = errs.ErrCorrupt
	}
	return errs.New(op, path, hint, errs.Because(sentinel, "it is "+k.Name+", not "+want))
}

// Kind is what a file is.
type Kind struct {
	Name string // a noun phrase; "" where the bytes are of no kind that is known here
	Hint string // an imperative; "" where the reader of the file knows better
	// Codec and Unpack are of compressed data: "gzip", and the command that writes the data to
	// its output, "gzip -dc".
	Codec, Unpack string
	Picture       bool // in a format that is decoded here
	Pickle        bool // PyTorch's, or another of Python's
	bare          bool // there is nothing in it
}

// What says what the file is that begins with these bytes, HeadBytes of them or all that
// there are.
func What(head []byte) Kind {
	if len(head) == 0 {
		return Kind{Name: "an empty file", Hint: "fetch it again: nothing of it came", bare: true}
	}
	for _, k := range kinds {
		if k.is(head) {
			return k.Kind
		}
	}
	if zeros := bytes.Count(head, []byte{0}); zeros == len(head) && zeros >= 512 {
		return Kind{Name: "a file of zeros", Hint: "fetch it again: its bytes were never written", bare: true}
	}
	return Kind{}
}

// Irregular says what is at a path that is no regular file, a folder or a pipe, which one
// might wait for ever to open; no Kind where it is a regular file or nothing.
func Irregular(path string) Kind {
	info, err := os.Stat(path)
	switch {
	case err != nil || info.Mode().IsRegular():
		return Kind{}
	case info.IsDir():
		return Kind{Name: "a folder", Hint: "name a file in it"}
	}
	return Kind{Name: "no regular file but a pipe, socket or device", Hint: "name a file"}
}

// File says what the file at a path is; no Kind where that cannot be seen.
func File(path string) Kind {
	if k := Irregular(path); k.Name != "" {
		return k
	}
	f, err := bounded.Open(path)
	if err != nil {
		return Kind{}
	}
	defer f.Close()
	head := make([]byte, HeadBytes)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return Kind{}
	}
	return What(head[:n])
}

// known is a kind with its mark.
type known struct {
	is func(head []byte) bool
	Kind
}

// starts is a mark at the beginning.
func starts(marks ...string) func([]byte) bool {
	return func(head []byte) bool {
		for _, m := range marks {
			if bytes.HasPrefix(head, []byte(m)) {
				return true
			}
		}
		return false
	}
}

// at is a mark at an offset.
func at(offset int, mark string) func([]byte) bool {
	return func(head []byte) bool {
		return len(head) >= offset+len(mark) && string(head[offset:offset+len(mark)]) == mark
	}
}

var page = regexp.MustCompile(`(?i)^\x{feff}?\s*(<!doctype html|<html|<head|<!--|<body)`)

// kinds are those that are told apart, the more special before the more general.
var kinds = []known{
	{safetensors, Kind{Name: "a safetensors file"}}, // its first bytes are a length, and may be any other's mark
	{starts("version https://git-lfs.github.com/spec/"), Kind{Name: "a Git LFS pointer, not the file itself", Hint: "fetch the file with `git lfs pull`"}},
	{page.Match, Kind{Name: "an HTML page", Hint: "download the file itself: a web server sent a page in its place, for a login or an error"}},
	{func(b []byte) bool {
		t := bytes.TrimSpace(b)
		return bytes.HasPrefix(t, []byte("<?xml")) && bytes.Contains(t, []byte("<Error>"))
	}, Kind{Name: "an object store's error message", Hint: "read it, and download the file itself"}},
	{torchZip, Kind{Name: "a PyTorch checkpoint", Pickle: true, Hint: "convert it with `resslt convert FILE ENCODER.safetensors`"}},
	// A pickle of protocol 2 to 5: torch.save before PyTorch 1.6, and NumPy's and plain ones.
	{
		func(b []byte) bool { return len(b) > 2 && b[0] == 0x80 && b[1] >= 2 && b[1] <= 5 },
		Kind{Name: "a Python pickle, such as an old PyTorch checkpoint", Pickle: true, Hint: "convert it with `resslt convert FILE ENCODER.safetensors`"},
	},
	{starts("PK\x03\x04", "PK\x05\x06"), Kind{Name: "a zip archive", Hint: "unpack it with unzip"}},
	{starts("\x1f\x8b"), Kind{Name: "a gzip file", Hint: "unpack it with gunzip", Codec: "gzip", Unpack: "gzip -dc"}},
	{starts("\x28\xb5\x2f\xfd"), Kind{Name: "a zstd file", Hint: "unpack it with unzstd", Codec: "Zstandard", Unpack: "zstd -dc"}},
	{starts("\xfd7zXZ\x00"), Kind{Name: "an xz file", Hint: "unpack it with unxz", Codec: "xz", Unpack: "xz -dc"}},
	{starts("BZh"), Kind{Name: "a bzip2 file", Hint: "unpack it with bunzip2", Codec: "bzip2", Unpack: "bzip2 -dc"}},
	{starts("\x04\x22\x4d\x18"), Kind{Name: "an LZ4 file", Hint: "unpack it with unlz4", Codec: "LZ4", Unpack: "lz4 -dc"}},
	{starts("\x1f\x9d"), Kind{Name: "a compress (.Z) file", Hint: "unpack it with uncompress", Codec: "compress", Unpack: "uncompress -c"}},
	{starts("7z\xbc\xaf\x27\x1c"), Kind{Name: "a 7z archive", Hint: "unpack it with 7z x"}},
	{starts(PackedJPEG), Kind{Name: "a packed JPEG", Hint: "unpack its shards with `resslt shards unpack`"}},
	{at(257, "ustar"), Kind{Name: "a tar archive", Hint: "unpack it with tar -xf, or name it as wds:FILE where it holds images"}},
	{starts("PAR1"), Kind{Name: "a Parquet file", Hint: "name it as parquet:FILE where it holds images"}},
	{starts("ARROW1\x00\x00"), Kind{Name: "an Arrow file"}},
	{starts("\x93NUMPY"), Kind{Name: "a NumPy array"}},
	{starts("\x89HDF\r\n\x1a\n"), Kind{Name: "an HDF5 file, such as Keras's weights"}},
	{starts("GGUF"), Kind{Name: "a GGUF file"}},
	{starts("\xff\xd8\xff"), Kind{Name: "a JPEG image", Picture: true}},
	{starts("\x89PNG\r\n\x1a\n"), Kind{Name: "a PNG image", Picture: true}},
	{starts("GIF87a", "GIF89a"), Kind{Name: "a GIF image", Picture: true}},
	{starts("II*\x00", "MM\x00*"), Kind{Name: "a TIFF image", Picture: true}},
	{func(b []byte) bool { return starts("RIFF")(b) && at(8, "WEBP")(b) }, Kind{Name: "a WebP image", Picture: true}},
	{bmp, Kind{Name: "a BMP image", Picture: true}},
	{pnm.Match, Kind{Name: "a PBM, PGM or PPM image", Picture: true}},
	{func(b []byte) bool { return at(4, "ftypavif")(b) || at(4, "ftypavis")(b) }, Kind{Name: "an AVIF image"}},
	{func(b []byte) bool { return at(4, "ftyphei")(b) || at(4, "ftypmif1")(b) }, Kind{Name: "a HEIC image"}},
	{starts("%PDF-"), Kind{Name: "a PDF document"}},
	{starts("\x7fELF"), Kind{Name: "a program"}},
	{text('{', '['), Kind{Name: "JSON text"}},
}

// bmp is a BMP's header, behind which is the size of the next, of one of its versions.
func bmp(head []byte) bool {
	return len(head) >= 18 && starts("BM")(head) && slices.Contains([]uint32{12, 16, 40, 52, 56, 64, 108, 124}, binary.LittleEndian.Uint32(head[14:]))
}

// pnm is Netpbm's mark before its width.
var pnm = regexp.MustCompile(`^P[1-6][ \t\r\n]+[0-9#]`)

// torchZip is the zip that torch.save writes since PyTorch 1.6: its first member is
// NAME/data.pkl, or NAME/.format_version or .data of newer ones, or a storage of TorchScript's.
func torchZip(head []byte) bool {
	if !starts("PK\x03\x04")(head) || len(head) < 30 {
		return false
	}
	n := int(head[26]) | int(head[27])<<8
	name := string(head[30:min(len(head), 30+n)])
	for _, end := range []string{"/data.pkl", "/.format_version", "/.data/serialization_id", "/version", "/byteorder", "/data/0"} {
		if strings.HasSuffix(name, end) {
			return true
		}
	}
	return false
}

// safetensors is a JSON header behind its length.
func safetensors(head []byte) bool {
	return len(head) > 9 && head[8] == '{' && binary.LittleEndian.Uint64(head) <= 1<<32
}

// text is UTF-8 text that begins with one of the marks.
func text(marks ...byte) func([]byte) bool {
	return func(head []byte) bool {
		t := bytes.TrimSpace(head)
		return len(t) > 0 && bytes.IndexByte(marks, t[0]) >= 0 && bytes.IndexByte(head, 0) < 0
	}
}
