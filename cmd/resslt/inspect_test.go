package main

import (
	"bytes"
	"errors"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"resslt/schemas/errs"
)

// inspect runs the command on a folder of three files: a picture, a grey one,
// and text named .jpg.
func inspect(t *testing.T, args ...string) (sheet string, err error) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "images")
	if err := os.MkdirAll(filepath.Join(dir, "a"), 0o755); err != nil {
		t.Fatal(err)
	}
	const from = "../../augment/testdata/parity/files/"
	for _, name := range []string{"jpeg420.jpg", "gray.png"} {
		b, err := os.ReadFile(from + name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "a", name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "a", "text.jpg"), []byte("no picture at all"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	sheet = filepath.Join(t.TempDir(), "sheet.png")
	c := newInspectCommand()
	c.SetArgs(append([]string{"--data", "folder:" + dir, "--out", sheet}, args...))
	c.SetErr(new(bytes.Buffer))
	c.SilenceUsage, c.SilenceErrors = true, true
	return sheet, c.ExecuteContext(t.Context())
}

// TestInspect draws the three: the sheet is the same every time, wide enough for
// all views, and another seed draws another.
func TestInspect(t *testing.T) {
	read := func(args ...string) []byte {
		t.Helper()
		sheet, err := inspect(t, args...)
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(sheet)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	first := read("--policy", "imagenet-multi", "--seed", "3")
	m, err := png.DecodeConfig(bytes.NewReader(first))
	if err != nil {
		t.Fatal(err)
	}
	if m.Width < 7*224 || m.Height < 3*100 {
		t.Errorf("a sheet of %d×%d for three samples of six views", m.Width, m.Height)
	}
	if !bytes.Equal(first, read("--policy", "imagenet-multi", "--seed", "3")) {
		t.Error("the same seed drew another sheet")
	}
	if bytes.Equal(first, read("--policy", "imagenet-multi", "--seed", "4")) {
		t.Error("another seed drew the same sheet")
	}
}

func TestInspectRefuses(t *testing.T) {
	for _, c := range []struct {
		args []string
		want error
		says string
	}{
		{[]string{"--sample", "3"}, errs.ErrUsage, "give 0 to 2"},
		{[]string{"--count", "0"}, errs.ErrUsage, "--count"},
		{[]string{"--policy", "smal"}, errs.ErrUsage, "small"},
		{[]string{"--engine", "turbine"}, errs.ErrMismatch, "turbine"},
		{[]string{"--out", filepath.Join(t.TempDir(), "missing", "x.png")}, errs.ErrUnavailable, "missing"},
	} {
		_, err := inspect(t, c.args...)
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v: %v, want %v that says %q on one line", c.args, err, c.want, c.says)
		}
	}
}
