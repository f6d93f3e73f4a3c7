package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	memoryLimit = 2 << 30
	timeLimit   = 10 * time.Second
	// muchMemory is what a file of a few KB should never take.
	muchMemory = 256 << 20
)

// mutate is one of three kinds of damage: bytes changed, a length blown up, bytes missing.
// Half of it hits the footer, which most lengths are in.
func mutate(b []byte, seed uint64) []byte {
	random := rand.New(rand.NewPCG(seed, 7))
	b = slices.Clone(b)
	footer := len(b) - 8 - int(binary.LittleEndian.Uint32(b[len(b)-8:]))
	at := func() int {
		if random.IntN(2) == 0 {
			return random.IntN(footer)
		}
		return footer + random.IntN(len(b)-footer)
	}
	switch seed % 3 {
	case 0:
		for range 1 + random.IntN(8) {
			b[at()] ^= byte(1 << random.IntN(8))
		}
	case 1:
		big := [][]byte{{0xff, 0xff, 0xff, 0xff, 0x07}, {0xfe, 0xff, 0xff, 0xff, 0x0f}, {0xff, 0xff, 0xff, 0x7f}, {0, 0, 0, 0x40}, {0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}}
		copy(b[at():], big[random.IntN(len(big))])
	default:
		from := at()
		n := 1 + random.IntN(min(64, len(b)-from))
		if random.IntN(4) == 0 {
			return b[:from] // cut off
		}
		b = append(b[:from], b[from+n:]...)
	}
	return b
}

// Exit statuses of a process that reads a mutated file.
const (
	readStatus  = 0
	errorStatus = 10
	panicStatus = 11
)

// mutation reads a mutated file under the memory limit.
func mutation(l library, path, column string, seed uint64) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	b = mutate(b, seed)
	debug.SetTraceback("none")
	limit := syscall.Rlimit{Cur: memoryLimit, Max: memoryLimit}
	if err := syscall.Setrlimit(syscall.RLIMIT_AS, &limit); err != nil {
		return err
	}
	defer func() {
		if p := recover(); p != nil {
			fmt.Fprintln(os.Stderr, "panic:", p)
			os.Exit(panicStatus)
		}
	}()
	if _, _, err := digest(l, b, column); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(errorStatus)
	}
	os.Exit(readStatus)
	return nil
}

// outcome runs such a process and says how it ended.
func outcome(l library, path, column string, seed uint64) (what, message string, peak int64, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "one-mutation", l.name, path, column, fmt.Sprint(seed))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	err = cmd.Run()
	message, _, _ = strings.Cut(stderr.String(), "\n")
	if u, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		peak = u.Maxrss * 1024
	}
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return "time-out", message, peak, nil
	case err == nil:
		return "read", message, peak, nil
	case !errors.As(err, &exit):
		return "", message, peak, err
	case exit.ExitCode() == errorStatus:
		return "error", message, peak, nil
	case strings.Contains(stderr.String(), "out of memory") || strings.Contains(stderr.String(), "cannot allocate memory"):
		return "death by memory", message, peak, nil
	case exit.ExitCode() == panicStatus || strings.Contains(stderr.String(), "panic:"):
		return "panic", message, peak, nil
	}
	return "crash", message, peak, nil
}

// safety prints how reading ended, for seeds mutations of each file; files are
// PATH=COLUMN.
func safety(seeds int, files []string) error {
	for _, l := range libraries {
		count, first := map[string]int{}, map[string]string{}
		for _, arg := range files {
			at := strings.LastIndex(arg, "=")
			path, column := arg[:at], arg[at+1:]
			if what, message, _, err := unmutated(l, path, column); err != nil || what != "read" {
				return fmt.Errorf("%s does not read %s: %s, %w", l.name, path, message, err)
			}
			for seed := range seeds {
				what, message, peak, err := outcome(l, path, column, uint64(seed))
				if err != nil {
					return err
				}
				count[what]++
				if peak > muchMemory {
					count["over 256 MiB"]++
					what += ", over 256 MiB"
				}
				if count["m "+message]++; what != "read" && what != "error" && count["m "+message] == 1 {
					first[what] += fmt.Sprintf("    %s: %.160s (seed %d of %s)\n", what, message, seed, path)
				}
			}
		}
		fmt.Printf("%s: n=%d", l.name, seeds*len(files))
		for _, what := range []string{"read", "error", "panic", "crash", "death by memory", "time-out", "over 256 MiB"} {
			fmt.Printf(", %s %d", what, count[what])
		}
		fmt.Println()
		for _, m := range first {
			fmt.Print(m)
		}
	}
	return nil
}

func unmutated(l library, path, column string) (what, message string, rows int, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", "", 0, err
	}
	if rows, _, err = digest(l, b, column); err != nil {
		return "error", err.Error(), 0, err
	}
	return "read", "", rows, nil
}
