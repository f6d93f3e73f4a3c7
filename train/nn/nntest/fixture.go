package nntest

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"path/filepath"
	"testing"

	"resslt/train/safetensors"
	"resslt/train/torch/torchtest"
)

// Fixture is a safetensors file in train/testdata/parity.
type Fixture struct {
	t       testing.TB
	name    string
	tensors map[string]safetensors.Tensor
	meta    string
}

// File is the path of a file in train/testdata/parity.
func File(t testing.TB, name string) string {
	t.Helper()
	root := torchtest.ModuleRoot()
	if root == "" {
		t.Fatal("no go.mod above the test's folder")
	}
	return filepath.Join(root, "train", "testdata", "parity", name)
}

// Load reads the fixture called name.
func Load(t testing.TB, name string) *Fixture {
	t.Helper()
	tensors, meta, err := safetensors.ReadFile(File(t, name+".safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	f := &Fixture{t: t, name: name, tensors: map[string]safetensors.Tensor{}, meta: meta["json"]}
	for _, tensor := range tensors {
		f.tensors[tensor.Name] = tensor
	}
	return f
}

// Meta decodes the fixture's settings.
func (f *Fixture) Meta(into any) {
	f.t.Helper()
	if err := json.Unmarshal([]byte(f.meta), into); err != nil {
		f.t.Fatal(err)
	}
}

// Len is the number of tensors.
func (f *Fixture) Len() int { return len(f.tensors) }

func (f *Fixture) bytes(key string, dtype safetensors.DType) []byte {
	f.t.Helper()
	t, ok := f.tensors[key]
	if !ok || t.DType != dtype {
		f.t.Fatalf("fixture %s has no %s tensor %q", f.name, dtype, key)
	}
	return t.Data
}

// Float32s returns a float tensor's elements.
func (f *Fixture) Float32s(key string) []float32 {
	f.t.Helper()
	raw := f.bytes(key, safetensors.F32)
	out := make([]float32, len(raw)/4)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	return out
}

// Int64s returns an integer tensor's elements.
func (f *Fixture) Int64s(key string) []int64 {
	f.t.Helper()
	raw := f.bytes(key, safetensors.I64)
	out := make([]int64, len(raw)/8)
	for i := range out {
		out[i] = int64(binary.LittleEndian.Uint64(raw[8*i:]))
	}
	return out
}
