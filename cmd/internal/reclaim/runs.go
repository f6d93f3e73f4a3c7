package reclaim

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"resslt/cmd/internal/pipeline"
	"resslt/cmd/internal/runbook"
	"resslt/cmd/internal/session"
	"resslt/schemas/bounded"
	"resslt/schemas/durable"
	"resslt/schemas/errs"
	"resslt/train"
)

// runs looks through the folders of runs.
func (f *finder) runs(ctx context.Context) error {
	folders, err := runbook.Folders(f.places.Runs...)
	if err != nil {
		return err
	}
	for _, at := range folders {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		switch {
		case at.Running: // what is half-written there is being written
		case at.Run:
			f.run(at)
		default:
			f.outputs(at.Path)
		}
	}
	return nil
}

// run finds what a run that no process holds has too much.
func (f *finder) run(at runbook.Folder) {
	checkpoints := train.CheckpointDir(at.Path)
	for _, dir := range []string{at.Path, checkpoints} {
		f.halfFiles(dir)
	}
	unfinished, err := train.UnfinishedCheckpoints(checkpoints)
	f.failed(err)
	for _, path := range unfinished {
		bytes, used := size(path)
		f.leftover(Item{Kind: HalfFile, Path: path, Bytes: bytes, Used: used, Why: "of a checkpoint, whose writer is gone", remove: holding(at.Path, func() error {
			return removal(path, os.Remove(path))
		})})
	}
	f.checkpoints(at, checkpoints)
	f.earlier(at)
}

// holding removes something of a folder while no run can begin there.
func holding(dir string, remove func() error) func(context.Context) error {
	return func(context.Context) error {
		if _, err := os.Lstat(dir); err != nil {
			return removal(dir, err) // gone: do not make it again
		}
		lock, err := session.LockFolder(dir)
		if err != nil {
			return err
		}
		err = remove()
		if cerr := lock.Close(); err == nil && cerr != nil {
			err = removal(dir, cerr)
		}
		return err
	}
}

func (f *finder) halfFiles(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return // it is not there, or not ours to look into
	}
	for _, e := range entries {
		f.halfFile(filepath.Join(dir, e.Name()))
	}
}

// checkpoints finds those that newer ones stand in for.
func (f *finder) checkpoints(at runbook.Folder, dir string) {
	keep, asked := 0, f.policy.Checkpoints != nil
	if asked {
		keep = *f.policy.Checkpoints
	}
	if !at.Ended {
		keep = max(keep, 1)
	}
	old, err := train.OldCheckpoints(dir, keep)
	f.failed(err)
	for _, c := range old {
		var bytes int64
		var used time.Time
		for _, file := range c.Files {
			b, t := size(file)
			if bytes += b; t.After(used) {
				used = t
			}
		}
		f.by(asked, Item{
			Kind: Checkpoint, Path: c.Files[0], Bytes: bytes, Used: used, Why: fmt.Sprintf("step %d, and newer ones are there", c.Step),
			remove: holding(at.Path, func() error {
				for _, file := range c.Files {
					if err := removal(file, os.Remove(file)); err != nil {
						return err
					}
				}
				return nil
			}),
		})
	}
}

// earlier finds the runs that later ones in the same folder have set aside.
func (f *finder) earlier(at runbook.Folder) {
	found, err := filepath.Glob(filepath.Join(escape(at.Path), runbook.Previous+"[0-9]*"))
	if err != nil {
		return
	}
	for _, dir := range found {
		info, err := os.Lstat(dir)
		if err != nil || !info.IsDir() || !setAside(dir) {
			continue
		}
		bytes, used := size(dir)
		f.by(f.policy.Earlier, Item{Kind: Earlier, Path: dir, Bytes: bytes, Used: used, Why: "a later run in " + at.Path + " has set it aside", remove: holding(at.Path, func() error {
			return removal(dir, os.RemoveAll(dir))
		})})
	}
}

// setAside reports whether a folder holds files of a run and nothing else.
func setAside(dir string) bool {
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) == 0 {
		return false
	}
	for _, e := range entries {
		if !session.IsRunsOwn(e.Name()) {
			return false
		}
	}
	return true
}

// escape has filepath.Glob take a path as it is.
func escape(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// outputs finds what lies in a folder that is no run's.
func (f *finder) outputs(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return // as in halfFiles
	}
	for _, e := range entries {
		f.halfFile(filepath.Join(dir, e.Name()))
	}
	switch {
	case len(entries) == 1 && entries[0].Name() == runbook.LockName:
		f.neverBegun(dir)
	case isParts(dir, entries):
		bytes, used := size(dir)
		f.by(f.policy.Parts, Item{Kind: Parts, Path: dir, Bytes: bytes, Used: used, Why: "an embed was stopped; the same command would go on from it", remove: holding(dir, func() error {
			return removal(dir, os.RemoveAll(dir))
		})})
	}
}

// neverBegun is a folder in which a run was killed before it had written anything.
func (f *finder) neverBegun(dir string) {
	if !session.IsLock(filepath.Join(dir, runbook.LockName)) {
		return
	}
	bytes, used := size(dir)
	f.leftover(Item{Kind: NeverBegun, Path: dir, Bytes: bytes, Used: used, Why: "its process is gone", remove: func(ctx context.Context) error {
		return holding(dir, func() error {
			if err := os.Remove(filepath.Join(dir, runbook.LockName)); err != nil {
				return removal(dir, err)
			}
			if err := os.Remove(dir); err != nil {
				return errs.New("remove", dir, "", errs.Because(errs.ErrUnavailable, "it has come into use"))
			}
			return nil
		})(ctx)
	}})
}

// isParts reports whether a folder is one that embed keeps its parts in, and nothing else.
func isParts(dir string, entries []os.DirEntry) bool {
	for _, e := range entries {
		name := e.Name()
		ours := name == planName || name == runbook.LockName || name == pipeline.DatasetFile || match("part-*.arrow", name) || match("skipped-*.txt", name) || isTemporary(name)
		if !ours || !e.Type().IsRegular() {
			return false
		}
	}
	if !strings.HasSuffix(dir, ".parts") {
		return false
	}
	raw, err := bounded.ReadFile(filepath.Join(dir, planName), maxPlan)
	var plan struct {
		Encoder string `json:"encoder"`
		Data    string `json:"data"`
		Dim     int    `json:"dim"`
	}
	return err == nil && json.Unmarshal(raw, &plan) == nil && plan.Encoder != "" && plan.Data != "" && plan.Dim > 0
}

// planName is the file in which embed says what its parts depend on; it has less than maxPlan bytes.
const (
	planName = "plan.json"
	maxPlan  = 64 << 10
)

func isTemporary(name string) bool {
	_, ok := durable.Temporary(name)
	return ok
}

func match(pattern, name string) bool {
	ok, err := filepath.Match(pattern, name)
	return ok && err == nil
}
