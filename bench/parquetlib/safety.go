package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
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
		return blowUp(b, footer, random)
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

// blowUp makes a number of the footer or of the first page's header a large one. What
// follows it moves, and the footer keeps its right length.
func blowUp(b []byte, footer int, random *rand.Rand) []byte {
	const header = 40 // about as long as the first page's
	from := 4 + random.IntN(header)
	if random.IntN(2) == 0 {
		from = footer + random.IntN(len(b)-8-footer)
	}
	to := from + 1
	for b[to-1] >= 0x80 && to < len(b)-8 {
		to++
	}
	large := []int64{1 << 14, 1 << 20, 1 << 28, 1 << 30, 1<<31 - 1, 1 << 40, 1<<63 - 1, -1, -1 << 31}
	n := binary.AppendVarint(nil, large[random.IntN(len(large))]) // zigzag, as in Thrift
	out := slices.Concat(b[:from], n, b[to:])
	if from >= footer {
		binary.LittleEndian.PutUint32(out[len(out)-8:], uint32(len(out)-8-footer))
	}
	return out
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
	rows, _, err := digest(l, b, column)
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(errorStatus)
	}
	fmt.Println(rows)
	os.Exit(readStatus)
	return nil
}

// outcome runs such a process and says how it ended.
func outcome(l library, path, column string, rows int, seed uint64) (what, message string, peak int64, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "one-mutation", l.name, path, column, fmt.Sprint(seed))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	message, _, _ = strings.Cut(stderr.String(), "\n")
	if u, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		peak = u.Maxrss * 1024
	}
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return "time-out", message, peak, nil
	case err == nil && strings.TrimSpace(string(out)) != fmt.Sprint(rows):
		return "other rows", strings.TrimSpace(string(out)) + " rows", peak, nil
	case err == nil:
		return "read", message, peak, nil
	case !errors.As(err, &exit):
		return "", message, peak, err
	case exit.ExitCode() == errorStatus:
		return "error", message, peak, nil
	case strings.Contains(stderr.String(), "out of memory") || strings.Contains(stderr.String(), "cannot allocate memory"):
		return "death by memory", message, peak, nil
	case exit.ExitCode() == panicStatus:
		return "panic", message, peak, nil
	case strings.Contains(stderr.String(), "panic:"): // of another goroutine
		return "panic past recover", message, peak, nil
	}
	return "crash", message, peak, nil
}

// control checks that deaths are seen: its library takes what the limit forbids, or panics.
func control(path string) error {
	for name, want := range map[string]string{"memory": "death by memory", "panic": "panic", "goroutine": "panic past recover", "sleep": "time-out"} {
		if what, message, _, err := outcome(library{name: name}, path, "", 0, 0); what != want {
			return fmt.Errorf("control %s: %q (%s), not %q, %w", name, what, message, want, err)
		}
	}
	return nil
}

var controls = []library{
	{"memory", func(io.ReaderAt, int64, string) (reader, error) {
		b := make([]byte, memoryLimit+1<<20)
		return nil, fmt.Errorf("%d bytes", len(b))
	}},
	{"panic", func(io.ReaderAt, int64, string) (reader, error) { panic("control") }},
	{"goroutine", func(io.ReaderAt, int64, string) (reader, error) {
		go panic("control")
		select {}
	}},
	{"sleep", func(io.ReaderAt, int64, string) (reader, error) {
		time.Sleep(time.Hour)
		return nil, nil
	}},
}

// safety prints how reading ended, for seeds mutations of each file; files are
// PATH=COLUMN.
func safety(seeds int, files []string) error {
	if path, _, ok := strings.Cut(files[0], "="); ok {
		if err := control(path); err != nil {
			return err
		}
	}
	for _, l := range libraries {
		count, first := map[string]int{}, map[string]string{}
		var most int64
		for _, arg := range files {
			at := strings.LastIndex(arg, "=")
			path, column := arg[:at], arg[at+1:]
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			rows, _, err := digest(l, b, column)
			if err != nil {
				return fmt.Errorf("%s does not read %s: %w", l.name, path, err)
			}
			for seed := range seeds {
				what, message, peak, err := outcome(l, path, column, rows, uint64(seed))
				if err != nil {
					return err
				}
				count[what]++
				most = max(most, peak)
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
		for _, what := range []string{"read", "other rows", "error", "panic", "panic past recover", "crash", "death by memory", "time-out", "over 256 MiB"} {
			fmt.Printf(", %s %d", what, count[what])
		}
		fmt.Printf(", peak %d MB\n", most/1e6)
		for _, m := range first {
			fmt.Print(m)
		}
	}
	return nil
}
