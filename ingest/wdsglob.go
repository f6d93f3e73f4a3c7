package ingest

import (
	"context"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"resslt/ingest/store"
	"resslt/schemas/errs"
)

// shardSet is the shards that a glob names.
type shardSet struct {
	dir     string   // the names of shards are relative to it
	paths   []string // sorted
	sidecar *Manifest
	index   string // where an index may be published, next to the manifest that was named; "" for none
}

// findShards expands the glob. A folder means the shards that Pack wrote there, a
// manifest those that it lists: web servers cannot list files.
func findShards(ctx context.Context, st *store.Store, glob, split string) (*shardSet, error) {
	const op = "open wds"
	if strings.HasSuffix(glob, manifestEnd) {
		return shardsOfManifest(ctx, st, strings.ReplaceAll(glob, splitMark, split))
	}
	isDir, err := false, error(nil)
	if !store.Remote(glob) || !strings.HasSuffix(strings.ToLower(glob), ".tar") && !strings.ContainsAny(glob, "{*?[") {
		if isDir, err = st.IsDir(ctx, glob); err != nil {
			return nil, fileError(op, glob, wdsHint, err)
		}
		if store.Remote(glob) && !isDir { // a web server's folder, perhaps
			return shardsOfManifest(ctx, st, store.Join(glob, split+manifestEnd))
		}
	}
	whole := false // all shards of a pack must be there
	if isDir {
		glob = escapeGlob(glob)
		found, err := st.Glob(ctx, store.Join(glob, split+"-*.tar"))
		if err != nil {
			return nil, fileError(op, glob, wdsHint, err)
		}
		if whole = len(found) > 0; whole {
			glob = store.Join(glob, split+"-*.tar")
		} else {
			glob = store.Join(glob, "*.tar")
		}
	}
	paths, err := expandGlob(ctx, st, op, strings.ReplaceAll(glob, splitMark, split), wdsHint)
	if err != nil {
		return nil, err
	}
	set := &shardSet{dir: commonDir(paths), paths: paths}
	if set.sidecar, err = readSidecar(ctx, st, paths); err != nil {
		return nil, err
	}
	if whole {
		if err := set.checkComplete(); err != nil {
			return nil, err
		}
	}
	for _, p := range paths {
		if l := strings.ToLower(p); strings.HasSuffix(l, ".gz") || strings.HasSuffix(l, ".tgz") || strings.HasSuffix(l, ".xz") || strings.HasSuffix(l, ".zst") {
			return nil, errs.New(op, p, "unpack it to a plain tar", errs.Because(errs.ErrUnsupported, "a compressed tar has no random access"))
		}
	}
	return set, nil
}

// expandGlob expands a glob with braces to sorted names.
func expandGlob(ctx context.Context, st *store.Store, op, glob, hint string) ([]string, error) {
	globs, err := expandBraces(glob)
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, g := range globs {
		if len(globs) > 1 && store.Remote(g) && !strings.ContainsAny(g, `*?[\`) {
			paths = append(paths, g) // stampShards, soon after, finds out whether it is there
			continue
		}
		found, err := st.Glob(ctx, g)
		if errors.Is(err, path.ErrBadPattern) || errors.Is(err, filepath.ErrBadPattern) {
			return nil, errs.New(op, g, hint, errs.BecauseErr(errs.ErrUsage, err))
		}
		if err != nil {
			return nil, fileError(op, g, hint, err)
		}
		// A range names every shard: a missing one is an error, not a smaller match.
		if len(found) == 0 {
			return nil, errs.New(op, g, hint, errs.Because(errs.ErrNotFound, "no such shard"))
		}
		paths = append(paths, found...)
	}
	slices.Sort(paths)
	return slices.Compact(paths), nil
}

func escapeGlob(s string) string {
	return regexp.MustCompile(`[*?\[\]\\]`).ReplaceAllString(s, `\$0`)
}

// maxBraceShards caps what ranges may expand to.
const maxBraceShards = 1 << 20

// maxBraceBytes caps the bytes of all their names: a million of 256 bytes.
const maxBraceBytes = 1 << 28

var braceRange = regexp.MustCompile(`^(\d+)\.\.(\d+)$`)

// expandBraces expands {000..012} and {a,b} as a shell does; the first number gives the
// width.
func expandBraces(glob string) ([]string, error) {
	bad := func(why string) error {
		return errs.New("open wds", glob, "write ranges as {000..099} and choices as {a,b}", errs.Because(errs.ErrUsage, why))
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
		if len(out)*len(choices)*len(glob) > maxBraceBytes {
			return nil, bad("names of too many bytes")
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

// trimZeros removes leading zeros, which would mean octal.
func trimZeros(s string) string {
	if t := strings.TrimLeft(s, "0"); t != "" {
		return t
	}
	return "0"
}
