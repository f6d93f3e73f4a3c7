package ingest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"

	"resslt/ingest/store"
	"resslt/schemas"
	"resslt/schemas/errs"
	"resslt/schemas/sniff"
)

// wdsSource serves images from WebDataset tars, in any order: the index knows where
// each member is.
type wdsSource struct {
	manifest *Manifest
	max      int64
	sidecar  *Manifest // the one that Pack wrote next to the shards, or nil
	*shardFiles
}

const wdsHint = "name tar shards, as in wds:DIR/train-{000..099}.tar or wds:DIR/*.tar"

func openWDS(ctx context.Context, arg string, opt Options) (Source, error) {
	const op = "open wds"
	glob, fields, err := cutFields(arg)
	if err != nil {
		return nil, err
	}
	if glob == "" {
		return nil, errs.New(op, "", wdsHint, errs.Because(errs.ErrUsage, "no shards are named"))
	}
	set, err := findShards(ctx, tarShards, glob, opt)
	if err != nil {
		return nil, err
	}
	split, err := opt.shardSplit(op, glob, set.named, set.sidecar)
	if err != nil {
		return nil, err
	}
	set.scan, set.asNamed = fields.scanShard, fields.image != nil || fields.label != ""
	x, err := set.openIndex(ctx, set.kind.scheme, arg, split, opt)
	if err != nil {
		return nil, err
	}
	x.listing = set.survey(x)
	if x.Samples == 0 {
		return nil, errs.New(op, arg, "put members such as 0001.jpg in them, or name the images' field by ?image=FIELD", x.nothing("the shards hold no images"))
	}
	if fields.label != "" && fields.label != noLabels && slices.Max(x.labels) == schemas.NoLabel {
		return nil, errs.New(op, arg, "name the field of the labels", errs.Because(errs.ErrNotFound, "no sample has a label in "+fields.label))
	}
	m := &Manifest{Format: x.format(), Split: split, Samples: x.Samples, Shards: x.Shards}
	if m.Reading, err = x.oneReading(op); err != nil {
		return nil, err
	}
	if m.Classes, err = set.classes(ctx, arg, split, x, opt); err != nil {
		return nil, err
	}
	return &wdsSource{
		manifest: m, max: opt.MaxSampleBytes, sidecar: set.sidecar,
		shardFiles: newShardFiles(set.dir, x, opt.files, opt.keep(m.Bytes())),
	}, nil
}

// openIndex is the index of the shards: the one published with them, the one in the
// cache, or a new one. scheme and arg are its name in the cache.
func (s *shardSet) openIndex(ctx context.Context, scheme, arg, split string, opt Options) (*index, error) {
	if !s.asNamed { // it was made without fields
		if x, err := s.publishedIndex(ctx, opt.files); x != nil || err != nil {
			return x, err
		}
	}
	cache := openCache(opt, scheme, arg, split)
	x, same, err := s.indexShards(ctx, cache.load(), opt)
	if err == nil && !same {
		cache.store(x)
	}
	return x, err
}

// oneReading is the way in which all shards were read, which must be one.
func (x *index) oneReading(op string) (string, error) {
	first := -1
	for i, r := range x.Reading {
		if x.First[i] == x.First[i+1] {
			continue // nothing was read
		}
		if first >= 0 && r != x.Reading[first] {
			return "", errs.New(op, x.Shards[i].Name, "name the fields of all shards, as in ?image=jpg&label=cls",
				errs.Because(errs.ErrUsage, fmt.Sprintf("its samples have %s, those of %s %s", sayReading(r), x.Shards[first].Name, sayReading(x.Reading[first]))))
		}
		if first < 0 {
			first = i
		}
	}
	if first < 0 || x.Reading == nil {
		return "", nil
	}
	return x.Reading[first], nil
}

func sayReading(r string) string { return cmp.Or(r, "image=jpg&label=cls or none") }

// classesFile lists the class names of shards whose labels are names; classesFiles are
// the names that it may have.
const classesFile = "classes.txt"

var classesFiles = []string{classesFile, "classnames.txt", "class_names.txt"}

// maxClassesBytes caps a list of class names.
const maxClassesBytes = 16 << 20

