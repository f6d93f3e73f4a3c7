package process

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
)

// This names this process so that another of the same boot and the same
// process namespace can check whether it lives: "boot namespace start". Empty
// where the system does not say.
var This = sync.OnceValue(func() string {
	machine := Space()
	start, _ := Start(os.Getpid())
	if machine == "" || start == "" {
		return ""
	}
	return machine + " " + start
})

// HasEnded reports whether the process of that name and number is known to be gone.
// It says false of processes that cannot be asked after from here.
func HasEnded(name string, pid int) bool {
	if pid == os.Getpid() && name == This() {
		return false // a server has a lease for each of its clients
	}
	i := strings.LastIndexByte(name, ' ')
	if i < 0 || Space() != name[:i] {
		return false
	}
	// Under hidepid other people's processes are not in /proc, and are alive.
	if pid < 1 || !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		start, known := Start(pid)
		return known && start != name[i+1:]
	}
	return true
}

// Space names the boot of the machine and the namespace that process numbers
// are counted in: two containers of one host name may count separately. Neither changes in the
// life of a process.
var Space = sync.OnceValue(func() string {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id") //nolint:forbidigo // the kernel's
	if err != nil {
		return ""
	}
	ns, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(boot)) + " " + ns
})

// Start is when the process began, in ticks since boot, which distinguishes it from a
// later one of the same number; empty for one that has ended and waits for its
// parent. known is false where the system does not say.
func Start(pid int) (start string, known bool) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)) //nolint:forbidigo // the kernel's
	if err != nil {
		return "", false
	}
	// The second field is the program's name in brackets, which may hold anything.
	_, rest, ok := strings.Cut(string(raw), ") ")
	for ok && strings.Contains(rest, ") ") {
		_, rest, ok = strings.Cut(rest, ") ")
	}
	f := strings.Fields(rest)
	const state, began = 0, 19 // fields 3 and 22 of proc(5)
	if len(f) <= began {
		return "", false
	}
	if f[state] == "Z" || f[state] == "X" {
		return "", true
	}
	return f[began], true
}
