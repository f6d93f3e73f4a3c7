package memory

import (
	"fmt"
	"io/fs"
	"math"
	"os"
	"path"
	"strconv"
	"strings"

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
	for line := range strings.Lines(read(root, "proc/meminfo")) {
		if words := strings.Fields(line); len(words) >= 2 && words[0] == "MemTotal:" {
			if kib, err := strconv.ParseInt(words[1], 10, 64); err == nil && kib < math.MaxInt64>>10 {
				take(kib << 10)
			}
		}
	}
	for line := range strings.Lines(read(root, "proc/self/cgroup")) {
		// hierarchy:controllers:path; version 2 has no controllers.
		_, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		controllers, at, ok := strings.Cut(rest, ":")
		if !ok {
			continue
		}
		folder, file := "sys/fs/cgroup", "memory.max"
		if strings.Contains(","+controllers+",", ",memory,") {
			folder, file = "sys/fs/cgroup/memory", "memory.limit_in_bytes"
		} else if controllers != "" {
			continue
		}
		// The group may be mounted as the root, as in a container; its parents limit it, too.
		for at = path.Clean("/" + at); ; at = path.Dir(at) {
			if n, err := strconv.ParseInt(strings.TrimSpace(read(root, path.Join(folder, at, file))), 10, 64); err == nil { // else "max", or none
				take(n)
			}
			if at == "/" {
				break
			}
		}
	}
	return least
}

func read(root fs.FS, name string) string {
	raw, err := fs.ReadFile(root, name)
	if err != nil {
		return "" // as if it said nothing
	}
	return string(raw)
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
