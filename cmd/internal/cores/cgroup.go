package cores

import (
	"io/fs"
	"math"
	"path"
	"strconv"
	"strings"

	"resslt/schemas/cgroup"
)

// count combines the affinity mask's number with the quota in root's files. A quota of
// 2.5 gives 3: two threads would leave half a processor unused.
func count(root fs.FS, allowed int) Cores {
	c := Cores{Count: max(1, allowed), Allowed: allowed, Quota: quota(root)}
	if c.Quota > 0 {
		c.Count = max(1, min(c.Count, int(math.Ceil(c.Quota))))
	}
	return c
}

// quota is the smallest quota of the process's cgroup and its ancestors, in processors; 0
// if there is none or it cannot be read (no Linux, no cgroups).
func quota(root fs.FS) float64 {
	least := 0.0
	for dir := range cgroup.Folders(root, "cpu") {
		if q := quotaOf(root, dir); q > 0 && (least == 0 || q < least) {
			least = q
		}
	}
	return least
}

// quotaOf is a cgroup's quota: cpu.max has "max 100000" or "150000 100000" (version 2);
// version 1 has a file for each number, and -1 for no quota.
func quotaOf(root fs.FS, dir string) float64 {
	words := strings.Fields(cgroup.Read(root, path.Join(dir, "cpu.max")))
	if len(words) != 2 {
		words = []string{strings.TrimSpace(cgroup.Read(root, path.Join(dir, "cpu.cfs_quota_us"))), strings.TrimSpace(cgroup.Read(root, path.Join(dir, "cpu.cfs_period_us")))}
	}
	used, err1 := strconv.ParseFloat(words[0], 64)
	period, err2 := strconv.ParseFloat(words[1], 64)
	if err1 != nil || err2 != nil || used <= 0 || period <= 0 {
		return 0
	}
	return used / period
}
