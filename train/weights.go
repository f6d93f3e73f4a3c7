package train

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"resslt/schemas/bounded"
	"resslt/schemas/errs"
	"resslt/train/backbone"
	"resslt/train/foreign"
	"resslt/train/pth"
	"resslt/train/safetensors"
)

// Selection says which weights of a file are wanted. Zero values mean the
// defaults.
type Selection struct {
	Network string // "student" (default) or "teacher"
	Part    string // "encoder" (default): F alone; "projector": g alone; "all"
}

// Networks and Parts are what a Selection may name.
var (
	Networks = []string{"student", "teacher"}
	Parts    = []string{"encoder", "projector", "all"}
)

func (s Selection) applyDefaults() Selection {
	if s.Network == "" {
		s.Network = Networks[0]
	}
	if s.Part == "" {
		s.Part = Parts[0]
	}
	return s
}

// Validate returns an error wrapping errs.ErrUsage that names the field.
func (s Selection) Validate() error {
	s = s.applyDefaults()
	for _, f := range []struct {
		name, value string
		known       []string
	}{{"network", s.Network, Networks}, {"part", s.Part, Parts}} {
		if !slices.Contains(f.known, f.value) {
			return errs.New("select weights", f.name+" "+f.value, bounded.Suggest(f.value, f.known)+"give one of "+strings.Join(f.known, ", "), errs.ErrUsage)
		}
	}
	return nil
}

// key gives the name under which a tensor of a checkpoint is handed out, and
// whether it is wanted: torchvision's for the encoder, an nn.Sequential's for the
// projector, both with their network's prefix for all.
func (s Selection) key(name string) (string, bool) {
	name, ok := strings.CutPrefix(name, s.Network+".")
	switch {
	case !ok || backbone.TrainingOnly(name):
		return "", false
	case s.Part == "encoder":
		return strings.CutPrefix(name, "backbone.")
	case s.Part == "projector":
		return strings.CutPrefix(name, "projector.")
	}
	return name, true
}

// ReadWeights reads the weights of one network into host memory: of a checkpoint
// (its .json or its .safetensors), of an encoder's file, of torchvision's
// weights as safetensors, whose classifier is left out, or of a checkpoint of another
// project (package foreign). All but the first hold no head: an error that wraps ErrNotFound
// says so where more is asked. It needs no libtorch.
func ReadWeights(path string, s Selection) ([]safetensors.Tensor, error) {
	e, err := ReadEncoder(path, s)
	return e.Tensors, err
}

// ReadEncoder is ReadWeights with what else is known of the weights, and what of the file is no
// part of them.
func ReadEncoder(path string, s Selection) (foreign.Encoder, error) {
	s = s.applyDefaults()
	if err := s.Validate(); err != nil {
		return foreign.Encoder{}, err
	}
	if c, ok := strings.CutSuffix(path, ".json"); ok {
		path = c + ".safetensors"
	}
	if pth.Is(path) {
		return readForeign(path, s)
	}
	f, err := safetensors.Open(path)
	if err != nil {
		return foreign.Encoder{}, err
	}
	defer f.Close()
	key, prefix := s.key, s.Network+"."
	if !slices.ContainsFunc(f.Names(), func(n string) bool { return strings.HasPrefix(n, "student.") }) {
		if foreign.Is(f.Names()) {
			return readForeign(path, s)
		}
		if s.Part != "encoder" || s.Network != "student" {
			return foreign.Encoder{}, errs.New("read weights", path, "name a checkpoint, checkpoints/step-*.json of the run's folder",
				errs.Because(errs.ErrNotFound, fmt.Sprintf("it holds an encoder alone, no %s %s", s.Network, s.Part)))
		}
		head := foreign.IsHead(f.Names())
		key, prefix = func(name string) (string, bool) { return name, !head(name) }, ""
	}
	e := foreign.Encoder{Prefix: prefix}
	wanted := func(name string) bool { _, ok := key(name); return ok }
	if e.Tensors, err = f.Read(wanted); err != nil {
		return e, err
	}
	e.Dropped = slices.DeleteFunc(slices.Clone(f.Names()), wanted)
	for i := range e.Tensors {
		e.Tensors[i].Name, _ = key(e.Tensors[i].Name)
	}
	if len(e.Tensors) == 0 {
		return e, errs.New("read weights", path, "name another --network or --part",
			errs.Because(errs.ErrNotFound, fmt.Sprintf("it holds no %s %s", s.Network, s.Part)))
	}
	e.Guess = foreign.GuessOf(e.Tensors)
	return e, nil
}

// readForeign reads the encoder of another project's checkpoint.
func readForeign(path string, s Selection) (foreign.Encoder, error) {
	if s.Part != "encoder" {
		return foreign.Encoder{}, errs.New("read weights", path, "export --part encoder",
			errs.Because(errs.ErrNotFound, fmt.Sprintf("no %s is known of another project's checkpoint", s.Part)))
	}
	want := foreign.Want{}
	if s.Network == "teacher" {
		want.Role = foreign.Teacher
	}
	e, err := foreign.Read(path, want)
	if err != nil {
		return foreign.Encoder{}, err
	}
	return *e, nil
}

// FindWeights finds the weights that a path stands for: in a run's folder the
// finished encoder where that is all that is wanted, else the newest checkpoint.
func FindWeights(path string, want Selection) (string, error) {
	if info, err := os.Stat(path); err != nil || !info.IsDir() {
		return path, nil //nolint:nilerr // a file, or an error when it is read
	}
	if want = want.applyDefaults(); want.Network == "student" && want.Part == "encoder" {
		encoder := filepath.Join(path, "encoder.safetensors")
		if _, err := os.Stat(encoder); err == nil {
			return encoder, nil
		}
	}
	dir := CheckpointDir(path)
	c, damaged, err := LatestCheckpoint(dir)
	if errors.Is(err, errs.ErrNotFound) {
		return "", errs.New("read weights", path, "name a run's folder, or a file: encoder.safetensors, a checkpoint's .json",
			errs.Because(errs.ErrNotFound, "it is a folder without encoder.safetensors and checkpoints"))
	}
	if err != nil {
		return "", errors.Join(append([]error{err}, damaged...)...)
	}
	return c.Path(), nil
}
