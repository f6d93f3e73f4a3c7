// Package programs has resslt and augmentd built for the tests that run them as processes, and
// sees to it that these start as from a shell.
package programs

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"resslt/schemas/racetest"
)

// EnvBuilt names the folder of programs that were built already: the Makefile's, so that
// `make test` links each of them once, rather than for every package that runs them.
const EnvBuilt = "RESSLT_TEST_PROGRAMS"

// Folder returns a folder with both programs, and the function that removes what it made.
// Under the race detector they are built with it, too: a race ends them with exit code 66.
func Folder() (dir string, remove func(), err error) {
	if dir := os.Getenv(EnvBuilt); dir != "" && !racetest.Enabled {
		return dir, func() {}, nil
	}
	dir, err = os.MkdirTemp("", "resslt-programs-")
	if err != nil {
		return "", nil, err
	}
	remove = func() { _ = os.RemoveAll(dir) } // a temporary folder
	args := []string{"build", "-ldflags=-s -w"}
	if racetest.Enabled {
		args = append(args, "-race")
	}
	args = append(args, "-o", dir+"/", "resslt/cmd/resslt", "resslt/cmd/augmentd")
	if out, err := exec.CommandContext(context.Background(), "go", args...).CombinedOutput(); err != nil {
		remove()
		return "", nil, fmt.Errorf("go build: %w\n%s", err, out)
	}
	return dir, remove, nil
}

// HearHangUps has the processes that tests start end by a hang-up, also where the tests
// themselves were started by nohup: that a signal is ignored is inherited, and that it is
// caught is not.
func HearHangUps() {
	if signal.Ignored(syscall.SIGHUP) {
		signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	}
}
