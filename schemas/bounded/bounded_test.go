package bounded_test

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"resslt/schemas/bounded"
	"resslt/schemas/errs"
)

// special makes one of everything that is no regular file, by what it is called.
func special(t *testing.T) map[string]string {
	t.Helper()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := syscall.Mkfifo(at("pipe"), 0o644); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", at("socket"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	for name, to := range map[string]string{"zero": "/dev/zero", "to pipe": at("pipe"), "to folder": dir} {
		if err := os.Symlink(to, at(name)); err != nil {
			t.Fatal(err)
		}
	}
	return map[string]string{
		dir: "a folder", at("to folder"): "a folder", at("pipe"): "a named pipe", at("to pipe"): "a named pipe",
		at("socket"): "a socket", "/dev/null": "a device", at("zero"): "a device",
	}
}

// What is no regular file is neither read nor written, and nothing waits for it.
func TestSpecialFiles(t *testing.T) {
	for path, what := range special(t) {
		for name, open := range map[string]func() error{
			"Open":        func() error { _, err := bounded.Open(path); return err },
			"ReadFile":    func() error { _, err := bounded.ReadFile(path, 1<<20); return err },
			"CheckTarget": func() error { return bounded.CheckTarget(path) },
			"write":       func() error { _, err := bounded.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644); return err },
			"append": func() error {
				_, err := bounded.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
				return err
			},
		} {
			if err := open(); !errors.Is(err, errs.ErrUsage) || !strings.Contains(err.Error(), "it is "+what) {
				t.Errorf("%s %s: got %v, want that it is %s", name, path, err, what)
			}
		}
	}
}

func TestKernelFiles(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("/proc is Linux's")
	}
	for _, path := range []string{"/proc/self/environ", "/proc/self/mem", "/sys/kernel/mm/transparent_hugepage/enabled"} {
		if _, err := os.Stat(path); err != nil {
			continue
		}
		if _, err := bounded.ReadFile(path, 1<<20); !errors.Is(err, errs.ErrUsage) && !errors.Is(err, fs.ErrPermission) {
			t.Errorf("%s: got %v, want ErrUsage", path, err)
		}
	}
}

func TestReadFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	if _, err := bounded.ReadFile(path, 4); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: got %v", err)
	}
	for _, text := range []string{"", "abcd", "abcde"} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		raw, err := bounded.ReadFile(path, 4)
		if len(text) > 4 {
			if !errors.Is(err, errs.ErrTooLarge) {
				t.Errorf("%q: got %v, want ErrTooLarge", text, err)
			}
		} else if err != nil || string(raw) != text {
			t.Errorf("%q: got %q, %v", text, raw, err)
		}
	}
	// A hole of 1 TiB: nothing is allocated for it.
	if err := os.Truncate(path, 1<<40); err != nil {
		t.Skip("no sparse files here:", err)
	}
	if _, err := bounded.ReadFile(path, 4); !errors.Is(err, errs.ErrTooLarge) {
		t.Errorf("a sparse file: got %v, want ErrTooLarge", err)
	}
}

func TestOpenFileWrites(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	for i, c := range []struct {
		flag int
		want string
	}{
		{os.O_CREATE | os.O_EXCL, "ab"},
		{os.O_APPEND, "abab"},
		{os.O_CREATE | os.O_TRUNC, "ab"},
	} {
		f, err := bounded.OpenFile(path, os.O_WRONLY|c.flag, 0o600)
		if err != nil {
			t.Fatal(i, err)
		}
		_, err = f.WriteString("ab")
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
		if raw, err := bounded.ReadFile(path, 10); err != nil || string(raw) != c.want {
			t.Errorf("%d: got %q, %v, want %q", i, raw, err, c.want)
		}
	}
}

func TestJSON(t *testing.T) {
	for _, c := range []struct {
		name, text string
		says       string // of the error; "" where there is none
	}{
		{"an object", `{"a": 1, "b": [{"a": 2}, {"a": 3}], "c": "{[\"a\""}`, ""},
		{"byte order mark", "\xef\xbb\xbf{\"a\": 1}", ""},
		{"brackets in a string", `{"a": "` + strings.Repeat("[", 1000) + `"}`, ""},
		{"a value that is a key elsewhere", `{"a": "b", "b": "a"}`, ""},
		{"32 deep", strings.Repeat("[", 32) + strings.Repeat("]", 32), ""},

		{"33 deep", strings.Repeat("[", 33) + strings.Repeat("]", 33), "nests deeper"},
		{"400 kB of brackets", strings.Repeat("[", 400<<10), "nests deeper"},
		{"400 kB of braces", strings.Repeat(`{"a":`, 80<<10), "nests deeper"},
		{"a key twice", "{\"a\": 1,\n\"a\": 2}", `line 2 has the key "a" again`},
		{"a key twice, escaped", `{"a": 1, "\u0061": 2}`, `the key "a" again`},
		{"a key twice, deep", `{"x": [1, {"a": [], "a": 2}]}`, `the key "a" again`},
		{"NUL", "{\"a\": \"\x00\"}", "NUL byte"},
		{"UTF-16", "\xff\xfe{\x00}\x00", "UTF-16"},
		{"Latin-1", "{\"a\": \"caf\xe9\"}", "not UTF-8"},
		{"cut off", `{"a": 1`, "unexpected end"},
		{"cut off in a string", `{"a": "b\`, "string escape"},
		{"closes what is not open", `]}`, "invalid character"},
		{"two values", `{} {}`, "invalid character"},
		{"empty", ``, "unexpected end"},
		{"a huge number", `{"n": 1` + strings.Repeat("0", 400) + `}`, "cannot unmarshal"},
		{"a fraction", `{"n": 0.5}`, "cannot unmarshal"},
	} {
		t.Run(c.name, func(t *testing.T) {
			into := struct {
				N int64 `json:"n"`
			}{}
			var err error
			if strings.HasPrefix(c.text, "[") {
				err = bounded.JSON([]byte(c.text), new(any))
			} else {
				err = bounded.JSON([]byte(c.text), &into)
			}
			switch {
			case c.says == "" && err != nil:
				t.Error(err)
			case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
				t.Errorf("got %v, want %q", err, c.says)
			}
		})
	}
}

func TestNearest(t *testing.T) {
	known := []string{"epochs", "batch_size", "lr"}
	for word, want := range map[string]string{"epoch": "epochs", "BatchSize": "batch_size", "LR": "lr"} {
		if got := bounded.Nearest(word, known); got != want {
			t.Errorf("%q: got %q, want %q", word, got, want)
		}
	}
}

// A slip is told from another word.
func TestSuggest(t *testing.T) {
	known := []string{"smoke", "quickstart", "cifar10", "data"}
	for word, want := range map[string]string{
		"smok": "smoke", "quikstart": "quickstart", "cifar": "", "dta": "data", "smoke": "", "imagenet": "", "x": "", "": "",
	} {
		if want != "" {
			want = "did you mean " + want + "? "
		}
		if got := bounded.Suggest(word, known); got != want {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
	if got := bounded.Suggest("x", nil); got != "" {
		t.Errorf("of none: %q", got)
	}
}
