package cores

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
)

// Cores are those of this process.
type Cores struct {
	Count   int     // 1 or more
	Allowed int     // by the affinity mask
	Quota   float64 // by the cgroup, in processors; 0: none
}

// Here are this process's cores, looked up once.
var Here = sync.OnceValue(func() Cores { return count(os.DirFS("/"), runtime.NumCPU()) })

// Count is Here().Count.
func Count() int { return Here().Count }

// String says where the number comes from: "4 cores (a cgroup's quota of 4 on 64)".
func (c Cores) String() string {
	s := plural(c.Count, "core")
	if c.Quota > 0 && c.Count < c.Allowed {
		s += fmt.Sprintf(" (a cgroup's quota of %s on %d)", strconv.FormatFloat(c.Quota, 'f', -1, 64), c.Allowed)
	}
	return s
}

// Threads are libtorch's where nobody asks for a number, and where it comes from.
type Threads struct {
	Count  int
	Source string // "OMP_NUM_THREADS", or Cores.String's
}

// For gives the threads of a process that has so many cores. lookup reads the
// environment.
func For(c Cores, lookup func(string) (string, bool)) Threads {
	if n, ok := asked(lookup); ok {
		return Threads{Count: n, Source: "OMP_NUM_THREADS"}
	}
	return Threads{Count: c.Count, Source: c.String()}
}

// DefaultThreads are those of this process.
func DefaultThreads() Threads { return For(Here(), os.LookupEnv) }

// Share are the cores of each of n processes that share these.
func (c Cores) Share(n int) Cores {
	c.Count = max(1, c.Count/max(1, n))
	return c
}

// asked is the first number of OMP_NUM_THREADS, which may list one for every level of
// nesting. What is no number is OpenMP's to complain of, as it does.
func asked(lookup func(string) (string, bool)) (int, bool) {
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
