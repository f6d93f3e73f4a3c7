package cgroup

import (
	"io/fs"
	"iter"
	"path"
	"strings"
)

// Folders are the folders, relative to root, of the process's cgroups that can hold limits of a
// controller, "cpu" or "memory", each followed by its ancestors, which limit it, too. There are
// none where it has no such cgroup, or they cannot be read.
func Folders(root fs.FS, controller string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, dir := range groups(root, controller) {
			for ; ; dir = path.Dir(dir) {
				if !yield(dir) {
					return
				}
				if _, err := fs.Stat(root, path.Join(path.Dir(dir), "cgroup.procs")); err != nil || dir == "." {
					break // the parent is not a cgroup: dir is the hierarchy's root
				}
			}
		}
	}
}

// groups are the mounted folders of the process's own cgroups: that of version 2, and that of
// version 1's controller.
func groups(root fs.FS, controller string) (out []string) {
	mounts := mounted(root, controller)
	for line := range strings.Lines(Read(root, "proc/self/cgroup")) {
		// hierarchy:controllers:path; version 2 has neither number nor controllers.
		id, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		controllers, at, ok := strings.Cut(rest, ":")
		if !ok {
			continue
		}
		kind := ""
		if id == "0" && controllers == "" {
			kind = version2
		} else if has(controllers, controller) {
			kind = controller
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

// version2 is the kind of the one hierarchy of version 2.
const version2 = "cgroup2"

// mount is the mount point of a hierarchy.
type mount struct {
	top   string // the hierarchy's folder that is mounted
	point string
}

// mounted parses mountinfo (proc_pid_mountinfo(5)): "id parent dev TOP POINT options …
// - TYPE source SUPEROPTIONS". The key is version2, or the controller for version 1.
func mounted(root fs.FS, controller string) map[string]mount {
	out := map[string]mount{}
	for line := range strings.Lines(Read(root, "proc/self/mountinfo")) {
		before, after, ok := strings.Cut(line, " - ")
		a, b := strings.Fields(before), strings.Fields(after)
		if !ok || len(a) < 5 || len(b) < 3 {
			continue
		}
		switch {
		case b[0] == version2:
			out[version2] = mount{a[3], a[4]}
		case b[0] == "cgroup" && has(b[2], controller):
			out[controller] = mount{a[3], a[4]}
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

// Read is a file's text, "" if it cannot be read.
func Read(root fs.FS, name string) string {
	b, err := fs.ReadFile(root, name)
	if err != nil {
		return ""
	}
	return string(b)
}
