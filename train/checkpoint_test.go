package train

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"resslt/schemas/errs"
	"resslt/train/nn"
	"resslt/train/safetensors"
	"resslt/train/torch"
	"resslt/train/torch/torchtest"
)

// savedSteps writes checkpoints of a small state and keeps the newest two.
func savedSteps(t *testing.T, dir string, steps ...int64) {
	t.Helper()
	torchtest.Do(t, func() {
		x := torch.FromFloat32([]float32{1, 2, 3}, 3)
		n := torch.FromInt64([]int64{7})
		for _, s := range steps {
			err := SaveCheckpoint(dir, Checkpoint{Step: s, Recipe: "name: x\n"}, []nn.Named{{Name: "queue.keys", Tensor: x}, {Name: "queue.pointer", Tensor: n}}, 2)
			if err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestCheckpointsArePrunedAndFoundNewestFirst(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "checkpoints")
	savedSteps(t, dir, 5, 90)
	for _, left := range []string{".step-00000007.safetensors.tmp-1", "step-00000007.safetensors"} { // by a killed process
		if err := os.WriteFile(filepath.Join(dir, left), []byte("half"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	savedSteps(t, dir, 100, 1000)
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 4 {
		t.Fatalf("%v, %v; want two checkpoints of two files", files, err)
	}
	c, damaged, err := LatestCheckpoint(dir)
	if err != nil || len(damaged) != 0 || c.Step != 1000 {
		t.Errorf("got %+v, %v, %v; want step 1000", c, damaged, err)
	}
}

func TestDamagedCheckpoints(t *testing.T) {
	for name, spoil := range map[string]func(json, weights string) error{
		"weights cut":     func(_, w string) error { return os.Truncate(w, 20) },
		"weights missing": func(_, w string) error { return os.Remove(w) },
		"JSON cut":        func(j, _ string) error { return os.Truncate(j, 10) },
		"JSON elsewhere":  func(j, _ string) error { return os.WriteFile(j, []byte(`{"version":1,"weights":"../x"}`), 0o644) },
		"other version":   func(j, _ string) error { return os.WriteFile(j, []byte(`{"version":99}`), 0o644) },
		"weights changed": func(_, w string) error {
			raw, err := os.ReadFile(w)
			if err != nil {
				return err
			}
			raw[len(raw)-1] ^= 1
			return os.WriteFile(w, raw, 0o644)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			savedSteps(t, dir, 1, 2)
			newest := filepath.Join(dir, "step-00000002")
			if err := spoil(newest+".json", newest+".safetensors"); err != nil {
				t.Fatal(err)
			}
			c, damaged, err := LatestCheckpoint(dir)
			if err != nil || c.Step != 1 || len(damaged) != 1 {
				t.Fatalf("got %+v, %v, %v; want step 1 and one damaged", c, damaged, err)
			}
			if !strings.Contains(damaged[0].Error(), "step-00000002") || !strings.Contains(damaged[0].Error(), "hint") {
				t.Errorf("%v does not name file and hint", damaged[0])
			}
		})
	}
	if _, _, err := LatestCheckpoint(t.TempDir()); !errors.Is(err, errs.ErrNotFound) {
		t.Errorf("empty folder: got %v, want ErrNotFound", err)
	}
}

// Memory order is the machine's affair: files hold row-major tensors either way.
func TestMemoryOrderDoesNotReachFiles(t *testing.T) {
	var digests []string
	for _, order := range []string{"true", "false"} {
		r, _ := tiny(t, 1, "channels_last="+order)
		cfg, err := LearnerConfig(r)
		if err != nil {
			t.Fatal(err)
		}
		l, err := NewLearner(cfg)
		if err != nil {
			t.Fatal(err)
		}
		tensors, err := HostTensors(l.State())
		l.Free()
		if err != nil {
			t.Fatal(err)
		}
		digests = append(digests, safetensors.Digest(tensors))
	}
	if digests[0] != digests[1] {
		t.Errorf("initial weights have digest %.12s in channels_last order and %.12s without", digests[0], digests[1])
	}
}

func TestEncoderRoundTrip(t *testing.T) {
	r, _ := tiny(t, 1)
	cfg, err := LearnerConfig(r)
	if err != nil {
		t.Fatal(err)
	}
	l, err := NewLearner(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Free()
	path := filepath.Join(t.TempDir(), "encoder.safetensors")
	info := InfoOf(r, 8)
	if err := SaveEncoder(path, l.Student().Backbone, info); err != nil {
		t.Fatal(err)
	}
	got, ok, err := EncoderMeta(path)
	if err != nil || !ok || got != info {
		t.Fatalf("meta %+v, %v, %v; want %+v", got, ok, err, info)
	}
	b, err := LoadEncoder(path, got, torch.CPU)
	if err != nil {
		t.Fatal(err)
	}
	want, err := HostTensors(nn.StateDict(l.Student().Backbone))
	if err != nil {
		t.Fatal(err)
	}
	have, err := HostTensors(nn.StateDict(b))
	if err != nil {
		t.Fatal(err)
	}
	for i := range want {
		if want[i].Name != have[i].Name || string(want[i].Data) != string(have[i].Data) {
			t.Errorf("%s came back as %s, or with other values", want[i].Name, have[i].Name)
		}
	}
	// Weights of another width are refused with both shapes.
	got.Width = 4
	if _, err := LoadEncoder(path, got, torch.CPU); !errors.Is(err, errs.ErrMismatch) || !strings.Contains(err.Error(), "conv1.weight") {
		t.Errorf("other width: %v", err)
	}
	if err := torch.Do(func() error {
		for _, n := range nn.StateDict(b) {
			n.Tensor.Free()
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}
