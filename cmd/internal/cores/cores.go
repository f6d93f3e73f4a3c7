package cores

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
)

// Cores is the number of cores of a process, and where it comes from.
type Cores struct {
	Count   int     // at least 1
	Allowed int     // by the affinity mask
	Quota   float64 // by the cgroup, in processors; 0: none
}

// Here returns this process's cores, determined once.
var Here = sync.OnceValue(func() Cores { return count(os.DirFS("/"), runtime.NumCPU()) })

// Count is Here().Count.
func Count() int { return Here().Count }

// String includes the reason: "4 cores (a cgroup's quota of 4 on 64)".
func (c Cores) String() string {
	s := plural(c.Count, "core")
	if c.Quota > 0 && c.Count < c.Allowed {
		s += fmt.Sprintf(" (a cgroup's quota of %s on %d)", strconv.FormatFloat(c.Quota, 'f', -1, 64), c.Allowed)
	}
	return s
}

// Threads is libtorch's default number of threads, and where it comes from.
type Threads struct {
	Count  int
	Source string // "OMP_NUM_THREADS", or Cores.String's
}

// For returns the threads of a process with these cores. lookup reads the environment.
func For(c Cores, lookup func(string) (string, bool)) Threads {
	if n, ok := fromEnvironment(lookup); ok {
		return Threads{Count: n, Source: "OMP_NUM_THREADS"}
	}
	return Threads{Count: c.Count, Source: c.String()}
}

// DefaultThreads returns the threads of this process.
func DefaultThreads() Threads { return For(Here(), os.LookupEnv) }

// forTrainer are the cores that a trainer on a GPU needs beside workers: one for the thread
// that gives the GPU its work, and one for what brings its batches, from the broker to pinned
// memory. With fewer the GPU waits for a thread that waits for its turn.
const forTrainer = 2

// Workers returns how many images to render at once, in the process of a trainer. One on the
// CPU takes all cores itself; workers then mostly wait until it needs a batch.
func (c Cores) Workers(gpu bool) int {
	if !gpu {
		return c.Count
	}
	return max(1, c.Count-forTrainer)
}

// Share returns the cores of each of n processes that share c.
func (c Cores) Share(n int) Cores {
	c.Count = max(1, c.Count/max(1, n))
	return c
}

// fromEnvironment is the first number in OMP_NUM_THREADS, which may list one for each
// level of nesting. If it is not a number, OpenMP itself complains.
func fromEnvironment(lookup func(string) (string, bool)) (int, bool) {
	value, _ := lookup("OMP_NUM_THREADS")
	first, _, _ := strings.Cut(value, ",")
	n, err := strconv.Atoi(strings.TrimSpace(first))
	return n, err == nil && n > 0
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
