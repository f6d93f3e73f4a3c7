package eval

import (
	"encoding/binary"
	"fmt"
	"math"

	"resslt/schemas/errs"
	"resslt/train/safetensors"
	"resslt/train/torch"
)

// Write stores the set in a safetensors file that Read understands: "features" (N,D)
// F32, "labels" (N) I32, and if the set has them "ids" (N) I64 and "targets" (N,C) U8,
// in which 255 stands for −1. meta is the file's metadata.
func (s *Set) Write(path string, meta map[string]string) error {
	x, err := s.rows()
	if err != nil {
		return err
	}
	n := int64(s.Len())
	features := make([]byte, 0, 4*len(x))
	for _, v := range x {
		features = binary.LittleEndian.AppendUint32(features, math.Float32bits(v))
	}
	labels := make([]byte, 0, 4*n)
	for _, l := range s.Labels {
		labels = binary.LittleEndian.AppendUint32(labels, uint32(l))
	}
	tensors := []safetensors.Tensor{
		{Name: "features", DType: safetensors.F32, Shape: []int64{n, int64(s.Dim)}, Data: features},
		{Name: "labels", DType: safetensors.I32, Shape: []int64{n}, Data: labels},
	}
	if s.IDs != nil {
		var ids []byte
		for _, id := range s.IDs {
			ids = binary.LittleEndian.AppendUint64(ids, uint64(id))
		}
		tensors = append(tensors, safetensors.Tensor{Name: "ids", DType: safetensors.I64, Shape: []int64{n}, Data: ids})
	}
	if s.Targets != nil {
		targets := make([]byte, len(s.Targets))
		for i, t := range s.Targets {
			targets[i] = byte(t)
		}
		tensors = append(tensors, safetensors.Tensor{Name: "targets", DType: safetensors.U8, Shape: []int64{n, int64(s.numTargets())}, Data: targets})
	}
	return safetensors.WriteFile(path, tensors, meta)
}

// Read loads a set that Write, or another program, stored in that form. Errors wrap
// errs.ErrNotFound, or ErrCorrupt for a file of another form.
func Read(path string, device torch.Device) (*Set, error) {
	tensors, _, err := safetensors.ReadFile(path)
	if err != nil {
		return nil, err
	}
	byName := map[string]safetensors.Tensor{}
	for _, t := range tensors {
		byName[t.Name] = t
	}
	bad := func(why string) error {
		return errs.New("read features", path, "give features (N,D) F32 and labels (N) I32, as --cache writes them", errs.Because(errs.ErrCorrupt, why))
	}
	x, l := byName["features"], byName["labels"]
	if x.DType != safetensors.F32 || len(x.Shape) != 2 || l.DType != safetensors.I32 || len(l.Shape) != 1 {
		return nil, bad("it has no features or no labels")
	}
	n, d := x.Shape[0], x.Shape[1]
	if l.Shape[0] != n || n < 1 || d < 1 {
		return nil, bad(fmt.Sprintf("features are %v, labels %v", x.Shape, l.Shape))
	}
	s := &Set{Dim: int(d)}
	for i := range n {
		s.Labels = append(s.Labels, int32(binary.LittleEndian.Uint32(l.Data[4*i:])))
	}
	if ids, ok := byName["ids"]; ok {
		if ids.DType != safetensors.I64 || len(ids.Shape) != 1 || ids.Shape[0] != n {
			return nil, bad(fmt.Sprintf("ids are %s%v, features %v", ids.DType, ids.Shape, x.Shape))
		}
		for i := range n {
			s.IDs = append(s.IDs, int64(binary.LittleEndian.Uint64(ids.Data[8*i:])))
		}
	}
	if t, ok := byName["targets"]; ok {
		if t.DType != safetensors.U8 || len(t.Shape) != 2 || t.Shape[0] != n || t.Shape[1] < 1 || t.Shape[1] > maxClasses {
			return nil, bad(fmt.Sprintf("targets are %s%v, features %v", t.DType, t.Shape, x.Shape))
		}
		for _, v := range t.Data {
			if v > 1 && v != 255 {
				return nil, bad(fmt.Sprintf("a target is %d", int8(v)))
			}
			s.Targets = append(s.Targets, int8(v))
		}
	}
	features := make([]float32, n*d)
	for i := range features {
		features[i] = math.Float32frombits(binary.LittleEndian.Uint32(x.Data[4*i:]))
	}
	err = torch.Do(func() error {
		s.X = torch.FromFloat32(features, n, d).To(device, torch.Float32, false).Keep()
		return nil
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}
