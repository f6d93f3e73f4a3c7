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

	"golang.org/x/sync/errgroup"

	"resslt/ingest/store"
	"resslt/schemas/errs"
)

// shardKind is what differs between tars and Parquet files as the shards of a set.
type shardKind struct {
	scheme, op, hint string
	noun             string                 // "tars"
	form             string                 // of a glob of shards in sub-folders
	is               func(name string) bool // by its name; compressed tars too
	plain            func(name string) bool // as is, but not compressed ones
	packs            bool                   // Pack's sidecar may be beside them
	depth            int                    // how deep below a folder they are looked for
}

var tarShards = &shardKind{
	scheme: "wds", op: "open wds", hint: wdsHint, noun: "tars", form: "*/*.tar",
	is: func(name string) bool { return isTarName(name) || isPackedTar(name) }, plain: isTarName, packs: true,
	depth: 3, // CONFIG/train/0000.tar
}

// shardSet is the shards that a glob names.
type shardSet struct {
	kind    *shardKind
	scan    scanner
	asNamed bool     // the URI names columns or fields: no index is published for that
	root    string   // the folder that the URI names, or in which its glob begins
	dir     string   // the names of shards are relative to it
	paths   []string // sorted
	named   bool     // their names, or the glob, say that they are of the split
	passed  Survey   // what lies beside them in a folder
	glob    string   // with {split}, by which other splits are found; "" without
	others  []string // paths of the other splits' shards, where a folder or glob has them
	sidecar *Manifest
	index   string // where an index may be published, next to the manifest that was named; "" for none
}

// findShards expands the glob. A folder means the split's shards in it, a manifest those
// that it lists: web servers cannot list files.
func findShards(ctx context.Context, k *shardKind, glob string, opt Options) (*shardSet, error) {
	st, split := opt.files, opt.splitOrTrain()
	if k.packs && strings.HasSuffix(glob, manifestEnd) {
		return shardsOfManifest(ctx, st, strings.ReplaceAll(glob, splitMark, split))
	}
	if !store.Remote(glob) || !k.plain(glob) && !strings.ContainsAny(glob, "{*?[") {
		isDir, err := st.IsDir(ctx, glob)
		if err != nil {
			return nil, fileError(k.op, glob, k.hint, err)
		}
		if isDir {
			return shardsOfFolder(ctx, k, glob, opt)
		}
		if k.packs && store.Remote(glob) { // a web server's folder, perhaps
			return shardsOfManifest(ctx, st, store.Join(glob, split+manifestEnd))
		}
	}
	paths, err := k.ofSplit(ctx, st, glob, split, false)
	if err != nil {
		return nil, err
	}
	set := &shardSet{kind: k, root: rootOf(glob), dir: commonDir(paths), paths: paths, named: strings.Contains(glob, splitMark)}
	if set.named {
		set.glob = glob
		if err := set.checkNamed(split); err != nil {
			return nil, err
		}
	} else if err := set.choose(glob, split); err != nil {
		return nil, err
	}
	if k.packs {
		set.sidecar, err = readSidecar(ctx, st, set.paths)
	}
	return set, err
}

// rootOf is the folder in which a glob begins.
func rootOf(glob string) string {
	if magic := strings.IndexAny(glob, "*?[{"); magic >= 0 {
		glob = glob[:magic] + "x"
	}
	return store.Dir(glob)
}

// ofSplit expands the glob with a split's name in the place of {split}: the usual name,
// or, where that finds nothing, another of its spellings. A split is there if its first
// file is; some: of a list or range, those files that are there.
func (k *shardKind) ofSplit(ctx context.Context, st *store.Store, glob, split string, some bool) (paths []string, err error) {
	names := spellings[split]
	if len(names) == 0 || !strings.Contains(glob, splitMark) {
		names = []string{split}
	}
	var first error
	for _, name := range names {
		e := expander{k, st, strings.Contains(glob, splitMark), some}
		paths, err = e.expand(ctx, strings.ReplaceAll(glob, splitMark, name))
		if err == nil || !errors.Is(err, errs.ErrNotFound) {
			return paths, err
		}
		if first == nil {
			first = err // which names the usual spelling
		}
	}
	return nil, first
}

// findOthers finds the shards that the glob names for other splits. These may have fewer
// shards than a range says.
func (s *shardSet) findOthers(ctx context.Context, st *store.Store, split string) error {
	for _, other := range []string{Train, Val, Test} {
		if other == split || s.glob == "" {
			continue
		}
		paths, err := s.kind.ofSplit(ctx, st, s.glob, other, true)
		if err != nil && !errors.Is(err, errs.ErrNotFound) {
			return err
		}
		s.others = append(s.others, paths...)
	}
	s.glob = "" // they are found
	return nil
}

