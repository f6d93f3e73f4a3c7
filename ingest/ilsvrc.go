package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"sync/atomic"

	"resslt/ingest/store"
	"resslt/schemas"
	"resslt/schemas/errs"
)

// ImageNet (ILSVRC2012) in its official archives, which are not unpacked:
//
//	ILSVRC2012_img_train.tar        a tar of 1,000 tars, n01440764.tar …, one a class
//	ILSVRC2012_img_val.tar          50,000 images, ILSVRC2012_val_00000001.JPEG …
//	ILSVRC2012_devkit_t12.tar.gz    or unpacked: the validation's ground truth, and
//	                                meta.mat, which gives its numbers' meaning
//
// Classes are the synsets' ids in bytewise order, as in torchvision and every folder
// of the set; the devkit numbers them in another order. Every class tar is a shard, so
// that a blocked order reads the archive in long runs.

const (
	ilsvrcTrain  = "ILSVRC2012_img_train.tar"
	ilsvrcVal    = "ILSVRC2012_img_val.tar"
	ilsvrcKit    = "ILSVRC2012_devkit_t12"
	ilsvrcTruth  = "ILSVRC2012_validation_ground_truth.txt"
	ilsvrcMeta   = "meta.mat"
	ilsvrcHint   = "name " + ilsvrcTrain + ", or the folder that holds it (for test: " + ilsvrcVal + " and " + ilsvrcKit + ".tar.gz)"
	ilsvrcAgain  = "fetch the archive again"
	maxInnerTars = 1 << 20
)

// ilsvrcSource serves the images of one archive.
type ilsvrcSource struct {
	manifest *Manifest
	x        *index
	f        *file
	max      int64
	store    *store.Store
	closed   atomic.Bool
	checked  shardCheck // of confirm
}

func openILSVRC(ctx context.Context, place string, opt Options) (_ Source, err error) {
	const op = "open imagenet-tar"
	split, err := opt.split("imagenet-tar", Train, Test)
	if err != nil {
		return nil, err
	}
	if place == "" {
		return nil, errs.New(op, "", ilsvrcHint, errs.Because(errs.ErrUsage, "no archive is named"))
	}
	dir, archive := place, map[string]string{Train: ilsvrcTrain, Test: ilsvrcVal}[split]
	if strings.HasSuffix(place, ".tar") {
		dir, archive = store.Dir(place), store.Base(place)
	}
	f, err := openFile(ctx, opt.files, op, store.Join(dir, archive), ilsvrcHint)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			f.Close() // err is the one to report
		}
	}()
	f.Keep = opt.keep(f.size)
	cache := openCache(opt, "imagenet-tar", f.path, split)
	x := cache.load()
	if x == nil || len(x.Stamps) == 0 || !x.trusts(f.stamp(), x.Stamps[0]) {
		if x, err = indexILSVRC(ctx, f, split, newMeter(opt.Progress, f.size)); err != nil {
			return nil, err
		}
		cache.store(x)
	}
	cache.renew(x, f.stamp())
	m := &Manifest{Format: "imagenet-tar", Split: split, Samples: x.Samples, Shards: slices.Clone(x.Shards)}
	if split == Train {
		for _, s := range x.Shards {
			m.Classes = append(m.Classes, strings.TrimSuffix(s.Name, ".tar"))
		}
	} else {
		kit := ilsvrcDevkit{dataDir{store: opt.files, op: op, hint: ilsvrcHint, root: dir}}
		if m.Classes, err = kit.label(ctx, x, archive); err != nil {
			return nil, err
		}
		// The labels come from other files than the shard, and belong to the digest.
		m.Shards[0].SHA256 = hexSum(x.sumWithLabels(m.Shards[0].SHA256))
	}
	s := &ilsvrcSource{manifest: m, x: x, f: f, max: opt.MaxSampleBytes, store: opt.files}
	return s, nil
}

// indexILSVRC reads the archive once: the samples and hash of every class tar.
func indexILSVRC(ctx context.Context, f *file, split string, m *meter) (*index, error) {
	r := f.Reader(ctx)
	defer r.Close()
	in := tarInput(ctx, r, m)
	if split == Train {
		return indexClassTars(ctx, f, in)
	}
	return indexValidation(ctx, f, in)
}

const ilsvrcIndexOp = "index imagenet-tar"

func ilsvrcFault(ctx context.Context, where string, err error) error {
	return tarFault(ctx, ilsvrcIndexOp, where, ilsvrcAgain, ilsvrcHint, err)
}

