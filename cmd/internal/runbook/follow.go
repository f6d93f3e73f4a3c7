package runbook

import (
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"resslt/cmd/internal/online"
	"resslt/schemas/bounded"
	"resslt/schemas/bounded/boundedyaml"
	"resslt/schemas/errs"
	"resslt/train"
	"resslt/train/recipe"
)

// Files of a run's folder that are read.
const (
	recipeFile  = "recipe.yaml"
	summaryFile = "summary.json"
)

// Follower reads a run's folder again and again, and each time only what has changed in it. One
// goroutine uses it.
type Follower struct {
	run     Run
	metrics *train.MetricsTail
	files   map[string]fs.FileInfo // as they were read; nil for one that was not there
	last    time.Time              // of the last line of metrics, or the beginning
}

// Follow follows the run in a folder, which need not be one yet.
func Follow(dir string) *Follower {
	return &Follower{run: Run{Folder: dir}, metrics: train.FollowMetrics(filepath.Join(dir, train.MetricsFile)), files: map[string]fs.FileInfo{}}
}

// Look gives the run as it is now, without its digest, and whether anything of it but its age has
// changed since the last look. What it gives is not changed later. It returns ErrNotFound where the
// folder is no run's.
func (f *Follower) Look() (r *Run, changed bool, err error) { return f.look(heldLocks()) }

func (f *Follower) look(held locks) (_ *Run, changed bool, err error) {
	r := &f.run
	if f.changed(recipeFile) || r.Resolved == nil {
		if err := f.readRecipe(); err != nil {
			return nil, true, err
		}
		changed = true
	}
	lines, rewritten, err := f.metrics.Read()
	if err != nil {
		lines, rewritten = nil, true // as if it had none
	}
	if rewritten {
		r.Lines = nil
	}
	r.Lines = append(r.Lines, lines...)
	changed = changed || rewritten || len(lines) > 0
	if f.changed(train.MetricsFile) && len(r.Lines) > 0 {
		f.last = f.files[train.MetricsFile].ModTime()
	}
	if knn, linear := f.changed(online.KNNFile), f.changed(online.LinearFile); knn || linear {
		r.Scores, _ = online.Read(r.Folder) // none where it cannot be read
		changed = true
	}
	if f.changed(summaryFile) {
		r.Summary = nil
		if s, err := train.ReadSummary(filepath.Join(r.Folder, summaryFile)); err == nil {
			r.Summary = &s
		}
		changed = true
	}
	if r.RunDigest == "" && r.Summary != nil {
		r.RunDigest = r.Summary.RunDigest
	}
	state := Stopped
	switch {
	case held.has(filepath.Join(r.Folder, LockName)):
		state = Running
	case r.Summary != nil:
		state = Ended
	}
	changed = changed || state != r.State
	r.State = state
	if f.changed(NotesFile) {
		n, err := readNotes(r.Folder)
		if err != nil {
			return nil, true, err
		}
		r.Tags, r.Note, changed = n.Tags, n.Note, true
	}
	f.figures()
	now := *r
	return &now, changed, nil
}

// readRecipe reads what the run was asked to do. Another recipe is another run.
func (f *Follower) readRecipe() error {
	r := &f.run
	path := filepath.Join(r.Folder, recipeFile)
	raw, err := bounded.ReadFile(path, boundedyaml.MaxBytes)
	if err != nil {
		return errs.New("read run", r.Folder, "name the folder of a run", errs.BecauseErr(errs.ErrNotFound, err))
	}
	resolved, err := recipe.ParseResolved(path, raw)
	if err != nil {
		return err
	}
	r.Resolved, r.RunDigest = resolved, ""
	r.Recipe, r.Data, r.Epochs = resolved.Name, resolved.Data, resolved.Epochs
	f.last = time.Now()
	if info := f.files[recipeFile]; info != nil {
		f.last = info.ModTime()
	}
	return nil
}

// figures takes the figures of a list from what was read.
func (f *Follower) figures() {
	r := &f.run
	r.Epoch, r.Step, r.Loss, r.Rate, r.KNN, r.Linear = 0, 0, nil, 0, nil, nil
	if n := len(r.Lines); n > 0 {
		l := &r.Lines[n-1]
		r.Epoch, r.Step, r.Loss, r.Rate = l.Epoch, l.Step, &l.Loss, l.ImagesPerSecond
	}
	r.Seconds = time.Since(f.last).Seconds()
	for _, s := range r.Scores {
		if v, ok := s.KNN[r.firstK()]; ok {
			r.KNN = &v
		}
		r.Linear = cmp.Or(s.LinearTop1, r.Linear)
	}
	if s := r.Summary; s != nil {
		r.Rate, r.Linear, r.KNN = s.ImagesPerSecond, cmp.Or(s.LinearTop1, r.Linear), cmp.Or(s.KNNTop1, r.KNN)
	}
}

// firstK is the key, among kNN's scores, of the number of neighbours that counts.
func (r *Run) firstK() string {
	if len(r.Resolved.KNNK) == 0 {
		return ""
	}
	return fmt.Sprintf("k%d", r.Resolved.KNNK[0])
}

// changed reports whether a file is another than when this was asked last.
func (f *Follower) changed(name string) bool {
	now, err := os.Stat(filepath.Join(f.run.Folder, name))
	if err != nil {
		now = nil // what cannot be seen is not there
	}
	was, asked := f.files[name]
	f.files[name] = now
	if was == nil || now == nil {
		return !asked && now != nil || asked && (was == nil) != (now == nil)
	}
	return !os.SameFile(was, now) || was.Size() != now.Size() || !was.ModTime().Equal(now.ModTime())
}

// WithDigest gives the run as it was looked at last, with the digest of its batches: of its summary
// or, before that, its newest checkpoint, all of which is read. Only who compares runs needs it.
func (f *Follower) WithDigest() *Run {
	r := &f.run
	if r.RunDigest == "" {
		if c, _, err := train.LatestCheckpoint(train.CheckpointDir(r.Folder)); err == nil {
			r.RunDigest = c.RunDigest
		}
	}
	now := *r
	return &now
}

// Book follows the runs in folders and below them. One goroutine uses it.
type Book struct {
	dirs      []string
	followers map[string]*Follower // by folder
}

// Open opens the book of the runs in folders.
func Open(dirs ...string) *Book { return &Book{dirs: dirs, followers: map[string]*Follower{}} }

// Look gives the runs as they are now, in order of name, and whether anything has changed. What
// cannot be read is no run. It returns ErrNotFound where a folder is not there.
func (b *Book) Look() (runs []*Run, changed bool, err error) {
	found, err := folders(b.dirs)
	if err != nil {
		return nil, true, err
	}
	held, now := heldLocks(), map[string]*Follower{}
	for _, dir := range found {
		f := b.followers[dir]
		if f == nil {
			f, changed = Follow(dir), true
		}
		now[dir] = f
		if r, differs, err := f.look(held); err == nil {
			changed, runs = changed || differs, append(runs, r)
		}
	}
	changed = changed || len(now) != len(b.followers)
	b.followers = now
	return runs, changed, nil
}
