package safetensors

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"

	"resslt/schemas/durable"
	"resslt/schemas/errs"
)

// WriteFile writes tensors and metadata to path and replaces the file there atomically:
// even after a crash a reader sees the old file or the new one. It returns an
// *errs.Error that wraps ErrUsage (a bad tensor) or ErrUnavailable (the disk).
func WriteFile(path string, tensors []Tensor, metadata map[string]string) error {
	return durable.Replace(path, func(w io.Writer) error { return Write(w, tensors, metadata) })
}

// Write writes a safetensors file to w, tensors in order of name.
func Write(w io.Writer, tensors []Tensor, metadata map[string]string) error {
	tensors = sorted(tensors)
	var head bytes.Buffer
	head.WriteByte('{')
	if len(metadata) > 0 {
		m, err := json.Marshal(metadata) // sorts its keys
		if err != nil {
			return err
		}
		head.WriteString(`"__metadata__":`)
		head.Write(m)
	}
	var at int64
	for i, t := range tensors {
		n, ok := byteLen(t.DType, t.Shape)
		if !ok || n != int64(len(t.Data)) {
			return errs.New("write tensor", t.Name, "give as many bytes as its shape holds", errs.Because(errs.ErrUsage,
				fmt.Sprintf("%s%v is %d bytes, not %d", t.DType, t.Shape, n, len(t.Data))))
		}
		if i > 0 && tensors[i-1].Name == t.Name {
			return errs.New("write tensor", t.Name, "give every tensor a different name", errs.ErrUsage)
		}
		shape := t.Shape
		if shape == nil {
			shape = []int64{} // a scalar is [], not null
		}
		e, err := json.Marshal(map[string]any{"dtype": t.DType, "shape": shape, "data_offsets": [2]int64{at, at + n}})
		if err != nil {
			return err
		}
		name, err := json.Marshal(t.Name)
		if err != nil {
			return err
		}
		if head.Len() > 1 {
			head.WriteByte(',')
		}
		head.Write(name)
		head.WriteByte(':')
		head.Write(e)
		at += n
	}
	head.WriteByte('}')
	for head.Len()%8 != 0 { // the format asks for data aligned to 8 bytes
		head.WriteByte(' ')
	}
	var n8 [8]byte
	binary.LittleEndian.PutUint64(n8[:], uint64(head.Len()))
	for _, b := range [][]byte{n8[:], head.Bytes()} {
		if _, err := w.Write(b); err != nil {
			return err
		}
	}
	for _, t := range tensors {
		if _, err := w.Write(t.Data); err != nil {
			return err
		}
	}
	return nil
}
