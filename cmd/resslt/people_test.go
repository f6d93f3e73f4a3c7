package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// maxResident bounds the memory of a program that reads what is bad, bytes.
const maxResident = 512 << 20

// launchMark is the variable that has this test binary be a launcher: it names the file for
// the program's peak memory.
const launchMark = "RESSLT_TEST_LAUNCHER"

// launched has a program started by a launcher, a small process of this binary, and returns
// the function that tells the program's peak memory, bytes. Linux counts the memory of the
// process that starts a program as the program's, and this one's grows by its inputs.
func launched(t *testing.T, p *program) (peak func() int64) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "peak")
	p.Args = append([]string{os.Args[0], p.Path}, p.Args[1:]...)
	p.Path = os.Args[0]
	p.Env = append(p.Env, launchMark+"="+file)
	return func() int64 {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.ParseInt(string(raw), 10, 64)
		if err != nil || n == 0 {
			t.Fatalf("the launcher says %q: %v", raw, err)
		}
		return n
	}
}

// launch is the launcher: it runs the program of the arguments, notes its peak memory in
// the file, and returns its exit code.
func launch(file string) int {
	c := exec.Command(os.Args[1], os.Args[2:]...)
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	err := c.Run()
	if c.ProcessState == nil {
		fmt.Fprintln(os.Stderr, err)
		return 125
	}
	if used, ok := c.ProcessState.SysUsage().(*syscall.Rusage); ok {
		err = os.WriteFile(file, strconv.AppendInt(nil, used.Maxrss<<10, 10), 0o600)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	return c.ProcessState.ExitCode()
}

// badTexts are texts that no verb may take much memory or time for, by what they are for.
var badTexts = sync.OnceValue(func() map[string]map[string]string {
	bomb := "a0: &a0 [x, x]\n"
	for i := 1; i < 12; i++ {
		bomb += fmt.Sprintf("a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 10), ", "))
	}
	header := func(n uint64, json string) string { return string(binary.LittleEndian.AppendUint64(nil, n)) + json }
	deep := `{"w":` + strings.Repeat("[", 1<<20)
	return map[string]map[string]string{
		"YAML": {
			"400 kB of brackets": strings.Repeat("[", 400<<10),
			"60 kB of braces":    strings.Repeat("{a: ", 15<<10),
			"200,000 dashes":     strings.Repeat("-", 200_000),
			"30,000 dashes":      strings.Repeat("- ", 30_000),
			"an alias bomb":      bomb,
			"an alias of itself": "epochs: &a [*a]\n",
			"a key twice":        "epochs: 1\nepochs: 2\n",
			"a NUL byte":         "epochs: 1\nname: a\x00b\n",
			"UTF-16":             "\xff\xfee\x00:\x00 \x001\x00\n\x00",
			"a huge number":      "epochs: 1" + strings.Repeat("0", 400) + "\n",
		},
		"JSON": {
			"400 kB of brackets": strings.Repeat("[", 400<<10),
			"400 kB of braces":   strings.Repeat(`{"a":`, 80<<10),
			"a key twice":        `{"version": 1, "version": 1}`,
			"UTF-16":             "\xff\xfe{\x00}\x00",
			"a huge number":      `{"version": 1, "step": 1` + strings.Repeat("0", 400) + "}",
			"20 MB of spaces":    strings.Repeat(" ", 20<<20),
		},
		"bytes": {
			"empty":                "",
			"random":               "\x93\xf4\x07\xaa\x00\x10\xff\x5e\x01",
			"a tensor without end": header(1<<62, "{}"),
			"a deep header":        header(uint64(len(deep)), deep),
			"one line of 16 MB":    strings.Repeat("x", 16<<20),
		},
	}
})

// specialFiles puts in dir what is no regular file, or has no bytes on a disk.
func specialFiles(t *testing.T, dir string) map[string]string {
	t.Helper()
	made := map[string]string{}
	for _, name := range []string{"pipe", "folder", "zero", "kernel", "sparse"} {
		made[name] = filepath.Join(dir, name)
	}
	sparse, err := os.Create(made["sparse"])
	if err != nil {
		t.Fatal(err)
	}
	defer sparse.Close()
	for _, err := range []error{
		syscall.Mkfifo(made["pipe"], 0o644), os.Mkdir(made["folder"], 0o755), sparse.Truncate(1 << 40),
		os.Symlink("/dev/zero", made["zero"]), os.Symlink("/proc/self/environ", made["kernel"]),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return made
}

// inputs are the ways by which a file comes in: where it lies below a folder, and the
// verb that reads it there.
var inputs = map[string]struct {
	file string
	args func(dir, file string) []string
	text string // of badTexts; "none" where it is written
	// A folder with such a file is read for more than it; special files alone are errors.
	lenient bool
}{
	"recipe":   {"r.yaml", func(_, f string) []string { return []string{"recipe", "check", f} }, "YAML", false},
	"extended": {"base.yaml", func(dir, _ string) []string { return []string{"recipe", "check", filepath.Join(dir, "r.yaml")} }, "YAML", false},
	"sweep":    {"s.yaml", func(_, f string) []string { return []string{"sweep", "--file", f, "--out", filepath.Dir(f) + "/out"} }, "YAML", false},
	"policy": {"p.yaml", func(dir, f string) []string {
		return []string{"inspect", "--data", "folder:" + dir, "--policy", f, "--out", dir + "/x.png"}
	}, "YAML", false},
	"checkpoint": {"step-00000001.json", func(dir, f string) []string { return []string{"export", "--checkpoint", f, "--out", dir + "/x"} }, "JSON", false},
	"run's folder": {"run/checkpoints/step-00000001.json", func(dir, _ string) []string {
		return []string{"export", "--checkpoint", dir + "/run", "--out", dir + "/x"}
	}, "JSON", false},
	"weights":     {"w.safetensors", func(dir, f string) []string { return []string{"export", "--checkpoint", f, "--out", dir + "/x"} }, "bytes", false},
	"metrics":     {"metrics.jsonl", func(dir, _ string) []string { return []string{"report", "--out", dir} }, "JSON", true},
	"summary":     {"summary.json", func(dir, _ string) []string { return []string{"report", "--out", dir} }, "JSON", true},
	"evaluations": {"eval.json", func(dir, _ string) []string { return []string{"report", "--out", dir} }, "JSON", true},
	"kept recipe": {"recipe.yaml", func(dir, _ string) []string { return []string{"report", "--out", dir} }, "YAML", true},
	"credentials": {"c.creds", func(_, f string) []string { return []string{"status", "--nats", "nats://127.0.0.1:1", "--creds", f} }, "bytes", false},
	"nkey":        {"n.nk", func(_, f string) []string { return []string{"status", "--nats", "nats://127.0.0.1:1", "--nkey", f} }, "bytes", false},
	"token": {"token", func(_, f string) []string {
		return []string{"status", "--nats", "nats://127.0.0.1:1", "--token-file", f}
	}, "bytes", false},
	"authority": {"ca.pem", func(_, f string) []string { return []string{"status", "--nats", "nats://127.0.0.1:1", "--tls-ca", f} }, "bytes", false},
	"manifest":  {"x.manifest.json", func(_, f string) []string { return []string{"shards", "ls", "--data", "wds:" + f} }, "JSON", false},
	"tar":       {"x.tar", func(_, f string) []string { return []string{"shards", "ls", "--data", "wds:" + f} }, "bytes", false},
	"sidecar of tar": {"x.manifest.json", func(dir, _ string) []string {
		return []string{"shards", "ls", "--data", "wds:" + dir + "/x-{000000..000000}.tar"}
	}, "JSON", false},
	"Parquet":        {"x.parquet", func(_, f string) []string { return []string{"shards", "ls", "--data", "parquet:" + f} }, "bytes", false},
	"IDX":            {"train-images-idx3-ubyte", func(dir, _ string) []string { return []string{"shards", "ls", "--data", "mnist:" + dir} }, "bytes", false},
	"CIFAR":          {"cifar-10-batches-bin/data_batch_1.bin", func(dir, _ string) []string { return []string{"shards", "ls", "--data", "cifar10:" + dir} }, "bytes", false},
	"record":         {"record/log-00000000.arrow", func(dir, _ string) []string { return []string{"record", "verify", dir + "/record"} }, "bytes", false},
	"record's file":  {"log-00000000.arrow", func(_, f string) []string { return []string{"record", "verify", f} }, "bytes", false},
	"out of export":  {"out.safetensors", func(dir, f string) []string { return []string{"export", "--checkpoint", dir + "/none", "--out", f} }, "none", false},
	"out of inspect": {"out.png", func(dir, f string) []string { return []string{"inspect", "--data", "folder:" + dir, "--out", f} }, "none", false},
}

// What people give, in every place where it is read or written: one line of ours, soon, in
// little memory.
func TestInputFromPeople(t *testing.T) {
	specials := specialFiles(t, t.TempDir())
	for kind, in := range inputs {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			place := func(t *testing.T) (dir, file string) {
				dir = t.TempDir()
				file = filepath.Join(dir, in.file)
				if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
					t.Fatal(err)
				}
				if kind == "extended" {
					write(t, filepath.Join(dir, "r.yaml"), []byte("extends: base.yaml\n"))
				}
				if in.lenient && in.file != "metrics.jsonl" {
					write(t, filepath.Join(dir, "metrics.jsonl"), []byte(`{"step":1,"loss":1}`+"\n"))
				}
				if in.file == "x.manifest.json" {
					write(t, filepath.Join(dir, "x-000000.tar"), make([]byte, 1024))
				}
				return dir, file
			}
			for name, text := range badTexts()[in.text] {
				dir, file := place(t)
				write(t, file, []byte(text))
				checkRefusal(t, kind+": "+name, in.lenient, in.args(dir, file))
			}
			for name, path := range specials {
				if name == "sparse" && in.text == "none" {
					continue // a regular file, which is replaced
				}
				if name == "sparse" && (strings.HasSuffix(in.file, ".tar") || strings.HasSuffix(in.file, ".parquet")) {
					continue // to index shards is to read them
				}
				dir, file := place(t)
				if err := os.Symlink(path, file); err != nil {
					t.Fatal(err)
				}
				checkRefusal(t, kind+": "+name, in.lenient, in.args(dir, file))
				if info, err := os.Lstat(file); err != nil || info.Mode()&os.ModeSymlink == 0 {
					t.Errorf("%s: it is replaced", kind+": "+name)
				}
			}
		})
	}
}

