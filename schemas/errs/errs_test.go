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
