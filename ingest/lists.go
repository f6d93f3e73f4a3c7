package ingest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"resslt/ingest/mat"
	"resslt/schemas"
)

// lister reads the lists of a data set.
type lister struct {
	op, hint string
	root     string
	split    string
	chosen   map[string]string
}

// maxListBytes caps a list, MAT-file or annotation.
const maxListBytes = 64 << 20

// read gives a whole small file.
func (l *lister) read(name string) ([]byte, error) {
	path := filepath.Join(l.root, name)
	f, err := openFile(l.op, path, l.hint)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if f.size > maxListBytes {
		return nil, schemas.E(l.op, path, "fetch it anew", schemas.Because(schemas.ErrTooLarge, fmt.Sprintf("%d bytes", f.size)))
	}
	b := make([]byte, f.size)
	if n, err := f.ReadAt(b, 0); n < len(b) {
		return nil, fileError(l.op, path, l.hint, err)
	}
	return b, nil
}

// lines gives the lines of a list to each that are neither empty nor comments,
// with the place for messages.
func (l *lister) lines(name string, each func(line, from string) error) error {
	b, err := l.read(name)
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
func (l *lister) list(name string) (out []string, err error) {
	err = l.lines(name, func(line, _ string) error {
		out = append(out, line)
		return nil
	})
	return out, err
}

// mat reads a MAT-file.
func (l *lister) mat(name string) (mat.Vars, error) {
	b, err := l.read(name)
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
	return schemas.E(l.op, filepath.Join(l.root, name), "fetch the file anew", err)
}

func (l *lister) corrupt(name, format string, a ...any) error {
	return l.fault(name, schemas.Because(schemas.ErrCorrupt, fmt.Sprintf(format, a...)))
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
func (l *lister) files(dir string) (map[string]listed, error) {
	full := filepath.Join(l.root, dir)
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

// folders lists the sub-folders of dir that are not hidden, sorted.
func (l *lister) folders(dir string) ([]string, error) {
	return subFolders(filepath.Join(l.root, dir))
}

// has says whether there is a file.
func (l *lister) has(name string) bool { return exists(filepath.Join(l.root, name)) }

// exists says whether there is a file or folder.
func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// sentinelOf is the kind of an error, without its place and mend.
func sentinelOf(err error) error {
	var e *schemas.Error
	if errors.As(err, &e) && e.Err != nil {
		return e.Err
	}
	if errors.Is(err, io.EOF) {
		return schemas.ErrCorrupt
	}
	return err
}
