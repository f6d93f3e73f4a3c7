package version

import (
	"cmp"
	"runtime"
	"runtime/debug"
	"strings"
)

// The linker sets these (-ldflags "-X resslt/cmd/internal/version.number=0.3.0"); see
// the Makefile.
var (
	// number is the version: of a release its tag without the v, of any other build the
	// release that the tree leads to, with -dev.
	number = "0.1.0-dev"
	// commit, date and state describe the tree; "" where the linker was not told.
	commit, date, state string
)

// Number is the version alone.
func Number() string { return number }

// Build is a build's parts.
type Build struct {
	Number   string `json:"version"`
	Commit   string `json:"commit"` // "" where it is not known
	Date     string `json:"date"`   // of the commit, UTC
	Modified bool   `json:"modified"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// Parts returns this build's parts.
func Parts() Build {
	info := buildInfo()
	tree := treeOf(info)
	return Build{Number: number, Commit: tree[0], Date: tree[1], Modified: tree[2] != "", Go: info.GoVersion, Platform: runtime.GOOS + "/" + runtime.GOARCH}
}

// treeOf is the commit, date and state of the tree, by the linker or by Go.
func treeOf(info *debug.BuildInfo) []string {
	if commit == "" {
		return embedded(info)
	}
	return []string{commit, date, state}
}

// String returns the version, the commit and the platform of this build, on one line.
func String() string { return describe(buildInfo()) }

// buildInfo is what Go knows of this build, its own version at least.
func buildInfo() *debug.BuildInfo {
	if info, ok := debug.ReadBuildInfo(); ok {
		return info
	}
	return &debug.BuildInfo{GoVersion: runtime.Version()}
}

// describe is String for the given build information.
func describe(info *debug.BuildInfo) string {
	tree := treeOf(info)
	tree[0] = cmp.Or(shorten(tree[0]), "unknown commit")
	var known []string
	for _, part := range tree {
		if part != "" {
			known = append(known, part)
		}
	}
	return number + " (" + strings.Join(known, ", ") + ") " + info.GoVersion + " " + runtime.GOOS + "/" + runtime.GOARCH
}

// embedded returns the commit, date and state that Go wrote into the program; each is ""
// where Go was told not to (-buildvcs=false) or was not inside a clone.
func embedded(info *debug.BuildInfo) []string {
	tree := make([]string, 3)
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			tree[0] = s.Value
		case "vcs.time":
			tree[1], _, _ = strings.Cut(s.Value, "T")
		case "vcs.modified":
			if s.Value == "true" {
				tree[2] = "dirty"
			}
		}
	}
	return tree
}

// shorten cuts a commit to the 12 digits that git itself uses in a large repository.
func shorten(commit string) string { return commit[:min(12, len(commit))] }
