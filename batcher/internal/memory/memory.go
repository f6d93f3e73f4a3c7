package memory

import (
	"fmt"
	"io/fs"
	"math"
	"os"
	"path"
	"strconv"
	"strings"

	"resslt/schemas/cgroup"
	"resslt/schemas/errs"
)

// Limit is the machine's memory or the least that the process's cgroups allow, bytes;
// math.MaxInt64 where neither can be read (no Linux).
func Limit() int64 { return limit(os.DirFS("/")) }

func limit(root fs.FS) int64 {
	least := int64(math.MaxInt64)
	take := func(n int64) {
		if n > 0 {
			least = min(least, n)
		}
	}
	for line := range strings.Lines(cgroup.Read(root, "proc/meminfo")) {
		if words := strings.Fields(line); len(words) >= 2 && words[0] == "MemTotal:" {
			if kib, err := strconv.ParseInt(words[1], 10, 64); err == nil && kib < math.MaxInt64>>10 {
				take(kib << 10)
			}
		}
	}
	for dir := range cgroup.Folders(root, "memory") {
		for _, file := range []string{"memory.max", "memory.limit_in_bytes"} { // of version 2, of version 1
			if n, err := strconv.ParseInt(strings.TrimSpace(cgroup.Read(root, path.Join(dir, file))), 10, 64); err == nil { // else "max", or none
				take(n)
			}
		}
	}
	return least
}

// Check returns ErrTooLarge where what needs so many bytes cannot be had here.
func Check(op, where string, need int64, hint string) error {
	return check(op, where, need, Limit(), hint)
}

func check(op, where string, need, have int64, hint string) error {
	if need <= have {
		return nil
	}
	return errs.New(op, where, hint, errs.Because(errs.ErrTooLarge,
		fmt.Sprintf("it needs %.1f GiB of memory, and this process may take %.1f", float64(need)/(1<<30), float64(have)/(1<<30))))
}
