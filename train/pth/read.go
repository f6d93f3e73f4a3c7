package pth

import (
	"fmt"
	"hash/crc32"
	"io"
	"slices"

	"resslt/schemas/errs"
	"resslt/train/safetensors"
)

// Read returns the tensors whose names keep accepts (nil: all), in the order of Names,
// row-major and little-endian whatever their strides were. Its errors wrap ErrUnsupported for
// a tensor of a kind that is not read here, ErrCorrupt, or ErrTooLarge for a file whose
// tensors are many times its size.
func (p *File) Read(keep func(name string) bool) ([]safetensors.Tensor, error) {
	var out []safetensors.Tensor
	for _, name := range p.names {
		if keep != nil && !keep(name) {
			continue
		}
		t := p.found[name]
		data, err := p.read(&t)
		if err != nil {
			hint := hintDamaged
			if t.why != "" {
				hint = "convert it in Python: state[name].contiguous().float()"
			}
			return nil, errs.New("read tensor "+fmt.Sprintf("%.120q", name)+" of", p.path, hint, err)
		}
		out = append(out, safetensors.Tensor{Name: name, DType: t.storage.dtype, Shape: slices.Clone(t.shape), Data: data})
	}
	return out, nil
}

// read gives a tensor's bytes.
func (p *File) read(t *tensor) ([]byte, error) {
	if t.why != "" {
		return nil, unsupported("it %s", t.why)
	}
	size, n := t.storage.size, t.numel()
	if n == 0 {
		return []byte{}, nil
	}
	last, _ := t.last() // checked
	span := (last - t.offset + 1) * size
	if p.left -= span + n*size; p.left < 0 {
		return nil, errs.Because(errs.ErrTooLarge, fmt.Sprintf("its tensors share storages %d times over", maxAgain))
	}
	if err := p.sum(t.storage.key); err != nil {
		return nil, err
	}
	raw := make([]byte, span)
	at := p.kept[t.storage.key].off + (t.storage.offset+t.offset)*size
	if _, err := io.ReadFull(io.NewSectionReader(p.r, at, span), raw); err != nil {
		return nil, errs.BecauseErr(errs.ErrCorrupt, err)
	}
	if t.rowMajor() {
		return raw, nil
	}
	out := make([]byte, 0, n*size)
	index, from := make([]int64, len(t.shape)), int64(0)
	for range n {
		out = append(out, raw[from*size:(from+1)*size]...)
		for d := len(index) - 1; d >= 0; d-- { // the last dimension runs fastest
			index[d]++
			from += t.stride[d]
			if index[d] < t.shape[d] {
				break
			}
			from -= index[d] * t.stride[d]
			index[d] = 0
		}
	}
	return out, nil
}

// sum compares a storage with its checksum, once.
func (p *File) sum(key string) error {
	x := p.kept[key]
	if x.crc == 0 {
		return nil
	}
	h := crc32.NewIEEE()
	if _, err := io.Copy(h, io.NewSectionReader(p.r, x.off, x.n)); err != nil {
		return errs.BecauseErr(errs.ErrUnavailable, err)
	}
	if got := h.Sum32(); got != x.crc {
		return corrupt("its bytes have the checksum %08x, not %08x", got, x.crc)
	}
	x.crc = 0
	p.kept[key] = x
	return nil
}

// rowMajor reports whether the elements follow one another without gaps.
func (t *tensor) rowMajor() bool {
	want := int64(1)
	for d := len(t.shape) - 1; d >= 0; d-- {
		if t.shape[d] != 1 && t.stride[d] != want {
			return false
		}
		want *= t.shape[d]
	}
	return true
}
