package errs_test

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"resslt/schemas/errs"
)

func TestErrorIsOneLine(t *testing.T) {
	cause := errs.BecauseErr(errs.ErrCorrupt, fmt.Errorf("first\nsecond: %w", io.ErrUnexpectedEOF))
	err := errs.New("decode", "a.jpg", "replace the file", cause)
	if got, want := err.Error(), "decode a.jpg: corrupt: first; second: unexpected EOF (hint: replace the file)"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if !errors.Is(err, errs.ErrCorrupt) || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error("the error does not match both its sentinel and its cause")
	}
}

// Names of files may hold what a terminal obeys, or bytes that are no text.
func TestErrorIsText(t *testing.T) {
	for name, want := range map[string]string{
		"K\xe4se.jpg": `K\xe4se.jpg`, "a\x1b[31m.jpg": `a\x1b[31m.jpg`, "a\tb": `a\x09b`, "a\u0085b": `a\xc2\x85b`, "é\ufffd😀": "é\ufffd😀", "a\nb": "a; b",
	} {
		if got := errs.New("open", name, "", errs.ErrNotFound).Error(); got != "open "+want+": not found" {
			t.Errorf("%q is printed as %q", name, got)
		}
	}
}

// A part that is missing leaves no gap in the line.
func TestErrorWithoutParts(t *testing.T) {
	for want, err := range map[string]error{
		"a.jpg: corrupt":               errs.New("", "a.jpg", "", errs.ErrCorrupt),
		"decode: corrupt (hint: do x)": errs.New("decode", "", "do x", errs.ErrCorrupt),
		"corrupt":                      errs.New("", "", "", errs.ErrCorrupt),
		"decode a.jpg":                 errs.New("decode", "a.jpg", "", nil),
		"corrupt: bad magic":           errs.Because(errs.ErrCorrupt, "bad magic"),
		"not found":                    errs.Because(errs.ErrNotFound, ""),
		"mismatch":                     errs.BecauseErr(errs.ErrMismatch, nil),
	} {
		if got := err.Error(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// A line has one hint, at its end: the innermost, of several errors the first's.
func TestErrorHasOneHint(t *testing.T) {
	inner := errs.New("read", "a.tar", "fetch it (all of it)", errs.ErrCorrupt)
	bare := errs.New("read", "a.tar", "", errs.ErrCorrupt)
	for want, err := range map[string]error{
		"train step 3: read a.tar: corrupt (hint: fetch it (all of it))":                errs.New("train", "step 3", "resume", inner),
		"train step 3: read a.tar: corrupt (hint: resume)":                              errs.New("train", "step 3", "resume", bare),
		"train  : unavailable: read a.tar: corrupt (hint: fetch it (all of it))":        errs.New("train", " ", "resume", errs.BecauseErr(errs.ErrUnavailable, inner)),
		"train: again: read a.tar: corrupt (hint: fetch it (all of it))":                errs.New("train", "", "", fmt.Errorf("again: %w", inner)),
		"run: train x: read a.tar: corrupt (hint: fetch it (all of it))":                errs.New("run", "", "b", errs.New("train", "x", "a", inner)),
		"list: read a.tar: corrupt; open b: not found (hint: fetch it (all of it))":     errs.New("list", "", "c", errors.Join(inner, errs.New("open", "b", "name it", errs.ErrNotFound))),
		"batch 2: tombstone: read a.tar: corrupt (hint: fetch it (all of it), then go)": errs.Tombstone("batch", "2", inner.Error(), ", then go"),
		"batch 2: tombstone: lost (hint: fix the data or the workers, then go)":         errs.Tombstone("batch", "2", "lost", ", then go"),
	} {
		if got := err.Error(); got != want {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	}
	for text, want := range map[string]string{
		"": "", "a": "a", "a (hint: x)": "a (hint: x)", "a (hint: x); b (hint: y)": "a; b (hint: x)", "a (hint: x": "a (hint: x)", "a (hint: ": "a",
	} {
		if got := errs.OneHint(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}

// Callers decide by kind: by the sentinel, through any wrapping, and by the type.
func TestErrorIsFoundThroughWrapping(t *testing.T) {
	inner := errs.New("read", "a.tar", "fetch it", errs.Because(errs.ErrCorrupt, "cut off"))
	err := fmt.Errorf("epoch 3: %w", inner)
	var typed *errs.Error
	if !errors.As(err, &typed) || typed.Where != "a.tar" || typed.Hint != "fetch it" {
		t.Errorf("%v does not give its parts", err)
	}
	if !errors.Is(err, errs.ErrCorrupt) || errors.Is(err, errs.ErrNotFound) {
		t.Errorf("%v is not of its kind alone", err)
	}
}

func ExampleNew() {
	err := errs.New("open folder", "/data/cats", "name a folder of images", errs.Because(errs.ErrNotFound, "it holds none"))
	fmt.Println(err)
	fmt.Println(errors.Is(err, errs.ErrNotFound))
	// Output:
	// open folder /data/cats: not found: it holds none (hint: name a folder of images)
	// true
}
