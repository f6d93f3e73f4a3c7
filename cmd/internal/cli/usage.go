package cli

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
	"time"
)

// PeakRSS is the process's largest resident size in bytes.
func PeakRSS() int64 {
	peak := usage().Maxrss
	if runtime.GOOS == "darwin" {
		return peak // in bytes
	}
	return peak << 10 // Linux and the BSDs count KiB
}

// RSS is the process's resident size in bytes, 0 where the system does not tell.
func RSS() int64 {
	raw, err := os.ReadFile("/proc/self/statm") //nolint:forbidigo // the kernel's
	if err != nil {
		return 0
	}
	var total, resident int64
	if _, err := fmt.Sscan(string(raw), &total, &resident); err != nil {
		return 0
	}
	return resident * int64(os.Getpagesize())
}

// CPUTime is the process's user and system time.
func CPUTime() time.Duration {
	u := usage()
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// usage is zero where the system does not tell: the call fails for a wrong argument only.
func usage() (u syscall.Rusage) {
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return syscall.Rusage{}
	}
	return u
}
