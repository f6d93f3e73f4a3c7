package ingest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"resslt/ingest/store"
	"resslt/schemas/errs"
)

// A folder of shards: which in it, or below it, are those of a split.

func isTarName(name string) bool { return strings.HasSuffix(strings.ToLower(name), ".tar") }

// isPackedTar reports whether a name is that of a compressed tar.
func isPackedTar(name string) bool { return plainName(name) != "" }

// shardsOfFolder are the split's shards in the folder or, as Hugging Face lays them out,
// below it: data/train-….tar, train/0000.tar, CONFIG/train/0000.tar.
func shardsOfFolder(ctx context.Context, k *shardKind, dir string, opt Options) (*shardSet, error) {
	st, split := opt.files, opt.splitOrTrain()
	top, passed, err := k.filesIn(ctx, st, dir, "", 1)
	if err != nil {
		return nil, fileError(k.op, dir, k.hint, err)
	}
	names := top
	chosen, known, err := filesOfSplit(names, split)
	if len(chosen) == 0 || !known && err == nil {
		if names, _, err = k.filesIn(ctx, st, dir, "", k.depth); err != nil {
			return nil, fileError(k.op, dir, k.hint, err)
		}
		if len(top) > 0 { // others are no part of the set
			names = slices.DeleteFunc(names, func(n string) bool {
				first, _, below := strings.Cut(n, "/")
				return below && first != "data" && len(splitsInName(first)) == 0
			})
		}
		chosen, known, err = filesOfSplit(names, split)
	}
	if opt.Split == "" && len(chosen) == 0 && errors.Is(err, errs.ErrNotFound) && onlySplit(names) {
		// No split is asked for, and there is one alone: that is meant.
		chosen, known, err = names, false, checkNumbered(names)
	}
	if err != nil {
		return nil, fileError(k.op, dir, k.hint, err)
	}
	if len(chosen) == 0 {
		return nil, errs.New(k.op, dir, k.hint, errs.Because(errs.ErrNotFound, "no such shard: the folder holds no "+k.noun))
	}
	unnamed := func(n string) bool { return strings.Contains(n, "/") && !inPartition(n) && path.Dir(n) != "data" }
	if i := slices.IndexFunc(chosen, unnamed); !known && i >= 0 && !onlySplit(chosen) {
		return nil, errs.New(k.op, dir, "name them by a glob, as in "+k.scheme+":"+store.Join(dir, k.form),
			errs.Because(errs.ErrUsage, fmt.Sprintf("shards lie in sub-folders whose names say no split (first %s)", chosen[i])))
	}
	passed.Merge("", filesWithoutSplit(names, chosen))
	set, err := k.setOfFolder(ctx, st, dir, split, chosen, known, passed)
	if err == nil && known {
		for _, n := range filesOfOthers(names, chosen) {
			if k.plain(n) {
				set.others = append(set.others, store.Join(dir, n))
			}
		}
	}
	return set, err
}

// setOfFolder is the set of the chosen names. Where these do not say their split, the
// sidecars of several packs do.
func (k *shardKind) setOfFolder(ctx context.Context, st *store.Store, dir, split string, chosen []string, known bool, passed Survey) (*shardSet, error) {
	plain := map[string]bool{}
	for _, n := range chosen {
		plain[n] = k.plain(n)
	}
	chosen = slices.DeleteFunc(slices.Clone(chosen), func(n string) bool {
		twin := isPackedTar(n) && plain[plainName(n)]
		if twin {
			passed.Add("compressed copies of tars", n)
		}
		return twin
	})
	set := &shardSet{kind: k, root: dir, named: known, passed: passed}
	for _, n := range chosen {
		set.paths = append(set.paths, store.Join(dir, n))
	}
	if !known && k.packs {
		paths, err := packsOfSplit(ctx, st, k.op, dir, split, set.paths)
		if err != nil {
			return nil, err
		}
		set.named, set.paths = len(paths) < len(set.paths), paths
	}
	slices.Sort(set.paths)
	set.dir = commonDir(set.paths)
	if !k.packs {
		return set, nil
	}
	var err error
	if set.sidecar, err = readSidecar(ctx, st, set.paths); err != nil {
		return nil, err
	}
	return set, set.checkComplete()
}