// classes are the class names: those of the sidecar; or, where labels are names, those of
// a list beside the shards or above a split's folder, or else all that the shards have,
// those of the other splits too: a class that one split lacks shifts no label.
func (s *shardSet) classes(ctx context.Context, arg, split string, x *index, opt Options) (known []string, err error) {
	from, hint := "the sidecar", "pack the shards again"
	if s.sidecar != nil {
		known = s.sidecar.Classes
	}
	if x.named() && known == nil {
		if known, from, err = s.classList(ctx, opt.files); err != nil {
			return nil, err
		}
		if known == nil {
			if known, err = s.classesOfSplits(ctx, arg, split, x, opt); err != nil {
				return nil, err
			}
		}
	}
	classes, err := x.joinClasses(known, from)
	if err != nil {
		return nil, s.kind.within(s.dir, err)
	}
	return classes, x.checkLabels(s.kind.op, classes, hint, from)
}

// classesOfSplits are the class names of these shards and those of the other splits; nil
// if there are none.
func (s *shardSet) classesOfSplits(ctx context.Context, arg, split string, x *index, opt Options) ([]string, error) {
	if err := s.findOthers(ctx, opt.files, split); err != nil || len(s.others) == 0 {
		return nil, err
	}
	slices.Sort(s.others)
	others := &shardSet{kind: s.kind, scan: s.scan, asNamed: s.asNamed, dir: commonDir(s.others), paths: s.others}
	y, err := others.openIndex(ctx, s.kind.scheme+"-others", arg, split, opt)
	if err != nil {
		return nil, err
	}
	for i := range y.Shards {
		if len(y.Classes[i]) == 0 && y.numbered(i) {
			return nil, errs.New(s.kind.op, store.Join(others.dir, y.Shards[i].Name), "write the labels of all splits as names, or all as numbers",
				errs.Because(errs.ErrCorrupt, "its labels are numbers, those of split "+split+" names"))
		}
	}
	names := slices.Concat(append(slices.Clone(x.Classes), y.Classes...)...)
	slices.Sort(names)
	return slices.Compact(names), nil
}

// classList is the list of class names beside the shards, or above a split's folder; nil
// without one.
func (s *shardSet) classList(ctx context.Context, st *store.Store) (list []string, place string, err error) {
	dirs := []string{s.dir}
	if len(splitsInName(store.Base(s.dir))) > 0 {
		dirs = append(dirs, store.Dir(s.dir))
	}
	for _, dir := range dirs {
		for _, name := range classesFiles {
			place := store.Join(dir, name)
			if list, err = classesIn(ctx, st, place); err != nil || list != nil {
				return list, place, err
			}
		}
	}
	return nil, "", nil
}

// within names where an error lies that only says which shard or file.
func (k *shardKind) within(dir string, err error) error {
	var known *errs.Error
	if !errors.As(err, &known) {
		return fileError(k.op, dir, k.hint, err)
	}
	return errs.New(k.op, store.Join(dir, known.Where), known.Hint, known.Err)
}

// classesIn reads a list of class names, if it is there.
func classesIn(ctx context.Context, st *store.Store, place string) ([]string, error) {
	const op, hint = "read class names", "write one name a line, or remove the file"
	b, err := readOptional(ctx, st, op, place, hint, maxClassesBytes)
	if b == nil || err != nil {
		return nil, err
	}
	list, err := readClassList(b)
	if err != nil {
		return nil, errs.New(op, place, hint, errs.BecauseErr(errs.ErrCorrupt, err))
	}
	return list, nil
}

func (s *wdsSource) Manifest() *Manifest { return s.manifest }
func (s *wdsSource) Len() int64          { return s.manifest.Samples }

func (s *wdsSource) Read(ctx context.Context, id int64, dst *schemas.Sample) error {
	if err := checkID(ctx, s.manifest, s.closed.Load(), id); err != nil {
		return err
	}
	most := s.max
	if isPackedName(s.x.name(id)) {
		most = sniff.MostPacked(most)
	}
	if size := int64(s.x.sizes[id]); size > most {
		return tooLarge(s.x.key(id), size, most)
	}
	i := s.x.shardOf(id)
	f, done, err := s.shard(ctx, i)
	if err != nil {
		return err
	}
	defer done()
	return s.after(i, f, s.x.readMember(ctx, f, id, dst))
}

func (s *wdsSource) units() (n, bytes int64) {
	return int64(len(s.manifest.Shards)), s.manifest.Bytes()
}

func (s *wdsSource) verify(ctx context.Context, i int64, m *meter) (*Damage, error) {
	shard := s.manifest.Shards[i]
	want := shard.SHA256
	if s.sidecar != nil {
		// The packer's hash is the older witness: the index may have been built from
		// a damaged copy.
		for _, p := range s.sidecar.Shards {
			if p.Name == path.Base(shard.Name) {
				want = p.SHA256
			}
		}
	}
	return s.verifyShard(ctx, int(i), want, m)
}
