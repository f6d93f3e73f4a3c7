package cores

import (
	"io/fs"
	"math"
	"path"
	"strconv"
	"strings"
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
	for _, dir := range folders(root) {
		for ; ; dir = path.Dir(dir) {
			if q := quotaOf(root, dir); q > 0 && (least == 0 || q < least) {
				least = q
			}
			if _, err := fs.Stat(root, path.Join(path.Dir(dir), "cgroup.procs")); err != nil || dir == "." {
				break // the parent is not a cgroup: dir is the hierarchy's root
			}
		}
	}
	return least
}

// quotaOf is a cgroup's quota: cpu.max has "max 100000" or "150000 100000" (version 2);
// version 1 has a file for each number, and -1 for no quota.
func quotaOf(root fs.FS, dir string) float64 {
	words := strings.Fields(read(root, path.Join(dir, "cpu.max")))
	if len(words) != 2 {
		words = []string{strings.TrimSpace(read(root, path.Join(dir, "cpu.cfs_quota_us"))), strings.TrimSpace(read(root, path.Join(dir, "cpu.cfs_period_us")))}
	}
	used, err1 := strconv.ParseFloat(words[0], 64)
	period, err2 := strconv.ParseFloat(words[1], 64)
	if err1 != nil || err2 != nil || used <= 0 || period <= 0 {
		return 0
	}
	return used / period
}

// folders are the mounted folders of the process's cgroups that can limit processors:
// that of version 2, and that of version 1's cpu controller.
func folders(root fs.FS) (out []string) {
	mounts := mounted(root)
	for line := range strings.Lines(read(root, "proc/self/cgroup")) {
		// hierarchy:controllers:path; version 2 has neither number nor controllers.
		id, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		controllers, at, ok := strings.Cut(rest, ":")
		if !ok {
			continue
		}
		kind := ""
		if id == "0" && controllers == "" {
			kind = "cgroup2"
		} else if has(controllers, "cpu") {
			kind = "cpu"
		}
		m, ok := mounts[kind]
		if !ok {
			continue
		}
		// In a container the mount shows only a part of the hierarchy. If the path is not
		// in that part, use the mount's own root.
		below, ok := strings.CutPrefix(at, strings.TrimSuffix(m.top, "/"))
		if !ok || strings.HasPrefix(below, "/..") {
			below = "/"
		}
		out = append(out, path.Join(strings.TrimPrefix(m.point, "/"), below))
	}
	return out
}

// mount is the mount point of a hierarchy.
type mount struct {
	top   string // the hierarchy's folder that is mounted
	point string
}

// mounted parses mountinfo (proc_pid_mountinfo(5)): "id parent dev TOP POINT options …
// - TYPE source SUPEROPTIONS". The key is "cgroup2", or "cpu" for version 1.
func mounted(root fs.FS) map[string]mount {
	out := map[string]mount{}
	for line := range strings.Lines(read(root, "proc/self/mountinfo")) {
		before, after, ok := strings.Cut(line, " - ")
		a, b := strings.Fields(before), strings.Fields(after)
		if !ok || len(a) < 5 || len(b) < 3 {
			continue
		}
		switch {
		case b[0] == "cgroup2":
			out["cgroup2"] = mount{a[3], a[4]}
		case b[0] == "cgroup" && has(b[2], "cpu"):
			out["cpu"] = mount{a[3], a[4]}
		}
	}
	return out
}

// has reports whether a comma-separated list contains word.
func has(list, word string) bool {
	for l := range strings.SplitSeq(list, ",") {
		if l == word {
			return true
		}
	}
	return false
}

// read is a file's text, "" if it cannot be read.
func read(root fs.FS, name string) string {
	b, err := fs.ReadFile(root, name)
	if err != nil {
		return ""
	}
	return string(b)
}
