package main

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"resslt/ingest"
	"resslt/schemas"
	"resslt/schemas/bounded"
	"resslt/schemas/errs"
)

func main() {
	docs := flag.String("docs", "", "file whose table is replaced")
	flag.Parse()
	bad, err := run(context.Background(), flag.Args(), *docs)
	if err != nil {
		fmt.Fprintln(os.Stderr, "writers:", err)
		os.Exit(1)
	}
	if bad > 0 {
		fmt.Fprintf(os.Stderr, "writers: %d data sets are neither read right nor refused as they should be\n", bad)
		os.Exit(1)
	}
}

// written is a data set, as the scripts' lines describe it.
type written struct {
	Writer, Version, Option string
	URI, Path, Split        string // Path: of tars, without a scheme
	Expect                  string // "read", or words of the refusal
	Samples                 int
	Passed                  int64 // rows and columns that are passed over
	Classes                 []string
	Damaged                 bool    // the file: fetching it again may help
	Rows                    [][]any // … label, hash of the image
}

func run(ctx context.Context, files []string, docs string) (bad int, err error) {
	cache, err := os.MkdirTemp("", "writers")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(cache)
	var all []result
	for _, name := range files {
		f, err := bounded.Open(name)
		if err != nil {
			return 0, err
		}
		dec := json.NewDecoder(bufio.NewReader(f))
		for {
			var w written
			if err := dec.Decode(&w); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				f.Close()
				return 0, fmt.Errorf("%s: %w", name, err)
			}
			r := check(ctx, w, cache)
			if !r.ok {
				bad++
				fmt.Fprintf(os.Stderr, "WRONG %s %s: %s\n   %s --split %s\n", w.Writer, w.Option, r.verdict, r.uri(), cmp.Or(w.Split, ingest.Train))
			}
			all = append(all, r)
		}
		f.Close()
	}
	if len(all) == 0 {
		return 0, errors.New("no data sets in " + strings.Join(files, ", "))
	}
	fmt.Print(table(all))
	if docs != "" {
		return bad, update(docs, summary(all))
	}
	return bad, nil
}

func (w written) uri() string { return cmp.Or(w.URI, "wds:"+w.Path) }

// result is what became of a data set.
type result struct {
	written
	ok      bool
	verdict string
	labels  string
}

// check opens a data set and reads all of it.
func check(ctx context.Context, w written, cache string) result {
	r := result{written: w}
	err := r.read(ctx, cache)
	var fault *mismatch
	switch {
	case errors.As(err, &fault):
		r.verdict = fault.why
	case err == nil && w.Expect == "read":
		r.ok, r.verdict = true, "read"
	case err == nil:
		r.verdict = fmt.Sprintf("read, but should be refused with %q", w.Expect)
	case w.Expect == "read":
		r.verdict = "refused: " + err.Error()
	default:
		r.ok, r.verdict = r.refused(err)
	}
	return r
}

// refused reports whether a refusal is one line with the words, and a hint.
func (r *result) refused(err error) (ok bool, verdict string) {
	text := err.Error()
	var e *errs.Error
	switch {
	case strings.ContainsAny(text, "\n\r"):
		return false, fmt.Sprintf("refused in more than one line: %q", text)
	case !errors.As(err, &e) || e.Hint == "":
		return false, "refused without a hint: " + text
	case strings.HasPrefix(e.Hint, "fetch the file") && !r.Damaged:
		return false, "refused with a hint that cannot help: " + text
	case !strings.Contains(text, r.Expect):
		return false, fmt.Sprintf("refused without saying %q: %s", r.Expect, text)
	}
	return true, "refused: " + strings.ReplaceAll(text, r.uri(), "…")
}

// mismatch says how a set that is read differs from what its writer reads.
type mismatch struct{ why string }

func (m *mismatch) Error() string { return m.why }

func differs(format string, a ...any) error { return &mismatch{fmt.Sprintf(format, a...)} }

// read reads all samples and compares them.
func (r *result) read(ctx context.Context, cache string) error {
	src, err := ingest.Open(ctx, r.uri(), ingest.Options{Split: cmp.Or(r.Split, ingest.Train), CacheDir: cache})
	if err != nil {
		return err
	}
	defer src.Close()
	classes := src.Manifest().Classes
	counts := map[string]int{}
	var got, want []string
	var s schemas.Sample
	for id := range src.Len() {
		if err := src.Read(ctx, id, &s); err != nil {
			return err
		}
		label := "none"
		switch {
		case s.Label == schemas.NoLabel:
		case len(classes) == 0:
			label = fmt.Sprint(s.Label)
		default:
			label = classes[s.Label]
		}
		sum := sha256.Sum256(s.Data)
		got = append(got, label+" "+hex.EncodeToString(sum[:]))
		counts[label]++
	}
	for _, row := range r.Rows {
		label := "none"
		if v := row[len(row)-2]; v != nil {
			label = fmt.Sprint(v)
		}
		want = append(want, fmt.Sprintf("%s %v", label, row[len(row)-1]))
	}
	r.labels = countsText(counts)
	if r.Expect != "read" {
		return nil
	}
	slices.Sort(got)
	slices.Sort(want)
	passed := ingest.SurveyOf(src)
	switch {
	case len(got) != len(want):
		return differs("%d samples, not %d", len(got), len(want))
	case !slices.Equal(got, want):
		i := 0
		for got[i] == want[i] {
			i++
		}
		return differs("labels or images differ: %.40s, not %.40s; labels %s, classes %q", got[i], want[i], r.labels, classes)
	case len(r.Classes) > 0 && !slices.Equal(classes, r.Classes):
		return differs("classes %q, not %q", classes, r.Classes)
	case passed.Count() < r.Passed:
		return differs("%d things were passed over, and it says: %q", r.Passed, passed)
	}
	return nil
}
