package runbook

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"resslt/cmd/internal/online"
	"resslt/schemas/bounded"
	"resslt/schemas/durable"
	"resslt/schemas/errs"
	"resslt/train"
	"resslt/train/recipe"
)

// States of a run's folder.
const (
	Running = "running" // a process holds its lock
	Ended   = "ended"   // it has its summary
	Stopped = "stopped" // neither: --resume goes on
)

// Run is what a run's folder says.
type Run struct {
	Folder    string   `json:"folder"`
	Recipe    string   `json:"recipe"`
	Data      string   `json:"data"`
	State     string   `json:"state"`
	Epoch     float64  `json:"epoch"`  // trained
	Epochs    int      `json:"epochs"` // asked for
	Step      int64    `json:"step"`
	Loss      *float64 `json:"loss,omitempty"` // of the last logged step
	KNN       *float64 `json:"knn_top1,omitempty"`
	Linear    *float64 `json:"linear_top1,omitempty"`
	Rate      float64  `json:"images_per_second,omitempty"`
	Seconds   float64  `json:"age_seconds"` // since the last line of metrics, or the beginning
	Tags      []string `json:"tags,omitempty"`
	Note      string   `json:"note,omitempty"`
	RunDigest string   `json:"run_digest,omitempty"` // equal ones had equal batches

	Resolved *recipe.Recipe      `json:"-"`
	Lines    []train.MetricsLine `json:"-"`
	Scores   []online.Scores     `json:"-"` // while it trained
	Summary  *train.Summary      `json:"-"` // nil before the run's end
}

// Previous begins the name of a folder that keeps an earlier run's files within a run's.
const Previous = "previous-"

// LockName is the file of a run's folder that its process locks (flock).
const LockName = ".lock"

// depth bounds how far below a folder runs are looked for: a sweep has them in cells/NAME.
const depth = 4

// most bounds the folders that are looked into.
const most = 100_000

// Find reads the runs in folders and below them. Folders of earlier runs (previous-N) are no runs of their own.
func Find(dirs ...string) ([]*Run, error) {
	b := Open(dirs...)
	runs, _, err := b.Look()
	if err != nil {
		return nil, err
	}
	for i, r := range runs {
		runs[i] = b.followers[r.Folder].WithDigest()
	}
	return runs, nil
}

// folders are the runs' folders in folders and below them.
func folders(dirs []string) (found []string, err error) {
	err = walk(dirs, func(path string) error {
		if !isRun(path) {
			return nil
		}
		if !slices.Contains(found, path) {
			found = append(found, path)
		}
		return fs.SkipDir
	})
	return found, err
}

// Folder is a folder in which runs may be, or one of a run.
type Folder struct {
	Path    string
	Run     bool // of a run, which has begun
	Running bool // a process holds its lock
	Ended   bool // it has its summary
}

// Folders lists the folders given and those below them in which Find looks for runs, without
// reading the runs.
func Folders(dirs ...string) (found []Folder, err error) {
	held := heldLocks()
	err = walk(dirs, func(path string) error {
		f := Folder{Path: path, Run: isRun(path), Running: held.has(filepath.Join(path, LockName))}
		_, err := os.Stat(filepath.Join(path, summaryFile))
		f.Ended = err == nil
		found = append(found, f)
		if f.Run {
			return fs.SkipDir
		}
		return nil
	})
	return found, err
}

func isRun(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, recipeFile))
	return err == nil
}

// walk visits folders and those below them, as far as runs are looked for.
func walk(dirs []string, visit func(path string) error) error {
	seen := 0
	for _, dir := range dirs {
		if _, err := os.Stat(dir); err != nil {
			return errs.New("list runs", dir, "name a folder that has runs", errs.BecauseErr(errs.ErrNotFound, err))
		}
		err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err != nil || !e.IsDir() {
				return nil //nolint:nilerr // what cannot be read is no run
			}
			rel, _ := filepath.Rel(dir, path)
			if seen++; seen > most || strings.Count(rel, string(filepath.Separator)) >= depth || strings.HasPrefix(e.Name(), Previous) || e.Name() != "." && strings.HasPrefix(e.Name(), ".") && path != dir {
				return fs.SkipDir
			}
			return visit(path)
		})
		if err != nil {
			return errs.New("list runs", dir, "make it readable", errs.BecauseErr(errs.ErrUnavailable, err))
		}
	}
	return nil
}

// Read reads a run's folder. It returns ErrNotFound where it is none.
func Read(dir string) (*Run, error) {
	f := Follow(dir)
	if _, _, err := f.Look(); err != nil {
		return nil, err
	}
	return f.WithDigest(), nil
}

// Age is a time for a table: its largest unit.
func Age(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

// maxLocks bounds what is read of the kernel's list of locks.
const maxLocks = 16 << 20

// locks are the locks that processes hold, as Linux lists them: to try one would refuse a run that
// begins at that moment. Elsewhere there are none.
type locks string

func heldLocks() locks {
	f, err := os.Open("/proc/locks") //nolint:forbidigo // the kernel's list, read to a bound
	if err != nil {
		return ""
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxLocks))
	if err != nil {
		return ""
	}
	return locks(raw)
}

// has reports whether a process holds a file's lock.
func (l locks) has(path string) bool {
	info, err := os.Stat(path)
	if err != nil {
		return false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && strings.Contains(string(l), fmt.Sprintf(":%d 0 EOF", st.Ino))
}

// NotesFile holds, in a run's folder, what people have noted of a run.
const NotesFile = "notes.json"

// maxNotes bounds it, bytes.
const maxNotes = 1 << 20

type notes struct {
	Tags []string `json:"tags"`
	Note string   `json:"note"`
}

func readNotes(dir string) (n notes, err error) {
	path := filepath.Join(dir, NotesFile)
	raw, err := bounded.ReadFile(path, maxNotes)
	if errors.Is(err, fs.ErrNotExist) {
		return n, nil
	}
	if err == nil {
		err = json.Unmarshal(raw, &n)
	}
	if err != nil {
		return n, errs.New("read notes", path, "delete it, or write them again", errs.BecauseErr(errs.ErrCorrupt, err))
	}
	return n, nil
}

// Note changes what is noted of a run: tags are added, those in remove are taken away, and text,
// where it is not nil, is the note.
func Note(dir string, add, remove []string, text *string) error {
	if _, err := os.Stat(filepath.Join(dir, "recipe.yaml")); err != nil {
		return errs.New("note", dir, "name the folder of a run", errs.BecauseErr(errs.ErrNotFound, err))
	}
	n, err := readNotes(dir)
	if err != nil {
		return err
	}
	for _, tag := range add {
		if tag == "" || strings.ContainsAny(tag, ", \t\n") {
			return errs.New("tag", fmt.Sprintf("%q", tag), "give a word without spaces and commas", errs.ErrUsage)
		}
		if !slices.Contains(n.Tags, tag) {
			n.Tags = append(n.Tags, tag)
		}
	}
	n.Tags = slices.DeleteFunc(n.Tags, func(t string) bool { return slices.Contains(remove, t) })
	slices.Sort(n.Tags)
	if text != nil {
		n.Note = *text
	}
	raw, err := json.MarshalIndent(n, "", "  ")
	if err != nil {
		return errs.New("note", dir, "report this as a bug", errs.BecauseErr(errs.ErrUsage, err))
	}
	return durable.WriteFile(filepath.Join(dir, NotesFile), append(raw, '\n'))
}