// indexValidation indexes the validation's archive: a tar of images, one shard.
func indexValidation(ctx context.Context, f *file, in io.Reader) (*index, error) {
	c, sum, err := scanTar(in, f.size, wdsFields{label: noLabels})
	if err != nil {
		return nil, ilsvrcFault(ctx, f.path, err)
	}
	if len(c.sizes) == 0 {
		return nil, errs.New(ilsvrcIndexOp, f.path, ilsvrcHint, errs.Because(errs.ErrNotFound, "the archive holds no images"))
	}
	x := newIndex()
	if err := x.addShard(Shard{Name: ilsvrcVal, Bytes: f.size, SHA256: hexSum(sum)}, c); err != nil {
		return nil, ilsvrcFault(ctx, f.path, err)
	}
	x.Stamps = []stamp{f.stamp()}
	return x, nil
}

// classTar is a class of the training archive.
type classTar struct {
	shard Shard
	c     *columns
}

// indexClassTars indexes the training archive: a tar of tars, one a class.
func indexClassTars(ctx context.Context, f *file, in io.Reader) (*index, error) {
	classes, err := scanClassTars(ctx, f, in)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(classes, func(a, b classTar) int { return strings.Compare(a.shard.Name, b.shard.Name) })
	x := newIndex()
	for i, c := range classes {
		if i > 0 && classes[i-1].shard.Name == c.shard.Name {
			return nil, errs.New(ilsvrcIndexOp, f.path+"/"+c.shard.Name, ilsvrcAgain, errs.Because(errs.ErrCorrupt, "the class is there twice"))
		}
		for k := range c.c.labels {
			c.c.labels[k] = int32(i)
		}
		if err := x.addShard(c.shard, c.c); err != nil {
			return nil, ilsvrcFault(ctx, f.path, err)
		}
		x.Stamps = append(x.Stamps, f.stamp())
	}
	if x.Samples == 0 {
		return nil, errs.New(ilsvrcIndexOp, f.path, ilsvrcHint, errs.Because(errs.ErrNotFound, "the archive holds no class tars with images"))
	}
	return x, nil
}

func scanClassTars(ctx context.Context, f *file, in io.Reader) ([]classTar, error) {
	var classes []classTar
	outer := newTarWalker(in, f.size)
	for {
		m, err := outer.next()
		if errors.Is(err, io.EOF) {
			return classes, nil
		}
		if err != nil {
			return nil, ilsvrcFault(ctx, f.path, err)
		}
		if path.Ext(m.name) != ".tar" {
			continue
		}
		if len(classes) >= maxInnerTars {
			return nil, errs.New(ilsvrcIndexOp, f.path, ilsvrcHint, errs.Because(errs.ErrTooLarge, fmt.Sprintf("more than %d tars", maxInnerTars)))
		}
		c, sum, err := scanTar(outer, m.size, wdsFields{label: noLabels})
		if err != nil {
			return nil, ilsvrcFault(ctx, f.path+"/"+m.name, err)
		}
		for i := range c.offsets {
			c.offsets[i] += m.offset
		}
		classes = append(classes, classTar{Shard{Name: path.Base(m.name), Bytes: m.size, SHA256: hexSum(sum)}, c})
	}
}

func (s *ilsvrcSource) Manifest() *Manifest { return s.manifest }
func (s *ilsvrcSource) Len() int64          { return s.manifest.Samples }

// Survey is a Surveyed's.
func (s *ilsvrcSource) Survey() Survey { return s.x.survey() }

func (s *ilsvrcSource) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	return errors.Join(closeAll([]*file{s.f}), s.store.Close())
}

func (s *ilsvrcSource) Read(ctx context.Context, id int64, dst *schemas.Sample) error {
	if err := checkID(ctx, s.manifest, s.closed.Load(), id); err != nil {
		return err
	}
	if size := int64(s.x.sizes[id]); size > s.max {
		return tooLarge(s.x.key(id), size, s.max)
	}
	return s.x.readMember(ctx, s.f, id, dst)
}

// units is 1: the archive is one file, read once. What differs is reported by class.
func (s *ilsvrcSource) units() (n, bytes int64) { return 1, s.manifest.Bytes() }

func (s *ilsvrcSource) verify(ctx context.Context, _ int64, m *meter) (*Damage, error) {
	archive := store.Base(s.f.path)
	f, err := openFile(ctx, s.store, "verify", s.f.path, changedHint)
	if err != nil {
		return compare(ctx, archive, "", "", "", err)
	}
	defer f.Close()
	now, err := indexILSVRC(ctx, f, s.manifest.Split, m)
	if err != nil {
		return compare(ctx, archive, "", "", "", err)
	}
	for i, want := range s.x.Shards {
		if i >= len(now.Shards) || now.Shards[i] != want {
			return compare(ctx, archive, "", "", "", errs.Because(errs.ErrMismatch, want.Name+" in it has changed since it was indexed"))
		}
	}
	return nil, nil
}
