package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"resslt/cmd/internal/programs"
	"resslt/schemas/errs"

	"github.com/spf13/cobra"
)

// asSaver has the test's own binary be a program that, once its context ends, takes the time
// given to write its checkpoint, which is the file of its argument.
const asSaver = "RESSLT_TEST_AS_SAVER"

func TestMain(m *testing.M) {
	took, err := time.ParseDuration(os.Getenv(asSaver))
	if err != nil {
		programs.HearHangUps()
		os.Exit(m.Run())
	}
	c := &cobra.Command{Use: "saver FILE", Args: cobra.ExactArgs(1), RunE: func(c *cobra.Command, args []string) error {
		fmt.Fprintln(c.OutOrStdout(), "ready")
		<-c.Context().Done()
		for left := took; left > 0; left -= 10 * time.Millisecond {
			fmt.Fprintln(c.ErrOrStderr(), "saving") // to a reader that may be gone
			fmt.Fprintln(c.OutOrStdout(), "saving")
			time.Sleep(10 * time.Millisecond)
		}
		if err := os.WriteFile(args[0], []byte("whole"), 0o644); err != nil {
			return err
		}
		return errs.New("save", args[0], "continue", errs.ErrInterrupted)
	}}
	c.Flags().String("log", "text", "")
	os.Exit(Main(c))
}

// saver is such a program.
type saver struct {
	*exec.Cmd
	file string
	errs bytes.Buffer
}

func startSaver(t *testing.T, took time.Duration, shell string, args ...string) *saver {
	t.Helper()
	p := &saver{file: filepath.Join(t.TempDir(), "checkpoint")}
	args = append([]string{os.Args[0], p.file}, args...)
	if shell != "" {
		args = append([]string{"/bin/sh", "-c", shell, "sh"}, args...)
	}
	p.Cmd = exec.Command(args[0], args[1:]...)
	p.Env = append(os.Environ(), asSaver+"="+took.String())
	p.Stderr = &p.errs
	out, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Process.Kill() })
	if _, err := io.ReadFull(out, make([]byte, len("ready\n"))); err != nil {
		t.Fatalf("it does not begin: %v: %s", err, p.errs.String())
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	return p
}

// send sends signals with a pause before each but the first.
func (p *saver) send(t *testing.T, pause time.Duration, signals ...syscall.Signal) {
	t.Helper()
	for i, sig := range signals {
		if i > 0 {
			time.Sleep(pause)
		}
		if err := p.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
	}
}

// saved fails the test unless the program ended in good order, after its checkpoint.
func (p *saver) saved(t *testing.T) {
	t.Helper()
	err := p.Wait()
	var exit *exec.ExitError
	if raw, _ := os.ReadFile(p.file); !errors.As(err, &exit) || exit.ExitCode() != Interrupted || string(raw) != "whole" {
		t.Errorf("%v, checkpoint %q: %s", err, raw, p.errs.String())
	}
}

var names = map[syscall.Signal]string{syscall.SIGINT: "INT", syscall.SIGTERM: "TERM", syscall.SIGHUP: "HUP"}

// Whatever signals come within the time of the first, the checkpoint is written.
func TestSignalsCountAsOne(t *testing.T) {
	for _, pause := range []time.Duration{0, time.Millisecond, 5 * time.Millisecond, 20 * time.Millisecond, 500 * time.Millisecond} {
		for first := range names {
			for second := range names {
				t.Run(fmt.Sprintf("%s %s after %v", names[first], names[second], pause), func(t *testing.T) {
					t.Parallel()
					p := startSaver(t, 2*pause+100*time.Millisecond, "")
					p.send(t, pause, first, second, second)
					p.saved(t)
					if n := strings.Count(p.errs.String(), "stopping in good order"); n != 1 {
						t.Errorf("it says %d times what happens: %s", n, p.errs.String())
					}
				})
			}
		}
	}
}

// A later signal ends the process at once, by that signal, and it says so.
func TestLaterSignalStopsAtOnce(t *testing.T) {
	for first := range names {
		for second := range names {
			t.Run(names[first]+" "+names[second], func(t *testing.T) {
				t.Parallel()
				p := startSaver(t, time.Hour, "")
				p.send(t, settle+100*time.Millisecond, first, second)
				_ = p.Wait() // its state is looked at
				if ws, ok := p.ProcessState.Sys().(syscall.WaitStatus); !ok || !ws.Signaled() || ws.Signal() != second {
					t.Errorf("it ended with %v", p.ProcessState)
				}
				if !strings.Contains(p.errs.String(), "stopped at once") {
					t.Errorf("it says %s", p.errs.String())
				}
				if _, err := os.Stat(p.file); err == nil {
					t.Error("it has written its checkpoint")
				}
			})
		}
	}
}

// Under nohup a closed terminal is nothing to stop for; other signals are.
func TestIgnoredHangUp(t *testing.T) {
	p := startSaver(t, 10*time.Millisecond, `trap "" HUP; exec "$@"`)
	p.send(t, 100*time.Millisecond, syscall.SIGHUP, syscall.SIGHUP)
	time.Sleep(300 * time.Millisecond)
	p.send(t, 0, syscall.SIGTERM)
	p.saved(t)
	if said := p.errs.String(); !strings.Contains(said, "terminated: stopping") || strings.Contains(said, "hangup") {
		t.Errorf("it says %s", said)
	}
}

// A shell without job control starts what it puts into the background with SIGINT ignored;
// who sends it one means it.
func TestInBackground(t *testing.T) {
	p := startSaver(t, 10*time.Millisecond, `trap "" INT; exec "$@"`)
	p.send(t, 0, syscall.SIGINT)
	p.saved(t)
}

// Ctrl-C in `saver | tee log` ends tee, and a closed terminal what would show the output: the
// checkpoint is written all the same.
func TestReaderGone(t *testing.T) {
	p := &saver{file: filepath.Join(t.TempDir(), "checkpoint")}
	p.Cmd = exec.Command(os.Args[0], p.file)
	p.Env = append(os.Environ(), asSaver+"=200ms")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p.Stdout, p.Stderr = w, w
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Process.Kill() })
	w.Close()
	if _, err := io.ReadFull(r, make([]byte, len("ready\n"))); err != nil {
		t.Fatal(err)
	}
	r.Close()
	p.send(t, 0, syscall.SIGINT)
	p.saved(t)
}

// A log of lines of its own form stays one.
func TestNoticeStaysOutOfLogs(t *testing.T) {
	p := startSaver(t, 0, "", "--log", "json")
	p.send(t, 0, syscall.SIGTERM)
	p.saved(t)
	if strings.Contains(p.errs.String(), "good order") {
		t.Errorf("it says %s", p.errs.String())
	}
}