// packsOfSplit are those of the shards that belong to the packs of the split, by their
// sidecars; all if fewer than two packs have one.
func packsOfSplit(ctx context.Context, st *store.Store, op, dir, split string, paths []string) ([]string, error) {
	packs := map[string]*Manifest{} // by sidecar; nil without
	var has []string
	for _, p := range paths {
		place := sidecarPath(p)
		if _, done := packs[place]; done || place == "" {
			continue
		}
		m, err := readManifest(ctx, st, place)
		if err != nil && !errors.Is(err, errs.ErrNotFound) {
			return nil, err
		}
		if packs[place] = m; m != nil {
			has = append(has, m.Split)
		}
	}
	if len(has) < 2 {
		return paths, nil
	}
	var chosen []string
	for _, p := range paths {
		place := sidecarPath(p)
		if m := packs[place]; m != nil && m.Split == split {
			if len(chosen) > 0 && sidecarPath(chosen[0]) != place {
				return nil, errs.New(op, dir, "name one of them by its manifest, as in wds:"+place,
					errs.Because(errs.ErrUsage, fmt.Sprintf("two packs of split %s: %s and %s", split, store.Base(chosen[0]), store.Base(p))))
			}
			chosen = append(chosen, p)
		}
	}
	if len(chosen) == 0 {
		slices.Sort(has)
		return nil, errs.New(op, dir, "give one of its splits: "+strings.Join(slices.Compact(has), ", "),
			errs.Because(errs.ErrNotFound, "its packs have no split "+split))
	}
	return chosen, nil
}

// filesIn are the shards at most depth levels below the folder, sorted;
// passed are the other files in the folder itself.
func (k *shardKind) filesIn(ctx context.Context, st *store.Store, dir, below string, depth int) (found []string, passed Survey, err error) {
	if store.Remote(dir) {
		files, err := st.List(ctx, dir)
		for _, f := range files {
			level := strings.Count(f.Name, "/") + 1
			switch {
			case level == 1 && hidden(f.Name):
				passed.Add("hidden files", f.Name)
			case level > depth || slices.ContainsFunc(strings.Split(f.Name, "/"), hidden):
			case k.is(f.Name):
				found = append(found, f.Name)
			case level == 1:
				k.addOther(&passed, f.Name)
			}
		}
		slices.Sort(found)
		return found, passed, err
	}
	entries, err := os.ReadDir(filepath.Join(dir, filepath.FromSlash(below)))
	if err != nil {
		return nil, nil, err
	}
	for _, e := range entries {
		name := e.Name()
		if hidden(name) {
			if below == "" && !e.IsDir() {
				passed.Add("hidden files", name)
			}
			continue
		}
		if below != "" {
			name = below + "/" + name
		}
		switch isDir := e.IsDir() || !e.Type().IsRegular() && hasDir(filepath.Join(dir, name)); {
		case isDir && depth > 1:
			deeper, _, err := k.filesIn(ctx, st, dir, name, depth-1)
			if err != nil && !errors.Is(err, os.ErrPermission) {
				return nil, nil, err
			}
			found = append(found, deeper...)
		case isDir:
		case k.is(name):
			found = append(found, name)
		case below == "":
			k.addOther(&passed, name)
		}
	}
	slices.Sort(found)
	return found, passed, ctx.Err()
}

// addOther counts a file that is beside shards, unless it describes them to this reader.
func (k *shardKind) addOther(s *Survey, name string) {
	if strings.HasSuffix(name, manifestEnd) || strings.HasSuffix(name, indexEnd) || slices.Contains(classesFiles, name) {
		return
	}
	ext := "no extension"
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		ext = strings.ToLower(name[i:])
	}
	s.Add("files beside "+k.noun+" ("+ext+")", name)
}
