package safetensors

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"resslt/schemas/bounded"
	"resslt/schemas/errs"
)

// maxHeader is the format's own cap on N.
const maxHeader = 100 << 20

const hintDamaged = "restore the file or use another checkpoint"

// File is an open safetensors file: names, types and shapes are in memory, the tensors'
// bytes are read on demand. The caller closes it.
type File struct {
	Metadata map[string]string
	path     string
	f        *os.File
	data     int64 // offset of the tensors' bytes
	entries  []entry
}

type entry struct {
	name  string
	dtype DType
	shape []int64
	lo    int64
	hi    int64
}

// Open reads the header. It returns an *errs.Error that wraps ErrNotFound or
// ErrCorrupt.
func Open(path string) (*File, error) {
	f, err := bounded.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errs.New("open checkpoint", path, "name an existing .safetensors file", errs.ErrNotFound)
	}
	if err != nil {
		return nil, errs.New("open checkpoint", path, "make it readable", errs.BecauseErr(errs.ErrNotFound, err))
	}
	s := &File{path: path, f: f}
	if err := s.readHeader(); err != nil {
		f.Close()
		return nil, errs.New("open checkpoint", path, hintDamaged, errs.BecauseErr(errs.ErrCorrupt, err))
	}
	return s, nil
}

func (s *File) readHeader() error {
	info, err := s.f.Stat()
	if err != nil {
		return err
	}
	size := info.Size()
	var n8 [8]byte
	if _, err := s.f.ReadAt(n8[:], 0); err != nil {
		return fmt.Errorf("%d bytes are too few for a safetensors file", size)
	}
	n := binary.LittleEndian.Uint64(n8[:])
	if n < 2 || n > maxHeader || int64(n) > size-8 {
		return fmt.Errorf("header of %d bytes in a file of %d", n, size)
	}
	s.data = 8 + int64(n)
	raw := make([]byte, n)
	if _, err := s.f.ReadAt(raw, 8); err != nil {
		return err
	}
	return s.parseHeader(raw, size-s.data)
}

func (s *File) parseHeader(raw []byte, dataLen int64) error {
	var fields map[string]json.RawMessage
	if err := bounded.JSON(raw, &fields); err != nil {
		return fmt.Errorf("header: %w", err)
	}
	for name, v := range fields {
		if name == "__metadata__" {
			if err := json.Unmarshal(v, &s.Metadata); err != nil {
				return fmt.Errorf("__metadata__: %w", err)
			}
			continue
		}
		var e struct {
			DType   DType    `json:"dtype"`
			Shape   []int64  `json:"shape"`
			Offsets [2]int64 `json:"data_offsets"`
		}
		if err := json.Unmarshal(v, &e); err != nil {
			return fmt.Errorf("tensor %q: %w", name, err)
		}
		want, ok := byteLen(e.DType, e.Shape)
		if !ok {
			return fmt.Errorf("tensor %q has dtype %q and shape %v", name, e.DType, e.Shape)
		}
		lo, hi := e.Offsets[0], e.Offsets[1]
		if lo < 0 || hi < lo || hi > dataLen || hi-lo != want {
			return fmt.Errorf("tensor %q of %d bytes is at [%d,%d) of %d", name, want, lo, hi, dataLen)
		}
		s.entries = append(s.entries, entry{name, e.DType, e.Shape, lo, hi})
	}
	// By offset, then by name: empty tensors share an offset.
	slices.SortFunc(s.entries, func(a, b entry) int {
		switch {
		case a.lo != b.lo:
			return int(min(max(a.lo-b.lo, -1), 1))
		case a.hi != b.hi:
			return int(min(max(a.hi-b.hi, -1), 1))
		}
		return strings.Compare(a.name, b.name)
	})
	var at int64
	for _, e := range s.entries {
		if e.lo != at {
			return fmt.Errorf("tensor %q begins at %d, want %d", e.name, e.lo, at)
		}
		at = e.hi
	}
	if at != dataLen {
		return fmt.Errorf("tensors end at %d of %d bytes", at, dataLen)
	}
	return nil
}

// Names lists the tensors in file order.
func (s *File) Names() []string {
	names := make([]string, len(s.entries))
	for i, e := range s.entries {
		names[i] = e.name
	}
	return names
}

// Read returns the tensors whose names keep accepts (nil: all), in file order.
func (s *File) Read(keep func(name string) bool) ([]Tensor, error) {
	var out []Tensor
	for _, e := range s.entries {
		if keep != nil && !keep(e.name) {
			continue
		}
		data := make([]byte, e.hi-e.lo)
		if _, err := io.ReadFull(io.NewSectionReader(s.f, s.data+e.lo, e.hi-e.lo), data); err != nil {
			return nil, errs.New("read tensor "+e.name+" of", s.path, hintDamaged, errs.BecauseErr(errs.ErrCorrupt, err))
		}
		out = append(out, Tensor{Name: e.name, DType: e.dtype, Shape: slices.Clone(e.shape), Data: data})
	}
	return out, nil
}

// Close closes the file.
func (s *File) Close() error { return s.f.Close() }

// ReadFile reads a whole file.
func ReadFile(path string) ([]Tensor, map[string]string, error) {
	s, err := Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer s.Close()
	t, err := s.Read(nil)
	return t, s.Metadata, err
}
