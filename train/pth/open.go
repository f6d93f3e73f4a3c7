package pth

import (
	"archive/zip"
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"resslt/schemas/bounded"
	"resslt/schemas/errs"
	"resslt/schemas/sniff"
	"resslt/train/safetensors"
)

const (
	hintDamaged = "fetch or save the file again"
	hintSave    = "save its state_dict() with torch.save in Python"
	// maxRecords bounds the files of a zip: one a storage, and a few.
	maxRecords = 1 << 18
)

// File is an open checkpoint. The caller closes it.
type File struct {
	path  string
	r     io.ReaderAt
	close func() error
	size  int64
	names []string
	found map[string]tensor
	kept  map[string]extent // storages in the file
	left  int64             // bytes that Read may still make
}

// extent is where a storage's bytes are in the file. crc is their checksum, 0 where there is
// none: in legacy files, and where PyTorch was told to leave it out.
type extent struct {
	off, n int64
	crc    uint32
}

// maxAgain is how many times a file's bytes may be read: views share storages.
const maxAgain = 8

// Is reports whether the file at path is a pickle or PyTorch's archive of one, by its first bytes.
func Is(path string) bool { return sniff.File(path).Pickle }

// Open reads the names, types and shapes of the tensors. Its errors wrap ErrNotFound,
// ErrCorrupt, ErrTooLarge, or ErrUnsupported for what PyTorch writes and is not read here.
func Open(path string) (*File, error) {
	fail := func(hint string, err error) (*File, error) {
		return nil, errs.New("open checkpoint", path, hint, err)
	}
	f, err := bounded.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fail("name an existing file", errs.ErrNotFound)
	}
	if err != nil {
		return fail("make it readable", errs.BecauseErr(errs.ErrNotFound, err))
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return fail("make it readable", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	p, err := parse(f, info.Size())
	if err != nil {
		f.Close()
		if errors.Is(err, errs.ErrCorrupt) {
			return fail(hintDamaged, err)
		}
		return fail(hintSave, err)
	}
	p.path, p.close = path, f.Close
	return p, nil
}

// parse reads everything but the tensors' bytes.
func parse(r io.ReaderAt, size int64) (*File, error) {
	p := &File{r: r, size: size, left: maxAgain * size, found: map[string]tensor{}, kept: map[string]extent{}}
	return p, p.parse()
}

func (p *File) parse() error {
	var head [2]byte
	if _, err := p.r.ReadAt(head[:], 0); err != nil {
		return corrupt("a file of %d bytes", p.size)
	}
	var (
		whole any
		err   error
	)
	if string(head[:]) == "PK" {
		whole, err = p.zip()
	} else {
		whole, err = p.legacy()
	}
	if err != nil {
		return err
	}
	f := finder{found: p.found}
	if err := f.walk("", whole, 0); err != nil {
		return err
	}
	p.names = f.names
	return p.check()
}

// check sees that each tensor's storage is in the file, as long as the tensor needs.
func (p *File) check() error {
	for _, name := range p.names {
		t := p.found[name]
		if t.why != "" {
			continue
		}
		x, ok := p.kept[t.storage.key]
		if !ok {
			return corrupt("the storage of %.80q is missing", name)
		}
		if t.storage.offset+t.storage.numel > x.n/t.storage.size {
			return corrupt("the storage of %.80q has %d bytes", name, x.n)
		}
	}
	return nil
}

// zip reads the form since PyTorch 1.6.
func (p *File) zip() (any, error) {
	if err := countRecords(p.r, p.size); err != nil {
		return nil, err
	}
	z, err := zip.NewReader(p.r, p.size)
	if err != nil {
		return nil, corrupt("no whole zip archive (%v)", err)
	}
	var program *zip.File
	files := map[string]*zip.File{}
	for _, f := range z.File {
		files[f.Name] = f
		if dir, ok := strings.CutSuffix(f.Name, "/data.pkl"); ok && !strings.Contains(dir, "/") {
			program = f
		}
	}
	if program == nil {
		return nil, unsupported("a zip archive without data.pkl: PyTorch did not save it")
	}
	dir := strings.TrimSuffix(program.Name, "data.pkl")
	if files[dir+"constants.pkl"] != nil {
		return nil, unsupported("it is a TorchScript program")
	}
	if f := files[dir+"byteorder"]; f != nil {
		order, err := record(f, 16)
		if err != nil {
			return nil, err
		}
		if string(order) != "little" {
			return nil, unsupported("its byte order is %.10q", order)
		}
	}
	for name, f := range files {
		key, ok := strings.CutPrefix(name, dir+"data/")
		if !ok {
			continue
		}
		off, err := f.DataOffset()
		if err != nil {
			return nil, corrupt("storage %s (%v)", key, err)
		}
		n := int64(f.UncompressedSize64)
		if f.Method != zip.Store {
			return nil, unsupported("storage %s is compressed", key)
		}
		if f.UncompressedSize64 != f.CompressedSize64 || n < 0 || n > p.size || off > p.size-n {
			return nil, corrupt("storage %s is outside the file", key)
		}
		p.kept[key] = extent{off, n, f.CRC32}
	}
	raw, err := record(program, MaxPickle)
	if err != nil {
		return nil, err
	}
	return load(bufio.NewReader(bytes.NewReader(raw)), int64(len(raw)), newStorage)
}

// record reads a small file of the archive; its checksum is compared.
func record(f *zip.File, most int64) ([]byte, error) {
	if f.UncompressedSize64 > uint64(most) {
		return nil, errs.Because(errs.ErrTooLarge, fmt.Sprintf("%s of %d bytes, over %d", f.Name, f.UncompressedSize64, most))
	}
	r, err := f.Open()
	if err != nil {
		return nil, corrupt("%s (%v)", f.Name, err)
	}
	defer r.Close()
	raw, err := io.ReadAll(io.LimitReader(r, most+1))
	if err != nil || int64(len(raw)) > most {
		return nil, corrupt("%s (%v)", f.Name, err)
	}
	return raw, nil
}

// countRecords refuses an archive whose end claims so many files that to list them would take
// more memory than a checkpoint is worth.
func countRecords(r io.ReaderAt, size int64) error {
	tail := make([]byte, min(size, 22+1<<16))
	if _, err := r.ReadAt(tail, size-int64(len(tail))); err != nil {
		return errs.BecauseErr(errs.ErrUnavailable, err)
	}
	end := bytes.LastIndex(tail, []byte("PK\x05\x06"))
	if end < 0 || len(tail)-end < 22 {
		return corrupt("no whole zip archive: its end is missing")
	}
	n := uint64(binary.LittleEndian.Uint16(tail[end+10:]))
	if end >= 20 && string(tail[end-20:end-16]) == "PK\x06\x07" { // of 64 bits
		at := int64(binary.LittleEndian.Uint64(tail[end-12:]))
		var more [40]byte
		if at < 0 || at > size-int64(len(more)) {
			return corrupt("no whole zip archive: its end is elsewhere")
		}
		if _, err := r.ReadAt(more[:], at); err != nil {
			return errs.BecauseErr(errs.ErrUnavailable, err)
		}
		n = max(n&0xFFFE, binary.LittleEndian.Uint64(more[32:]))
	}
	if n > maxRecords {
		return errs.Because(errs.ErrTooLarge, fmt.Sprintf("an archive of %d files, over %d", n, maxRecords))
	}
	return nil
}

// legacyMark is the number that the form before PyTorch 1.6 begins with.
var legacyMark = []byte{0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19}

// legacy reads the form before PyTorch 1.6.
func (p *File) legacy() (any, error) {
	r := bufio.NewReaderSize(io.NewSectionReader(p.r, 0, p.size), 64<<10)
	head, err := r.Peek(14)
	if err != nil || !bytes.Contains(head, legacyMark) {
		return nil, unsupported("a pickle that PyTorch did not save")
	}
	sizes := map[string]storage{}
	of := func(id any) (any, error) {
		v, err := newStorage(id)
		if s, ok := v.(storage); ok {
			sizes[s.key] = s
		}
		return v, err
	}
	counted := &counter{r: r}
	in := bufio.NewReaderSize(counted, 16) // reads no further than a pickle's end but for these
	at := func() int64 { return counted.n - int64(in.Buffered()) }
	var parts [5]any // mark, version of the form, machine, object, keys of the storages
	for i := range parts {
		if parts[i], err = load(in, p.size-at(), of); err != nil {
			return nil, err
		}
	}
	if machine, ok := parts[2].(*dict); ok {
		if little, ok := machine.get("little_endian"); ok && little != true {
			return nil, unsupported("its bytes are in big-endian order")
		}
	}
	keys, ok := parts[4].(*list)
	if !ok {
		return nil, corrupt("no list of storages")
	}
	off := at()
	for _, k := range keys.items {
		key, ok := k.(string)
		s, known := sizes[key]
		var n8 [8]byte
		if _, err := p.r.ReadAt(n8[:], off); !ok || !known || err != nil {
			return nil, corrupt("storage %.20v is missing", k)
		}
		n := int64(binary.LittleEndian.Uint64(n8[:]))
		off += 8
		if n < 0 || n > (p.size-off)/s.size {
			return nil, corrupt("a storage of %d elements is cut off", n)
		}
		p.kept[key] = extent{off, n * s.size, 0}
		off += n * s.size
	}
	return parts[3], nil
}

// counter counts what is read.
type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)
	return n, err
}

// Names lists the tensors in the order in which they were saved, under their keys joined with
// those of the dictionaries around them.
func (p *File) Names() []string { return slices.Clone(p.names) }

// Close closes the file.
func (p *File) Close() error { return p.close() }

// Shape is a tensor's type and sizes; ok is false where there is none of the name, or one that
// is not read here.
func (p *File) Shape(name string) (dtype safetensors.DType, shape []int64, ok bool) {
	t, ok := p.found[name]
	if !ok || t.why != "" {
		return "", nil, false
	}
	return t.storage.dtype, slices.Clone(t.shape), true
}
