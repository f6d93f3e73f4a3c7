package version

import (
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
)

func TestDescribe(t *testing.T) {
	const full = "2f3c9a1b04de77aa2f3c9a1b04de77aa2f3c9a1b"
	vcs := func(more ...debug.BuildSetting) *debug.BuildInfo {
		return &debug.BuildInfo{GoVersion: "go1.26.8", Settings: append([]debug.BuildSetting{{Key: "-trimpath", Value: "true"}}, more...)}
	}
	clean := vcs(debug.BuildSetting{Key: "vcs.revision", Value: full}, debug.BuildSetting{Key: "vcs.time", Value: "2026-11-28T17:30:00Z"},
		debug.BuildSetting{Key: "vcs.modified", Value: "false"})
	dirty := vcs(append(clean.Settings[:3:3], debug.BuildSetting{Key: "vcs.modified", Value: "true"})...)
	for _, c := range []struct {
		name                string
		info                *debug.BuildInfo
		commit, date, state string // by the linker
		number, tree        string
	}{
		{name: "a clone", info: clean, number: "0.1.0-dev", tree: "2f3c9a1b04de, 2026-11-28"},
		{name: "a clone with changes", info: dirty, number: "0.1.0-dev", tree: "2f3c9a1b04de, 2026-11-28, dirty"},
		{name: "no clone", info: vcs(), number: "0.1.0-dev", tree: "unknown commit"},
		{name: "the linker's", info: vcs(), number: "0.3.0", commit: full, date: "2026-12-01", tree: "2f3c9a1b04de, 2026-12-01"},
		{name: "the linker's before Go's", info: clean, number: "0.3.0", commit: "abc", state: "dirty", tree: "abc, dirty"},
	} {
		t.Run(c.name, func(t *testing.T) {
			defer func(n, a, b, s string) { number, commit, date, state = n, a, b, s }(number, commit, date, state)
			number, commit, date, state = c.number, c.commit, c.date, c.state
			want := c.number + " (" + c.tree + ") go1.26.8 " + runtime.GOOS + "/" + runtime.GOARCH
			if got := describe(c.info); got != want {
				t.Errorf("%q, want %q", got, want)
			}
		})
	}
}

func TestString(t *testing.T) {
	s := String()
	if !strings.HasPrefix(s, number+" (") || !strings.HasSuffix(s, runtime.GOOS+"/"+runtime.GOARCH) || strings.Contains(s, "\n") {
		t.Errorf("%q", s)
	}
}
