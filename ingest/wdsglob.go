package ingest

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"resslt/schemas"
)

// splitMark in a glob stands for the split's name.
const splitMark = "{split}"

// findShards expands the glob to a sorted list of files. A folder stands for the
// shards that Pack wrote there.
func findShards(glob, split string) ([]string, error) {
	const op = "open wds"
	if split == "" {
		split = Train
	}
	if hasDir(glob) {
		mine := filepath.Join(escapeGlob(glob), split+"-*.tar")
		if found, _ := filepath.Glob(mine); len(found) > 0 {
			return found, checkComplete(found)
		}
		glob = filepath.Join(escapeGlob(glob), "*.tar")
	}
	globs, err := expandBraces(strings.ReplaceAll(glob, splitMark, split))
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, g := range globs {
		found, err := filepath.Glob(g)
		if err != nil {
			return nil, schemas.E(op, g, wdsHint, schemas.BecauseErr(schemas.ErrUsage, err))
		}
		// A range names every shard: one that is missing is no smaller match.
		if len(found) == 0 {
			return nil, schemas.E(op, g, wdsHint, schemas.Because(schemas.ErrNotFound, "no such shard"))
		}
		paths = append(paths, found...)
	}
	slices.Sort(paths)
	paths = slices.Compact(paths)
	for _, p := range paths {
		if l := strings.ToLower(p); strings.HasSuffix(l, ".gz") || strings.HasSuffix(l, ".tgz") || strings.HasSuffix(l, ".xz") || strings.HasSuffix(l, ".zst") {
			return nil, schemas.E(op, p, "unpack it to a plain tar", schemas.Because(schemas.ErrUnsupported, "a compressed tar can't be read at random"))
		}
	}
	return paths, nil
}

func escapeGlob(s string) string {
	return regexp.MustCompile(`[*?\[\]\\]`).ReplaceAllString(s, `\$0`)
}

// maxBraceShards caps what ranges may expand to.
const maxBraceShards = 1 << 20

var braceRange = regexp.MustCompile(`^(\d+)\.\.(\d+)$`)

// expandBraces turns {000..012} and {a,b} into all that they stand for, as a
// shell does: width follows the first number.
func expandBraces(glob string) ([]string, error) {
	bad := func(why string) error {
		return schemas.E("open wds", glob, "write ranges as {000..099} and choices as {a,b}", schemas.Because(schemas.ErrUsage, why))
	}
	out := []string{""}
	for rest := glob; rest != ""; {
		before, after, ok := strings.Cut(rest, "{")
		for i := range out {
			out[i] += before
		}
		if !ok {
			break
		}
		body, tail, ok := strings.Cut(after, "}")
		if !ok {
			return nil, bad("a { without }")
		}
		choices := strings.Split(body, ",")
		if r := braceRange.FindStringSubmatch(body); r != nil {
			var lo, hi int
			if _, err := fmt.Sscan(trimZeros(r[1])+" "+trimZeros(r[2]), &lo, &hi); err != nil || hi < lo || hi-lo >= maxBraceShards {
				return nil, bad("bad range {" + body + "}")
			}
			choices = choices[:0]
			for i := lo; i <= hi; i++ {
				choices = append(choices, fmt.Sprintf("%0*d", len(r[1]), i))
			}
		} else if len(choices) < 2 || strings.Contains(body, "{") {
			return nil, bad("bad braces {" + body + "}")
		}
		if len(out)*len(choices) > maxBraceShards {
			return nil, bad("more than a million shards")
		}
		next := make([]string, 0, len(out)*len(choices))
		for _, o := range out {
			for _, c := range choices {
				next = append(next, o+c)
			}
		}
		out, rest = next, tail
	}
	return out, nil
}

// trimZeros keeps a leading zero from meaning octal.
func trimZeros(s string) string {
	if t := strings.TrimLeft(s, "0"); t != "" {
		return t
	}
	return "0"
}