// checkNamed checks that a glob with {split} found one set: {split}*.tar finds
// train_extra-0.tar too.
func (s *shardSet) checkNamed(split string) error {
	if !strings.ContainsAny(s.glob, "*?") {
		return nil // a list or range is meant as it is written out
	}
	var files []splitFile
	var names []string
	for _, p := range s.paths {
		name, err := store.Rel(s.root, p)
		if err != nil {
			return fileError(s.kind.op, p, s.kind.hint, err)
		}
		if f, err := splitOfFile(name); err == nil && f.split != "" {
			files, names = append(files, f), append(names, name)
		}
	}
	if len(files) == 0 {
		return nil
	}
	return s.kind.fileErrorOf(s.glob, checkOneSet(split, files, names))
}

// choose keeps the split's shards of those that a glob found, where a '*' or '?' of it
// stands for the names of several splits. Shards of one split, and those of a list or
// range, are all meant, whatever they are called.
func (s *shardSet) choose(glob, split string) error {
	wild := strings.ContainsAny(glob, "*?") && !strings.Contains(glob, "{")
	found := map[string]bool{}
	for _, p := range s.paths {
		f, err := splitOfFile(store.Base(p))
		if err != nil && wild { // it could hide a split among the others
			return s.kind.fileErrorOf(glob, err)
		}
		if err != nil {
			return nil //nolint:nilerr // a name that can be read in two ways is meant where it is written out
		}
		found[f.split] = true
	}
	delete(found, "")
	if len(found) == 0 {
		if wild {
			return s.kind.fileErrorOf(glob, checkNumbered(s.paths))
		}
		return nil
	}
	byName := map[string]string{}
	var names []string
	for _, p := range s.paths {
		name, err := store.Rel(s.dir, p)
		if err != nil {
			return fileError(s.kind.op, p, s.kind.hint, err)
		}
		byName[name] = p
		names = append(names, name)
	}
	chosen, _, err := filesOfSplit(names, split)
	if len(found) == 1 {
		s.named = err == nil && len(chosen) == len(names)
		if wild {
			return s.kind.fileErrorOf(glob, checkNumbered(s.paths))
		}
		return nil
	}
	if !wild {
		return nil
	}
	if err != nil {
		return s.kind.fileErrorOf(glob, err)
	}
	s.passed, s.named, s.paths = filesWithoutSplit(names, chosen), true, nil
	for _, name := range chosen {
		s.paths = append(s.paths, byName[name])
	}
	for _, name := range filesOfOthers(names, chosen) {
		s.others = append(s.others, byName[name])
	}
	return nil
}

// fileErrorOf says where an error about file names lies.
func (k *shardKind) fileErrorOf(place string, err error) error {
	if err == nil {
		return nil
	}
	return fileError(k.op, place, k.hint, err)
}

// expander expands globs with braces to sorted names.
type expander struct {
	k       *shardKind
	st      *store.Store
	guessed bool // the name of the split: its first file is looked for
	some    bool // files of a list or range may be missing
}

func (e expander) expand(ctx context.Context, glob string) ([]string, error) {
	exact, pattern := literalPrefix(ctx, e.st, glob)
	exact = escapeGlob(exact)
	globs, err := expandBraces(pattern)
	if err != nil {
		return nil, err
	}
	found, faults := make([][]string, len(globs)), make([]error, len(globs))
	var g errgroup.Group
	g.SetLimit(globsAtOnce)
	for i, part := range globs {
		part = exact + part
		looked := len(globs) == 1 || e.some || i == 0 && e.guessed
		if !looked && store.Remote(part) && !strings.ContainsAny(part, `*?[\`) {
			found[i] = []string{part} // stampShards, soon after, finds out whether it is there
			continue
		}
		if i == 0 { // without it, the others need not be looked for
			if found[0], err = e.find(ctx, part); err != nil {
				return nil, err
			}
			continue
		}
		g.Go(func() error {
			found[i], faults[i] = e.find(ctx, part)
			if e.some && errors.Is(faults[i], errs.ErrNotFound) {
				faults[i] = nil
			}
			return nil // the first fault by name is reported
		})
	}
	if err := errors.Join(g.Wait(), ctx.Err()); err != nil {
		return nil, err
	}
	for _, err := range faults {
		if err != nil {
			return nil, err
		}
	}
	paths := slices.Concat(found...)
	slices.Sort(paths)
	return slices.Compact(paths), nil
}

// globsAtOnce bounds the requests to a store.
const globsAtOnce = 16

// find finds the files of a glob without braces, of which there must be one: a range names
// every shard, and a missing one is an error, not a smaller match.
func (e expander) find(ctx context.Context, glob string) ([]string, error) {
	found, err := e.st.Glob(ctx, glob)
	switch {
	case errors.Is(err, path.ErrBadPattern), errors.Is(err, filepath.ErrBadPattern):
		return nil, errs.New(e.k.op, glob, e.k.hint, errs.BecauseErr(errs.ErrUsage, err))
	case err != nil:
		return nil, fileError(e.k.op, glob, e.k.hint, err)
	case len(found) == 0:
		return nil, errs.New(e.k.op, glob, e.k.hint, errs.Because(errs.ErrNotFound, "no such shard"))
	}
	return found, nil
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
