package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"resslt/ingest/store"
	"resslt/schemas/errs"
)

// dataDir is the folder of a data set with files other than images: lists, MAT-files,
// annotations. Its errors name op, the file and hint.
type dataDir struct {
	store    *store.Store
	op, hint string
	root     string
}

// maxListBytes caps such a file.
const maxListBytes = 64 << 20

// file reads a whole small file.
func (d dataDir) file(ctx context.Context, name string) ([]byte, error) {
	path := store.Join(d.root, name)
	f, err := openFile(ctx, d.store, d.op, path, d.hint)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if f.size > maxListBytes {
		return nil, errs.New(d.op, path, "fetch it again", errs.Because(errs.ErrTooLarge, fmt.Sprintf("%d bytes", f.size)))
	}
	b := make([]byte, f.size)
	if _, err := f.ReadAt(ctx, b, 0); err != nil {
		return nil, fileError(d.op, path, d.hint, err)
	}
	return b, nil
}

// fault is an error in the contents of a file.
func (d dataDir) fault(name string, err error) error {
	return errs.New(d.op, store.Join(d.root, name), "fetch the file again", err)
}

func (d dataDir) corrupt(name, format string, a ...any) error {
	return d.fault(name, errs.Because(errs.ErrCorrupt, fmt.Sprintf(format, a...)))
}

// absent is the error of an image that is not there, or cannot be read, and of the
// list that names it.
func (d dataDir) absent(e entry, err error) error {
	return errs.New(d.op, store.Join(d.root, e.path), d.hint,
		fmt.Errorf("%w, but listed by %s", sentinelOf(err), e.from))
}

// files lists the files of a folder, by name.
func (d dataDir) files(ctx context.Context, dir string) (map[string]foundFile, error) {
	full := store.Join(d.root, dir)
	if store.Remote(full) {
		return d.remoteFiles(ctx, full)
	}
	entries, err := os.ReadDir(full)
	if err != nil {
		return nil, fileError(d.op, full, d.hint, err)
	}
	out := make(map[string]foundFile, len(entries))
	for _, e := range entries {
		if e.IsDir() {
			continue
		}
		info, err := os.Stat(filepath.Join(full, e.Name())) // follows links
		if err != nil || !info.Mode().IsRegular() {
			continue // as good as absent, if a list names it
		}
		out[e.Name()] = foundFile{name: e.Name(), size: info.Size(), mtime: info.ModTime().UnixNano(), change: store.Change(info)}
	}
	return out, nil
}

func (d dataDir) remoteFiles(ctx context.Context, dir string) (map[string]foundFile, error) {
	found, err := d.store.List(ctx, dir)
	if err != nil {
		return nil, fileError(d.op, dir, d.hint, err)
	}
	out := map[string]foundFile{}
	for _, f := range found {
		if !strings.Contains(f.Name, "/") {
			out[f.Name] = foundFile{name: f.Name, size: f.Size, mtime: f.MTime}
		}
	}
	return out, nil
}

// folders are the sorted names of the sub-folders of dir that are entered.
func (d dataDir) folders(ctx context.Context, dir string) ([]string, error) {
	full := store.Join(d.root, dir)
	if !store.Remote(full) {
		return subFolders(full)
	}
	found, err := d.store.List(ctx, full)
	if err != nil {
		return nil, fileError(d.op, full, d.hint, err)
	}
	var names []string
	for _, f := range found { // in order
		name, _, below := strings.Cut(f.Name, "/")
		if below && passFolder(name) == "" && (len(names) == 0 || names[len(names)-1] != name) {
			names = append(names, name)
		}
	}
	slices.Sort(names) // "a/" and "a-b/" come the other way round
	return slices.Compact(names), nil
}

// has reports whether there is a file or folder of that name.
func (d dataDir) has(ctx context.Context, path string) (bool, error) {
	full := store.Join(d.root, path)
	if !store.Remote(full) {
		_, err := os.Stat(full)
		return err == nil, nil
	}
	_, err := d.store.Stat(ctx, full)
	if err == nil {
		return true, nil
	}
	if err = fileError(d.op, full, d.hint, err); !errors.Is(err, errs.ErrNotFound) {
		return false, err
	}
	dir, err := d.store.IsDir(ctx, full)
	if err != nil {
		return false, fileError(d.op, full, d.hint, err)
	}
	return dir, nil
}

// sentinelOf is the cause of an error, without its place and hint.
func sentinelOf(err error) error {
	var e *errs.Error
	if errors.As(err, &e) && e.Err != nil {
		return e.Err
	}
	if errors.Is(err, io.EOF) {
		return errs.ErrCorrupt
	}
	return err
}
