package console

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"

	"resslt/schemas/errs"

	"github.com/spf13/pflag"
)

func form(t *testing.T, args ...string) Form {
	t.Helper()
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	Register(fs)
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	return FormOf(fs)
}

func TestLogger(t *testing.T) {
	usual := slog.Default()
	t.Cleanup(func() { slog.SetDefault(usual) })
	for _, bad := range [][]string{{"--log", "xml"}, {"--log-level", "loud"}} {
		if _, err := form(t, bad...).Logger(io.Discard); !errors.Is(err, errs.ErrUsage) || !strings.Contains(err.Error(), bad[1]) {
			t.Errorf("%v: %v", bad, err)
		}
	}
	var out bytes.Buffer
	w, _, err := form(t, "--log", "json", "--log-level", "warn").Open(&out)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(w, "not shown\nwarning: half a ")
	fmt.Fprint(w, "line\n\n")
	var rec struct{ Level, Msg string }
	if err := json.Unmarshal(out.Bytes(), &rec); err != nil || rec.Level != slog.LevelWarn.String() || rec.Msg != "half a line" {
		t.Errorf("%q is logged: %v", out.String(), err)
	}
}

// Every combination of the flags gives lines and records of one form, and loses no warning.
func TestForms(t *testing.T) {
	usual := slog.Default()
	t.Cleanup(func() { slog.SetDefault(usual) })
	for args, want := range map[string][]string{
		"":                              {"step 1", "warning: hot"},
		"--quiet":                       {"warning: hot"},
		"--timestamps":                  {"Z step 1", "Z warning: hot"},
		"--timestamps --quiet":          {"Z warning: hot"},
		"--log json":                    {`"INFO","msg":"step 1"`, `"WARN","msg":"hot"`},
		"--log json --quiet":            {`"WARN","msg":"hot"`},
		"--log json --log-level error":  {},
		"--log-level debug":             {`level=INFO msg="step 1"`, "level=WARN msg=hot"},
		"--log-level warn --timestamps": {"level=WARN msg=hot"},
	} {
		var out bytes.Buffer
		f := form(t, strings.Fields(args)...)
		lines, _, err := f.Open(&out)
		if err != nil {
			t.Fatal(args, err)
		}
		if plain := !strings.Contains(args, "log"); f.Plain() != plain {
			t.Errorf("%s: plain is %v", args, f.Plain())
		}
		if args == "" && lines != io.Writer(&out) {
			t.Error("a terminal would not be known as one")
		}
		fmt.Fprint(lines, "step 1\n\nwarning: hot\n")
		got := strings.Split(strings.TrimSpace(out.String()), "\n")
		if out.Len() == 0 {
			got = nil
		} else if args == "" {
			got = []string{got[0], got[2]} // the blank line is between them
		}
		if len(got) != len(want) {
			t.Errorf("%s: %q, want %q", args, got, want)
			continue
		}
		for i := range want {
			if !strings.Contains(got[i], want[i]) {
				t.Errorf("%s: line %q, want %q", args, got[i], want[i])
			}
		}
	}
}

// Flags of other programs by these names are not taken for ours.
func TestNoForm(t *testing.T) {
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	fs.Duration("quiet", 90, "")
	if f := FormOf(fs); f != (Form{}) || !f.Plain() {
		t.Errorf("%+v", f)
	}
}
