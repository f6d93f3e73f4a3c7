package train

import (
	"fmt"
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
	s = s.applyDefaults()
	if err := s.Validate(); err != nil {
		return nil, err
	}
	if c, ok := strings.CutSuffix(path, ".json"); ok {
		path = c + ".safetensors"
	}
	if pth.Is(path) {
		return readForeign(path, s)
	}
	f, err := safetensors.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	key := s.key
	if !slices.ContainsFunc(f.Names(), func(n string) bool { return strings.HasPrefix(n, "student.") }) {
		if foreign.Is(f.Names()) {
			return readForeign(path, s)
		}
		if s.Part != "encoder" || s.Network != "student" {
			return nil, errs.New("read weights", path, "name a checkpoint, checkpoints/step-*.json of the run's folder",
				errs.Because(errs.ErrNotFound, fmt.Sprintf("it holds an encoder alone, no %s %s", s.Network, s.Part)))
		}
		key = func(name string) (string, bool) {
			return name, !strings.HasPrefix(name, "fc.") && !strings.HasPrefix(name, "classifier.") && !strings.HasPrefix(name, "heads.")
		}
	}
	tensors, err := f.Read(func(name string) bool { _, wanted := key(name); return wanted })
	if err != nil {
		return nil, err
	}
	for i := range tensors {
		tensors[i].Name, _ = key(tensors[i].Name)
	}
	if len(tensors) == 0 {
		return nil, errs.New("read weights", path, "name another --network or --part",
			errs.Because(errs.ErrNotFound, fmt.Sprintf("it holds no %s %s", s.Network, s.Part)))
	}
	return tensors, nil
}

// readForeign reads the encoder of another project's checkpoint.
func readForeign(path string, s Selection) ([]safetensors.Tensor, error) {
	if s.Part != "encoder" {
		return nil, errs.New("read weights", path, "export --part encoder",
			errs.Because(errs.ErrNotFound, fmt.Sprintf("no %s is known of another project's checkpoint", s.Part)))
	}
	want := foreign.Want{}
	if s.Network == "teacher" {
		want.Role = foreign.Teacher
	}
	e, err := foreign.Read(path, want)
	if err != nil {
		return nil, err
	}
	return e.Tensors, nil
}
