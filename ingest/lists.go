package ingest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"resslt/ingest/mat"
	"resslt/ingest/store"
	"resslt/schemas/errs"
)

// lister reads the lists of a data set.
type lister struct {
	store    *store.Store
	op, hint string
	root     string
	split    string
	chosen   map[string]string
}

// maxListBytes caps a list, MAT-file or annotation.
const maxListBytes = 64 << 20

// read gives a whole small file.
func (l *lister) read(ctx context.Context, name string) ([]byte, error) {
	path := store.Join(l.root, name)
	f, err := openFile(ctx, l.store, l.op, path, l.hint)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if f.size > maxListBytes {
		return nil, errs.New(l.op, path, "fetch it anew", errs.Because(errs.ErrTooLarge, fmt.Sprintf("%d bytes", f.size)))
	}
	b := make([]byte, f.size)
	if _, err := f.ReadAt(ctx, b, 0); err != nil {
		return nil, fileError(l.op, path, l.hint, err)
	}
	return b, nil
}

// lines gives the lines of a list to each that are neither empty nor comments,
// with the place for messages.
func (l *lister) lines(ctx context.Context, name string, each func(line, from string) error) error {
	b, err := l.read(ctx, name)
	if err != nil {
		return err
	}
	in := bufio.NewScanner(bytes.NewReader(b))
	for n := 1; in.Scan(); n++ {
		line := strings.TrimSpace(in.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := each(line, fmt.Sprintf("%s:%d", name, n)); err != nil {
			return err
		}
	}
	if err := in.Err(); err != nil {
		return l.corrupt(name, "%v", err)
	}
	return nil
}

// list gives all lines of a list.
func (l *lister) list(ctx context.Context, name string) (out []string, err error) {
	err = l.lines(ctx, name, func(line, _ string) error {
		out = append(out, line)
		return nil
	})
	return out, err
}

// mat reads a MAT-file.
func (l *lister) mat(ctx context.Context, name string) (mat.Vars, error) {
	b, err := l.read(ctx, name)
	if err != nil {
		return nil, err
	}
	v, err := mat.Read(b)
	if err != nil {
		return nil, l.fault(name, err)
	}
	return v, nil
}

// fault names the list in which err was found.
func (l *lister) fault(name string, err error) error {
	return errs.New(l.op, store.Join(l.root, name), "fetch the file anew", err)
}

func (l *lister) corrupt(name, format string, a ...any) error {
	return l.fault(name, errs.Because(errs.ErrCorrupt, fmt.Sprintf(format, a...)))
}

// classOf is the place of a name in the sorted or official list of classes.
func (l *lister) classOf(classes map[string]int32, class, from string) (int32, error) {
	c, ok := classes[class]
	if !ok {
		list, _, _ := strings.Cut(from, ":")
		return 0, l.corrupt(list, "%s names class %q, which is none of the %d", from, class, len(classes))
	}
	return c, nil
}

func placesOf(classes []string) map[string]int32 {
	m := make(map[string]int32, len(classes))
	for i, c := range classes {
		m[c] = int32(i)
	}
	return m
}

// path is a name out of a list as a path below the root. Lists are not trusted to
// stay there.
func (l *lister) path(from string, elem ...string) (string, error) {
	p := strings.Join(elem, "/")
	if !filepath.IsLocal(p) || strings.ContainsAny(p, "\\\x00") || slices.Contains(strings.Split(p, "/"), "") {
		list, _, _ := strings.Cut(from, ":")
		return "", l.corrupt(list, "%s names %q, which is no file below the data set", from, p)
	}
	return p, nil
}

// files lists a folder of images by name.
func (l *lister) files(ctx context.Context, dir string) (map[string]listed, error) {
	full := store.Join(l.root, dir)
	if store.Remote(full) {
		return l.remoteFiles(ctx, full)
	}
	entries, err := os.ReadDir(full)
	if err != nil {
		return nil, fileError(l.op, full, l.hint, err)
	}
	out := make(map[string]listed, len(entries))
	for _, e := range entries {
		if e.IsDir() {
			continue
		}
		info, err := os.Stat(filepath.Join(full, e.Name())) // follows links
		if err != nil || !info.Mode().IsRegular() {
			continue // as good as absent, should a list want it
		}
		out[e.Name()] = listed{name: e.Name(), size: info.Size(), mtime: info.ModTime().UnixNano()}
	}
	return out, nil
}

func (l *lister) remoteFiles(ctx context.Context, dir string) (map[string]listed, error) {
	found, err := l.store.List(ctx, dir)
	if err != nil {
		return nil, fileError(l.op, dir, l.hint, err)
	}
	out := map[string]listed{}
	for _, f := range found {
		if !strings.Contains(f.Name, "/") {
			out[f.Name] = listed{name: f.Name, size: f.Size, mtime: f.MTime}
		}
	}
	return out, nil
}

// folders lists the sub-folders of dir that are not hidden, sorted.
func (l *lister) folders(ctx context.Context, dir string) ([]string, error) {
	full := store.Join(l.root, dir)
	if !store.Remote(full) {
		return subFolders(full)
	}
	found, err := l.store.List(ctx, full)
	if err != nil {
		return nil, fileError(l.op, full, l.hint, err)
	}
	var names []string
	for _, f := range found { // in order
		name, _, below := strings.Cut(f.Name, "/")
		if below && !hidden(name) && (len(names) == 0 || names[len(names)-1] != name) {
			names = append(names, name)
		}
	}
	slices.Sort(names) // "a/" and "a-b/" come the other way round
	return slices.Compact(names), nil
}

// has says whether there is a file or folder.
func (l *lister) has(ctx context.Context, path string) (bool, error) {
	full := store.Join(l.root, path)
	if !store.Remote(full) {
		_, err := os.Stat(full)
		return err == nil, nil
	}
	_, err := l.store.Stat(ctx, full)
	if err == nil {
		return true, nil
	}
	if err = fileError(l.op, full, l.hint, err); !errors.Is(err, errs.ErrNotFound) {
		return false, err
	}
	dir, err := l.store.IsDir(ctx, full)
	if err != nil {
		return false, fileError(l.op, full, l.hint, err)
	}
	return dir, nil
}

// sentinelOf is the kind of an error, without its place and hint.
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
