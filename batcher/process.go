package batcher

import (
	"fmt"
	"os"
	"strings"
	"sync"
)

// thisProcess names this process so that another of the same boot and the same
// process namespace can find out whether it lives: "boot namespace start". Empty
// where the system does not tell.
var thisProcess = sync.OnceValue(func() string {
	machine, start := processSpace(), processStart(os.Getpid())
	if machine == "" || start == "" {
		return ""
	}
	return machine + " " + start
})

// hasEnded says whether the process of that name and number is known to be gone.
// It says false of processes that cannot be asked after from here.
func hasEnded(name string, pid int) bool {
	i := strings.LastIndexByte(name, ' ')
	if i < 0 || processSpace() != name[:i] {
		return false
	}
	return processStart(pid) != name[i+1:]
}

// processSpace names the boot of the machine and the namespace that process numbers
// are counted in: two containers of one host name may count apart.
func processSpace() string {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	ns, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(boot)) + " " + ns
}

// processStart is when the process began, in ticks since boot, which tells it from a
// later one of the same number; empty where there is none, or one that has ended
// and waits for its parent.
func processStart(pid int) string {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	// The second field is the program's name in brackets, which may hold anything.
	_, rest, ok := strings.Cut(string(raw), ") ")
	for ok && strings.Contains(rest, ") ") {
		_, rest, ok = strings.Cut(rest, ") ")
	}
	f := strings.Fields(rest)
	const state, start = 0, 19 // fields 3 and 22 of proc(5)
	if len(f) <= start || f[state] == "Z" || f[state] == "X" {
		return ""
	}
	return f[start]
}
