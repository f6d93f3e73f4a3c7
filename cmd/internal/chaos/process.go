package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"resslt/schemas/errs"
)

// process is a child of the driver: one program, started once. Its standard output and
// standard error go to files.
type process struct {
	name     string // unique in its farm: "worker-2.3" is the third life of worker 2
	cmd      *exec.Cmd
	out, log string // files
	began    time.Time
	peak     atomic.Int64  // largest resident size seen, bytes
	done     chan struct{} // closed when it has ended and been waited for
}

// launch starts a program that dies with the driver, with files under dir.
func launch(dir, name, program string, env []string, args ...string) (*process, error) {
	p := &process{
		name: name, cmd: exec.Command(program, args...), began: time.Now(), done: make(chan struct{}),
		out: filepath.Join(dir, name+".out"), log: filepath.Join(dir, name+".log"),
	}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.SysProcAttr = tied()
	fail := func(err error) (*process, error) {
		return nil, errs.New("start", name, "build the programs by `make build`, and install nats-server",
			errs.BecauseErr(errs.ErrUnavailable, err))
	}
	out, err := os.Create(p.out)
	if err != nil {
		return fail(err)
	}
	defer out.Close()
	log, err := os.Create(p.log)
	if err != nil {
		return fail(err)
	}
	defer log.Close()
	p.cmd.Stdout, p.cmd.Stderr = out, log
	if err := p.cmd.Start(); err != nil {
		return fail(err)
	}
	go func() { // ends with the process
		_ = p.cmd.Wait() // ProcessState has the result
		close(p.done)
	}()
	return p, nil
}

// alive reports whether the process has not ended; it may be stopped.
func (p *process) alive() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// signal sends sig to this process only, and nothing if it has ended.
func (p *process) signal(sig syscall.Signal) error {
	if !p.alive() {
		return nil
	}
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return errs.New("signal", p.name, "", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	return nil
}

// kill ends the process as a power failure would, and waits for its end.
func (p *process) kill() error {
	if err := p.signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.done
	return nil
}

// ask sends a signal that requests the process to end, and waits for its end.
func (p *process) ask(ctx context.Context, sig syscall.Signal) error {
	if err := p.signal(sig); err != nil {
		return err
	}
	return p.wait(ctx)
}

// wait waits until the process ends, in whatever way.
func (p *process) wait(ctx context.Context) error {
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// code is the exit code of a process that has ended, -1 if by a signal.
func (p *process) code() int { return p.cmd.ProcessState.ExitCode() }

// read returns the text on standard error so far.
func (p *process) read() (string, error) {
	raw, err := os.ReadFile(p.log)
	if err != nil {
		return "", errs.New("read log", p.log, "", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	return string(raw), nil
}

// lastLine is the last line of standard error: what a user sees.
func (p *process) lastLine() string {
	raw, err := p.read()
	if err != nil {
		return "(" + err.Error() + ")"
	}
	raw = strings.TrimSpace(raw)
	return raw[strings.LastIndexByte(raw, '\n')+1:]
}

// crashed returns the line that begins a Go stack trace in the log, if the driver did not
// request it: of a panic, a fatal error of the runtime, a data race.
func (p *process) crashed() (string, error) {
	raw, err := p.read()
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(raw) {
		for _, mark := range []string{"panic: ", "fatal error: ", "WARNING: DATA RACE", "SIGSEGV"} {
			if strings.HasPrefix(line, mark) {
				return strings.TrimSpace(line), nil
			}
		}
	}
	return "", nil
}

// resident reads the process's current and largest resident size in bytes from /proc;
// zeros without /proc.
func (p *process) resident() (now, peak int64) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, 0 // it has ended, or this is not Linux
	}
	for line := range strings.Lines(string(raw)) {
		key, value, _ := strings.Cut(line, ":")
		kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		switch {
		case err != nil:
		case key == "VmRSS":
			now = kib << 10
		case key == "VmHWM":
			peak = kib << 10
		}
	}
	return now, peak
}
