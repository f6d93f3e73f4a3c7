package main

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"resslt/cmd/internal/programs"
	"resslt/schemas/freeport"
	"resslt/schemas/racetest"
	"resslt/train"
	"resslt/train/torch/torchtest"
)

// Many tests run the real programs as real processes. bin is the folder that
// TestMain finds them in; made is a temporary one.
var bin, made string

func TestMain(m *testing.M) {
	if file := os.Getenv(launchMark); file != "" {
		os.Exit(launch(file))
	}
	if address := os.Getenv(drinkMark); address != "" {
		os.Exit(drink(address))
	}
	programs.HearHangUps()
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "resslt-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	made = dir
	if err := writeSmall(smallData()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	var remove func()
	if bin, remove, err = programs.Folder(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer remove()
	return m.Run()
}

// shim is the libtorch shim that `make build` leaves in the module's bin folder.
func shim() string {
	p, err := filepath.Abs("../../bin/libresslt_torch.so")
	if err != nil {
		return ""
	}
	return p
}

func needTorch(t *testing.T) {
	t.Helper()
	torchtest.Require(t)
}

// fashion is where Debian's package puts Fashion-MNIST.
const fashion = "/usr/share/datasets/fashion-mnist"

// smallData is a folder with the first images of each split of Fashion-MNIST, which
// serve most tests as well: to read all 70,000 takes a third of a short run.
func smallData() string { return filepath.Join(made, "fashion-mnist") }

const smallTrain, smallTest = 1000, 600

// writeSmall makes that folder, where the data set is installed.
func writeSmall(dir string) error {
	if _, err := os.Stat(fashion); err != nil {
		return nil //nolint:nilerr // needData skips
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	for _, f := range []struct {
		name        string
		n, head, of int // items, bytes before the first, of each
	}{
		{"train-images-idx3-ubyte.gz", smallTrain, 16, 28 * 28},
		{"train-labels-idx1-ubyte.gz", smallTrain, 8, 1},
		{"t10k-images-idx3-ubyte.gz", smallTest, 16, 28 * 28},
		{"t10k-labels-idx1-ubyte.gz", smallTest, 8, 1},
	} {
		in, err := os.Open(filepath.Join(fashion, f.name))
		if err != nil {
			return err
		}
		raw := make([]byte, f.head+f.n*f.of)
		z, err := gzip.NewReader(in)
		if err == nil {
			_, err = io.ReadFull(z, raw)
		}
		in.Close()
		if err != nil {
			return err
		}
		binary.BigEndian.PutUint32(raw[4:], uint32(f.n))
		var out bytes.Buffer
		w := gzip.NewWriter(&out)
		_, err = w.Write(raw)
		if err = errors.Join(err, w.Close()); err == nil {
			err = os.WriteFile(filepath.Join(dir, f.name), out.Bytes(), 0o644)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func needData(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(fashion); err != nil {
		t.Skip("Fashion-MNIST is not installed (package dataset-fashion-mnist)")
	}
}

type outcome struct {
	code           int
	stdout, stderr string
}

// program is a program of ours, with what it prints.
type program struct {
	*exec.Cmd
	out, errs bytes.Buffer
}

// raced are the names of the tests that run programs under the race detector, too.
var raced sync.Map

// alsoUnderRace is the first call of those tests. Between them they have the goroutines of
// workers, of a trainer's stream, of recording and replay, of an embedded broker and of ranks.
func alsoUnderRace(t *testing.T) { raced.Store(t.Name(), nil) }

// needPrograms skips where the test's programs would tell the race detector nothing new.
func needPrograms(t *testing.T) {
	t.Helper()
	name, _, _ := strings.Cut(t.Name(), "/")
	if _, ok := raced.Load(name); !ok {
		racetest.SkipPrograms(t)
	}
}

// command prepares a program with an environment of its own.
func command(t *testing.T, name string, args ...string) *program {
	t.Helper()
	needPrograms(t)
	p := &program{Cmd: exec.CommandContext(t.Context(), filepath.Join(bin, name), args...)}
	p.Env = append(os.Environ(), "RESSLT_TORCH="+shim())
	p.Stdout, p.Stderr = &p.out, &p.errs
	p.WaitDelay = 10 * time.Second
	return p
}

// run runs the program to its end.
func (p *program) run() outcome { return p.outcome(p.Run()) }

// end waits for a program that was started.
func (p *program) end() outcome { return p.outcome(p.Wait()) }

func (p *program) outcome(err error) outcome {
	o := outcome{stdout: p.out.String(), stderr: p.errs.String()}
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		o.code = exit.ExitCode()
	case err != nil:
		o.code = -1
		o.stderr += err.Error()
	}
	return o
}

func resslt(t *testing.T, args ...string) outcome {
	t.Helper()
	return command(t, "resslt", args...).run()
}

// summaryOf runs to the end and reads the summary that it prints.
func summaryOf(t *testing.T, args ...string) train.Summary {
	t.Helper()
	o := resslt(t, args...)
	if o.code != 0 {
		t.Fatalf("resslt %s: exit %d\n%s", strings.Join(args, " "), o.code, o.stderr)
	}
	return printed(t, o)
}

// printed is the summary on the last line of standard output.
func printed(t *testing.T, o outcome) train.Summary {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(o.stdout), "\n")
	var s train.Summary
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &s); err != nil {
		t.Fatalf("last line of standard output is no summary: %v\n%s", err, o.stdout)
	}
	return s
}

// quick is smoke on few images and without evaluation, which most tests do not look at.
func quick(out string, more ...string) []string {
	return append([]string{"run", "--recipe", "smoke", "--data", "fashion-mnist:" + smallData(), "--json", "--out", out, "--set", "eval=[none]"}, more...)
}

var plain = struct {
	sync.Once
	train.Summary
	out string
}{}

// undisturbed is the summary of a quick run, which is made once: the weights that it must
// have in whatever way it is made.
func undisturbed(t *testing.T) train.Summary {
	t.Helper()
	needPrograms(t) // the Once would keep the skip
	plain.Do(func() {
		plain.out = filepath.Join(made, "undisturbed")
		plain.Summary = summaryOf(t, quick(plain.out)...)
	})
	if plain.StudentSHA256 == "" {
		t.Fatal("the undisturbed run has failed in another test")
	}
	return plain.Summary
}

// finished is a copy of the undisturbed run's folder, for a test to begin with.
func finished(t *testing.T) string {
	t.Helper()
	undisturbed(t)
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(plain.out)); err != nil {
		t.Fatal(err)
	}
	return dir
}

func sameWeights(t *testing.T, what string, got, want train.Summary) {
	t.Helper()
	if got.StudentSHA256 != want.StudentSHA256 || got.TeacherSHA256 != want.TeacherSHA256 || got.QueueSHA256 != want.QueueSHA256 {
		t.Errorf("%s: student %.12s teacher %.12s queue %.12s, want %.12s %.12s %.12s", what,
			got.StudentSHA256, got.TeacherSHA256, got.QueueSHA256, want.StudentSHA256, want.TeacherSHA256, want.QueueSHA256)
	}
	if got.FinalLoss != want.FinalLoss {
		t.Errorf("%s: final loss %v, want %v", what, got.FinalLoss, want.FinalLoss)
	}
}

// stopAt starts a run, and sends the signal once metrics.jsonl has the step.
func stopAt(t *testing.T, dir string, step int, sig os.Signal) outcome {
	t.Helper()
	return interrupt(t, dir, step, sig, quick(dir)...)
}

// interrupt starts a command that trains into dir, and sends the signal once
// metrics.jsonl has the step.
func interrupt(t *testing.T, dir string, step int, sig os.Signal, args ...string) outcome {
	t.Helper()
	c := start(t, command(t, "resslt", args...))
	afterSteps(t, dir, step)
	if err := c.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
	return c.end()
}

// afterSteps waits until the run's metrics have n lines.
func afterSteps(t *testing.T, dir string, n int) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(2 * time.Millisecond) {
		raw, _ := os.ReadFile(filepath.Join(dir, "metrics.jsonl")) // not there yet at first
		if bytes.Count(raw, []byte("\n")) >= n {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("step %d did not come in two minutes", n)
		}
	}
}

// start runs a program until the test's end.
func start(t *testing.T, c *program) *program {
	t.Helper()
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if c.ProcessState == nil {
			_ = c.Process.Kill() // it may be gone
			_ = c.Wait()         // and says so
		}
	})
	return c
}

// natsServer starts Debian's nats-server with a store of its own, and gives its URL.
func natsServer(t *testing.T) string {
	t.Helper()
	server, err := exec.LookPath("nats-server")
	if err != nil {
		t.Skip("nats-server is not installed")
	}
	addr, err := freeport.Addr()
	if err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(t.TempDir(), "nats.conf")
	text := fmt.Sprintf("listen: %q\nmax_payload: 8MB\njetstream { store_dir: %q }\n", addr, t.TempDir())
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	start(t, &program{Cmd: exec.CommandContext(t.Context(), server, "-c", conf)})
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			return "nats://" + addr
		}
		if time.Now().After(deadline) {
			t.Fatal("nats-server does not listen")
		}
	}
}
