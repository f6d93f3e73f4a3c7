// Package version says which build a program is:
//
//	0.1.0-dev (2f3c9a1b04de, 2026-11-28, dirty) go1.26.8 linux/amd64
//
// In parentheses are the commit, its date (UTC), and "dirty" where the tree had
// uncommitted changes. `make build` links them in; a plain `go build` inside a clone has
// them from the build information that Go embeds. A build without either says
// "unknown commit".
//
// CONTRIBUTING.md has the rule of the number.
package version