// checkRefusal runs the program, and checks that it ends with a line of ours.
func checkRefusal(t *testing.T, what string, lenient bool, args []string) {
	t.Helper()
	c := command(t, "resslt", args...)
	c.Env = append(c.Env, "RESSLT_CACHE_DIR="+t.TempDir())
	peak := launched(t, c)
	o := c.run()
	lines := strings.Split(strings.TrimRight(o.stderr, "\n"), "\n")
	last := lines[len(lines)-1]
	switch {
	case o.code == 0 && lenient:
	case o.code != 1 && o.code != 2, !strings.HasPrefix(last, "resslt: "), strings.Contains(o.stderr, "goroutine "), strings.Contains(o.stderr, "panic"), len(last) > 2000:
		t.Errorf("%s: exit %d: %.3000s", what, o.code, o.stderr)
	}
	if used := peak(); used > maxResident {
		t.Errorf("%s: took %d MB", what, used>>20)
	}
}

// --set takes a value as text: bounded as a file is.
func TestSetFromPeople(t *testing.T) {
	for name, text := range badTexts()["YAML"] {
		if strings.Contains(text, "\x00") || len(text) > 100_000 { // no argument can hold them
			continue
		}
		for _, key := range []string{"epochs", "mean"} {
			checkRefusal(t, "--set "+key+": "+name, false, []string{"recipe", "check", "smoke", "--set", key + "=" + text})
		}
	}
}
