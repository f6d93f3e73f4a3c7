package ingest

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"resslt/ingest/mat"
)

// listReader reads the lists of a file-list set, for one split.
type listReader struct {
	dataDir
	split   string
	choices map[string]string // what the URI chose, by name
}

// lines calls each with the lines of a list that are neither empty nor comments, and
// their place for messages, "list:line".
func (l *listReader) lines(ctx context.Context, name string, each func(line, from string) error) error {
	b, err := l.file(ctx, name)
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

// names are all lines of a list.
func (l *listReader) names(ctx context.Context, name string) (out []string, err error) {
	err = l.lines(ctx, name, func(line, _ string) error {
		out = append(out, line)
		return nil
	})
	return out, err
}

// mat reads a MAT-file.
func (l *listReader) mat(ctx context.Context, name string) (mat.Vars, error) {
	b, err := l.file(ctx, name)
	if err != nil {
		return nil, err
	}
	v, err := mat.Read(b)
	if err != nil {
		return nil, l.fault(name, err)
	}
	return v, nil
}

// corruptAt is a fault at a place of a list, "list:line".
func (l *listReader) corruptAt(from, format string, a ...any) error {
	list, _, _ := strings.Cut(from, ":")
	return l.corrupt(list, "%s %s", from, fmt.Sprintf(format, a...))
}

// labels are the labels of classes, by name.
type labels map[string]int32

// classIndex labels the classes in their order.
func classIndex(classes []string) labels {
	m := make(labels, len(classes))
	for i, c := range classes {
		m[c] = int32(i)
	}
	return m
}

// label is the label of the class that a list names at from.
func (l *listReader) label(of labels, class, from string) (int32, error) {
	c, ok := of[class]
	if !ok {
		return 0, l.corruptAt(from, "names class %q, which is none of the %d", class, len(of))
	}
	return c, nil
}

// number is a value of a MAT-file, 1 … n, as 0 … n−1.
func (l *listReader) number(v float64, n int, from string) (int32, error) {
	if v != float64(int32(v)) || v < 1 || v > float64(n) {
		return 0, l.corruptAt(from, "is %g, of 1 to %d", v, n)
	}
	return int32(v) - 1, nil
}

// path is a name in a list as a path below the root, which lists are not trusted to
// stay below.
func (l *listReader) path(from string, elem ...string) (string, error) {
	p := strings.Join(elem, "/")
	if !filepath.IsLocal(p) || strings.ContainsAny(p, "\\\x00") || slices.Contains(strings.Split(p, "/"), "") {
		return "", l.corruptAt(from, "names %q, which is no file below the data set", p)
	}
	return p, nil
}
