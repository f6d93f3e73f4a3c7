package session

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"resslt/batcher/record"
	"resslt/cmd/internal/online"
	"resslt/cmd/internal/pipeline"
	"resslt/cmd/internal/runbook"
	"resslt/cmd/internal/runreport"
	"resslt/cmd/internal/scratch"
	"resslt/cmd/internal/track"
	"resslt/cmd/internal/track/wandb"
	"resslt/schemas/bounded"
	"resslt/schemas/durable"
	"resslt/schemas/errs"
	"resslt/train"
	"resslt/train/eval"
)

// Folder is a run's folder, held by this process.
type Folder struct {
	dir  string
	lock *os.File
	made bool   // its lock is this process's: none was there
	undo func() // removes the folder, where this process made it and nothing is in it
	used bool   // it is a run's from now on
}

// LockFolder makes a folder and locks it: two processes in one folder would overwrite each
// other's files. The caller closes it. It returns ErrUsage where another process has it.
func LockFolder(dir string) (*Folder, error) {
	for {
		undo, err := durable.Folder(dir)
		if err != nil {
			return nil, folderError(dir, err)
		}
		path := filepath.Join(dir, runbook.LockName)
		_, err = os.Lstat(path)
		made := errors.Is(err, fs.ErrNotExist)
		lock, err := bounded.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
		if err != nil {
			undo()
			return nil, folderError(dir, err)
		}
		if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
			lock.Close()
			return nil, errs.New("use folder", dir, "wait for it to end or choose another --out", errs.Because(errs.ErrUsage, "another run is writing there"))
		}
		if scratch.SameFile(lock, path) {
			if made {
				if _, err := lock.WriteString(lockText); err != nil {
					return nil, errors.Join(folderError(dir, err), lock.Close())
				}
			}
			return &Folder{dir: dir, lock: lock, made: made, undo: undo}, nil
		}
		lock.Close() // another process has just removed it with its folder
	}
}

// lockText tells a lock of ours, in a folder that has nothing else, from one of another program.
const lockText = "resslt: a run's lock\n"

// IsLock reports whether a file is the lock of a run's folder.
func IsLock(path string) bool {
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() {
		return false
	}
	text, err := bounded.ReadFile(path, int64(len(lockText)))
	return err == nil && string(text) == lockText
}

// Use keeps the folder: from now on it has a run's files.
func (f *Folder) Use() { f.used = true }

// Close unlocks the folder. One that was made for a run that did not begin is removed.
func (f *Folder) Close() error {
	if f.made && !f.used {
		_ = os.Remove(f.lock.Name()) // then it stays, and does no harm
		f.undo()
	}
	return f.lock.Close()
}

func folderError(dir string, err error) error {
	return errs.New("use folder", dir, "choose another --out", errs.BecauseErr(errs.ErrUnavailable, err))
}

// runFiles and runFolders are what a run leaves in its folder, without the batches that
// diverged.
var (
	runFiles = []string{
		train.MetricsFile, recipeFile, pipeline.DatasetFile, "summary.json", "encoder.safetensors",
		online.KNNFile, online.LinearFile, eval.ReportFile, runreport.File, refusalFile, replacedFile, runbook.NotesFile,
	}
	runFolders = []string{"checkpoints", record.Subfolder, tensorboardFolder, online.NeighboursFolder, track.Folder, wandb.Folder}
)

// IsRunsOwn reports whether a run gives files or folders of that name to its folder.
func IsRunsOwn(name string) bool {
	kept, err := filepath.Match(filepath.Base(KeptBatch("", "*")), name)
	return slices.Contains(runFiles, name) || slices.Contains(runFolders, name) || kept && err == nil
}

// CheckFolder finds what is in the place of a file that a run will write, before the run
// begins: the last of them is written when all is trained.
func CheckFolder(dir string) error {
	if err := durable.CheckIn(dir, runFiles...); err != nil {
		return err
	}
	for _, name := range runFolders {
		if err := durable.CheckIn(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

// KeptBatch is the file of a run's folder that holds the batch of a step whose loss was not
// finite.
func KeptBatch(out, step string) string {
	return filepath.Join(out, "diverged-step-"+step+".arrow")
}

// setAside moves an earlier run's files into a subfolder previous-N, so that starting over
// loses nothing. It gives that folder, "" where there was nothing to move.
func (f *Folder) setAside() (to string, err error) {
	kept, err := filepath.Glob(KeptBatch(f.dir, "*"))
	if err != nil {
		return "", folderError(f.dir, err)
	}
	files := slices.Concat(runFolders, runFiles)
	for _, path := range kept {
		files = append(files, filepath.Base(path))
	}
	for _, name := range files {
		from := filepath.Join(f.dir, name)
		if _, err := os.Lstat(from); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if to == "" {
			if to, err = f.previous(); err != nil {
				return "", err
			}
		}
		if err := os.Rename(from, filepath.Join(to, name)); err != nil {
			return "", folderError(f.dir, err)
		}
	}
	return to, nil
}

// previous makes the first previous-N that is not there yet.
func (f *Folder) previous() (string, error) {
	for n := 1; ; n++ {
		dir := filepath.Join(f.dir, runbook.Previous+strconv.Itoa(n))
		switch err := os.Mkdir(dir, 0o755); {
		case err == nil:
			return dir, nil
		case !errors.Is(err, fs.ErrExist):
			return "", folderError(f.dir, err)
		}
	}
}

// refusalFile holds what an audit found. While it is there the run cannot be continued: what
// the false worker made before was trained on.
const refusalFile = "audit-refused.txt"

// refused returns ErrDeterminism where an audit has caught a worker of the folder's run.
func refused(dir string) error {
	raw, err := bounded.ReadFile(filepath.Join(dir, refusalFile), 64<<10)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return folderError(dir, err)
	}
	return errs.New("continue in", dir, "leave that worker out and start over: with --fresh, without --resume",
		errs.Because(errs.ErrDeterminism, "the audit refused it: "+strings.TrimSpace(string(raw))))
}
