package child

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

// Process is a child of the driver: one program, started once. Its standard output and
// standard error go to files.
type Process struct {
	Name     string // unique in its farm: "worker-2.3" is the third life of worker 2
	Cmd      *exec.Cmd
	Out, Log string // files
	Began    time.Time
	Peak     atomic.Int64  // largest resident size seen, bytes
	Done     chan struct{} // closed when it has ended and been waited for
}

// Start starts a program that dies with the driver, with files under dir.
func Start(dir, name, program string, env []string, args ...string) (*Process, error) {
	p := &Process{
		Name: name, Cmd: exec.Command(program, args...), Began: time.Now(), Done: make(chan struct{}),
		Out: filepath.Join(dir, name+".out"), Log: filepath.Join(dir, name+".log"),
	}
	p.Cmd.Env = append(os.Environ(), env...)
	p.Cmd.SysProcAttr = tied()
	fail := func(err error) (*Process, error) {
		return nil, errs.New("start", name, "build the programs by `make build`, and install nats-server",
			errs.BecauseErr(errs.ErrUnavailable, err))
	}
	out, err := os.Create(p.Out)
	if err != nil {
		return fail(err)
	}
	defer out.Close()
	log, err := os.Create(p.Log)
	if err != nil {
		return fail(err)
	}
	defer log.Close()
	p.Cmd.Stdout, p.Cmd.Stderr = out, log
	if err := p.Cmd.Start(); err != nil {
		return fail(err)
	}
	go func() { // ends with the process
		_ = p.Cmd.Wait() // ProcessState has the result
		close(p.Done)
	}()
	return p, nil
}

// Alive reports whether the process has not ended; it may be stopped.
func (p *Process) Alive() bool {
	select {
	case <-p.Done:
		return false
	default:
		return true
	}
}

// Signal sends sig to this process only, and nothing if it has ended.
func (p *Process) Signal(sig syscall.Signal) error {
	if !p.Alive() {
		return nil
	}
	if err := p.Cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return errs.New("signal", p.Name, "", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	return nil
}

// Kill ends the process as a power failure would, and waits for its end.
func (p *Process) Kill() error {
	if err := p.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.Done
	return nil
}

// Ask sends a signal that requests the process to end, and waits for its end.
func (p *Process) Ask(ctx context.Context, sig syscall.Signal) error {
	if err := p.Signal(sig); err != nil {
		return err
	}
	return p.Wait(ctx)
}

// Wait waits until the process ends, in whatever way.
func (p *Process) Wait(ctx context.Context) error {
	select {
	case <-p.Done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Code is the exit code of a process that has ended, -1 if by a signal.
func (p *Process) Code() int { return p.Cmd.ProcessState.ExitCode() }

// Read returns the text on standard error so far.
func (p *Process) Read() (string, error) {
	raw, err := os.ReadFile(p.Log)
	if err != nil {
		return "", errs.New("read log", p.Log, "", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	return string(raw), nil
}

// Printed returns the text on standard output so far.
func (p *Process) Printed() (string, error) {
	raw, err := os.ReadFile(p.Out)
	if err != nil {
		return "", errs.New("read output", p.Out, "", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	return string(raw), nil
}

// LastLine is the last line of standard error: what a user sees.
func (p *Process) LastLine() string {
	raw, err := p.Read()
	if err != nil {
		return "(" + err.Error() + ")"
	}
	raw = strings.TrimSpace(raw)
	return raw[strings.LastIndexByte(raw, '\n')+1:]
}

// Crashed returns the line that begins a Go stack trace in the log, if the driver did not
// request it: of a panic, a fatal error of the runtime, a data race.
func (p *Process) Crashed() (string, error) {
	raw, err := p.Read()
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

// Resident reads the process's current and largest resident size in bytes from /proc;
// zeros without /proc.
func (p *Process) Resident() (now, peak int64) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Cmd.Process.Pid))
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

// CPU is the processor time that the process has used, user and system together; zero without
// /proc, or after its end.
func (p *Process) CPU() time.Duration {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.Cmd.Process.Pid))
	if err != nil {
		return 0
	}
	// The second field is the program's name in brackets, which may hold anything.
	f := strings.Fields(string(raw[strings.LastIndexByte(string(raw), ')')+1:]))
	const utime, stime, tick = 11, 12, 10 * time.Millisecond // of proc(5), from the third field on; USER_HZ is 100
	if len(f) <= stime {
		return 0
	}
	u, _ := strconv.ParseInt(f[utime], 10, 64)
	s, _ := strconv.ParseInt(f[stime], 10, 64)
	return time.Duration(u+s) * tick
}
