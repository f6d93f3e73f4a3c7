package train

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"resslt/schemas"
	"resslt/schemas/bounded"
	"resslt/schemas/durable"
	"resslt/schemas/errs"
	"resslt/schemas/sniff"
	"resslt/train/nn"
	"resslt/train/safetensors"
	"resslt/train/torch"
)

// checkpointVersion is the version of the checkpoint's meaning.
const checkpointVersion = 1

// Checkpoint describes a state on disk. It is the JSON file
// DIR/step-<step>.json; the tensors are in step-<step>.safetensors next to it.
// The JSON is written last, so where it exists the tensors are whole.
type Checkpoint struct {
	Version   int    `json:"version"`
	Step      int64  `json:"step"`       // steps done: the next step to make
	RunDigest string `json:"run_digest"` // of the run spec whose batches were used
	// Spec is that run spec, for messages; nil of an older build.
	Spec      *schemas.RunSpec `json:"run_spec,omitempty"`
	Recipe    string           `json:"recipe"`     // resolved recipe, YAML
	Torch     string           `json:"torch"`      // libtorch's version
	WorldSize int              `json:"world_size"` // processes that trained the last step together; 0, of an older build: 1
	Seconds   float64          `json:"seconds"`    // of training so far, over all sessions
	Loss      float64          `json:"loss"`       // of the last logged step
	Figures                    // of that step
	Stopping  *Stopping        `json:"stopping,omitempty"` // where the recipe has or had a stop_on
	Weights   string           `json:"weights"`            // file name of the tensors
	SHA256    string           `json:"sha256"`             // of that file
	Provenance

	path string // of the tensors
}

// checkpointMark tells a checkpoint's tensors from other safetensors files.
const checkpointMark = "checkpoint"

// maxCheckpointJSON bounds the JSON file, most of which is the recipe.
const maxCheckpointJSON = 1 << 20

const damagedHint = "delete it and resume from an older one, or start over without --resume"

// SaveCheckpoint writes the learner's state after c.Step steps to dir, then
// removes all but the newest keep checkpoints. It fills in Version, Weights and
// SHA256.
func SaveCheckpoint(dir string, c Checkpoint, state []nn.Named, keep int) error {
	tensors, err := HostTensors(state)
	if err != nil {
		return err
	}
	return writeCheckpoint(dir, c, tensors, keep)
}

// writeCheckpoint is SaveCheckpoint of tensors in host memory.
func writeCheckpoint(dir string, c Checkpoint, tensors []safetensors.Tensor, keep int) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return errs.New("make folder", dir, "choose another --out", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	c.Version = checkpointVersion
	c.Weights = fmt.Sprintf("step-%08d.safetensors", c.Step)
	h := sha256.New()
	err := durable.Replace(filepath.Join(dir, c.Weights), func(w io.Writer) error {
		return safetensors.Write(io.MultiWriter(w, h), tensors, map[string]string{"format": "pt", "resslt": checkpointMark})
	})
	if err != nil {
		return err
	}
	c.SHA256 = hex.EncodeToString(h.Sum(nil))
	if err := writeJSON(filepath.Join(dir, strings.TrimSuffix(c.Weights, ".safetensors")+".json"), c); err != nil {
		return err
	}
	return pruneCheckpoints(dir, keep)
}

// checkpointFiles lists the JSON files of dir's checkpoints, newest first.
func checkpointFiles(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir) // in order of name, and the step has leading zeros
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, errs.New("list checkpoints", dir, "make the folder readable", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	var files []string
	for _, e := range entries {
		if n := e.Name(); strings.HasPrefix(n, "step-") && strings.HasSuffix(n, ".json") {
			files = append(files, filepath.Join(dir, n))
		}
	}
	slices.Reverse(files)
	return files, nil
}

// CheckCheckpoints finds what is in the place of a file of the checkpoints of the steps after
// from, up to to, before they are made.
func CheckCheckpoints(dir string, from, to int64) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return errs.New("list checkpoints", dir, "make the folder readable", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	for _, e := range entries {
		var step int64
		var kind string
		n, err := fmt.Sscanf(e.Name(), "step-%d.%s", &step, &kind)
		isOurs := err == nil && n == 2 && (kind == "json" || kind == "safetensors")
		// An older one is removed in time, for which it must be no folder.
		if isOurs && step <= to && (step > from || e.IsDir()) {
			if err := durable.CheckIn(dir, e.Name()); err != nil {
				return err
			}
		}
	}
	return nil
}

// pruneCheckpoints removes all but the newest keep checkpoints, and what a
// killed process left half-written.
func pruneCheckpoints(dir string, keep int) error {
	files, err := checkpointFiles(dir)
	if err != nil {
		return err
	}
	stay := map[string]bool{}
	for _, f := range files[:min(keep, len(files))] {
		stay[filepath.Base(f)] = true
		stay[strings.TrimSuffix(filepath.Base(f), ".json")+".safetensors"] = true
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return errs.New("list checkpoints", dir, "make the folder readable", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	// In order of name a checkpoint's JSON goes before its tensors, which
	// without it are no checkpoint.
	for _, e := range entries {
		n := e.Name()
		ours := strings.HasPrefix(n, "step-") || strings.HasPrefix(n, ".step-")
		if !ours || stay[n] {
			continue
		}
		if err := os.Remove(filepath.Join(dir, n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return errs.New("remove old checkpoint", filepath.Join(dir, n), "make the folder writable", errs.BecauseErr(errs.ErrUnavailable, err))
		}
	}
	return nil
}

// OldCheckpoint is one that newer ones stand in for.
type OldCheckpoint struct {
	Step  int64
	Files []string // in the order in which to remove them: without its JSON a checkpoint is none
}

// OldCheckpoints lists all but the newest keep whole checkpoints of dir, the newest first. One that is damaged
// counts for none and is not listed, for a person may want to look at it.
func OldCheckpoints(dir string, keep int) (old []OldCheckpoint, err error) {
	files, err := checkpointFiles(dir)
	if err != nil || len(files) <= keep {
		return nil, err
	}
	for _, f := range files {
		if keep > 0 {
			if _, err := OpenCheckpoint(f); err == nil {
				keep--
			}
			continue
		}
		c := OldCheckpoint{Files: []string{f, strings.TrimSuffix(f, ".json") + ".safetensors"}}
		if n, err := fmt.Sscanf(filepath.Base(f), "step-%d.json", &c.Step); err == nil && n == 1 {
			old = append(old, c)
		}
	}
	return old, nil
}

// UnfinishedCheckpoints lists the tensors in dir that have no JSON: a process was killed between
// the two, and nobody reads them.
func UnfinishedCheckpoints(dir string) (files []string, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, errs.New("list checkpoints", dir, "make the folder readable", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	for _, e := range entries {
		step, tensors := strings.CutSuffix(e.Name(), ".safetensors")
		if !tensors || !strings.HasPrefix(step, "step-") || !e.Type().IsRegular() {
			continue
		}
		if _, err := os.Lstat(filepath.Join(dir, step+".json")); errors.Is(err, fs.ErrNotExist) {
			files = append(files, filepath.Join(dir, e.Name()))
		}
	}
	return files, nil
}

// LatestCheckpoint finds the newest whole checkpoint of dir; damaged are the newer ones that
// it skipped, with the reason. It returns an error that wraps ErrNotFound where there is
// none.
func LatestCheckpoint(dir string) (c *Checkpoint, damaged []error, err error) {
	files, err := checkpointFiles(dir)
	if err != nil {
		return nil, nil, err
	}
	for _, f := range files {
		c, err := OpenCheckpoint(f)
		if err == nil {
			return c, damaged, nil
		}
		damaged = append(damaged, err)
	}
	hint := "start without --resume, or name the --out of the earlier run"
	if len(damaged) > 0 {
		return nil, damaged, errs.New("resume from", dir, hint, errs.Because(errs.ErrCorrupt,
			fmt.Sprintf("all %d checkpoints are damaged", len(damaged))))
	}
	return nil, nil, errs.New("resume from", dir, hint, errs.Because(errs.ErrNotFound, "no checkpoint there"))
}

// OpenCheckpoint reads a checkpoint's JSON and checks its tensors against their digest.
func OpenCheckpoint(path string) (*Checkpoint, error) {
	bad := func(sentinel, err error) error {
		return errs.New("read checkpoint", path, damagedHint, errs.BecauseErr(sentinel, err))
	}
	const want, name = "JSON text", "name a step-*.json of a run's checkpoints, or a .safetensors file"
	if sniff.Irregular(path).Name != "" {
		return nil, sniff.Instead("read checkpoint", path, want, name)
	}
	raw, err := bounded.ReadFile(path, maxCheckpointJSON)
	if err != nil {
		return nil, bad(errs.ErrNotFound, err)
	}
	var c Checkpoint
	if err := bounded.JSON(raw, &c); err != nil {
		if other := sniff.Instead("read checkpoint", path, want, name); other != nil {
			return nil, other
		}
		return nil, bad(errs.ErrCorrupt, err)
	}
	if c.Version == 0 {
		return nil, errs.New("read checkpoint", path, name, errs.Because(errs.ErrCorrupt, "it is no checkpoint"))
	}
	if c.Version != checkpointVersion {
		return nil, errs.New("read checkpoint", path, "resume with the build that wrote it", errs.Because(errs.ErrUnsupported,
			fmt.Sprintf("it has version %d, this build reads %d", c.Version, checkpointVersion)))
	}
	if filepath.Base(c.Weights) != c.Weights {
		return nil, bad(errs.ErrCorrupt, fmt.Errorf("weights %q are not a file name", c.Weights))
	}
	c.path = filepath.Join(filepath.Dir(path), c.Weights)
	f, err := bounded.Open(c.path)
	if err != nil {
		return nil, bad(errs.ErrCorrupt, err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return nil, bad(errs.ErrCorrupt, err)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != c.SHA256 {
		return nil, bad(errs.ErrCorrupt, fmt.Errorf("%s has digest %.12s, want %.12s", c.Weights, got, c.SHA256))
	}
	return &c, nil
}

// Path is the checkpoint's JSON file.
func (c *Checkpoint) Path() string { return strings.TrimSuffix(c.path, ".safetensors") + ".json" }

// Load puts the checkpoint's tensors into the learner.
func (c *Checkpoint) Load(l *Learner) error {
	tensors, _, err := safetensors.ReadFile(c.path)
	if err != nil {
		return err
	}
	return torch.Do(func() error {
		state, err := deviceTensors(tensors)
		if err != nil {
			return err
		}
		return l.LoadState(state)
	})
}

// dtypes pairs the format's names with libtorch's.
var dtypes = map[safetensors.DType]torch.DType{
	safetensors.F64: torch.Float64, safetensors.F32: torch.Float32, safetensors.F16: torch.Float16,
	safetensors.BF16: torch.BFloat16, safetensors.I64: torch.Int64, safetensors.I32: torch.Int32,
	safetensors.U8: torch.Uint8, safetensors.Bool: torch.Bool,
}

// HostTensors copies tensors to host memory under their names.
func HostTensors(state []nn.Named) (out []safetensors.Tensor, err error) {
	err = torch.Do(func() error {
		for _, n := range state {
			out = append(out, safetensors.Tensor{Name: n.Name, DType: formatType(n.Tensor.DType()), Shape: n.Tensor.Shape(), Data: n.Tensor.Bytes()})
		}
		return nil
	})
	return out, err
}

// formatType is the format's name for an element type, "" where it has none here.
func formatType(d torch.DType) safetensors.DType {
	for sd, td := range dtypes {
		if td == d {
			return sd
		}
	}
	return ""
}

// deviceTensors makes tensors in the current scope; call it inside torch.Do.
func deviceTensors(tensors []safetensors.Tensor) (map[string]*torch.Tensor, error) {
	out := make(map[string]*torch.Tensor, len(tensors))
	for _, t := range tensors {
		dt, ok := dtypes[t.DType]
		if !ok {
			return nil, errs.New("load tensor", t.Name, "convert it to float32", errs.Because(errs.ErrUnsupported, string(t.DType)))
		}
		out[t.Name] = torch.FromBytes(dt, t.Data, t.Shape...)
	}
	return out, nil
}

// writeJSON replaces path with v, indented.
func writeJSON(path string, v any) error {
	return durable.Replace(path, func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		return e.Encode(v)
	})
}
