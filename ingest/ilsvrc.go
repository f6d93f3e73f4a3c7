package ingest

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"resslt/ingest/mat"
	"resslt/ingest/store"
	"resslt/schemas"
	"resslt/schemas/errs"
)

// ImageNet (ILSVRC2012) in its official archives, read where they lie:
//
//	ILSVRC2012_img_train.tar        a tar of 1,000 tars, n01440764.tar …, one a class
//	ILSVRC2012_img_val.tar          50,000 images, ILSVRC2012_val_00000001.JPEG …
//	ILSVRC2012_devkit_t12.tar.gz    or unpacked: the validation's ground truth, and
//	                                meta.mat, which says what its numbers mean
//
// Classes are the synsets' ids in bytewise order, as in torchvision and every
// folder of the set; the devkit's own numbers are another order. Every class tar
// is a shard, so that a blocked order reads the archive in long runs.

const (
	ilsvrcTrain  = "ILSVRC2012_img_train.tar"
	ilsvrcVal    = "ILSVRC2012_img_val.tar"
	ilsvrcKit    = "ILSVRC2012_devkit_t12"
	ilsvrcTruth  = "ILSVRC2012_validation_ground_truth.txt"
	ilsvrcMeta   = "meta.mat"
	ilsvrcHint   = "name " + ilsvrcTrain + ", or the folder that holds it (for test: " + ilsvrcVal + " and " + ilsvrcKit + ".tar.gz)"
	maxKitBytes  = 64 << 20 // of each of the devkit's two files
	maxSynsets   = 100_000
	maxInnerTars = 1 << 20
)

// ilsvrcSource serves the images of one archive by ReadAt.
type ilsvrcSource struct {
	manifest *Manifest
	x        *index
	f        *file
	max      int64
	store    *store.Store
	closed   atomic.Bool
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
			f.Close() // err is the one to tell
		}
	}()
	f.Keep = opt.keep(f.size)
	cache, err := openCache(opt, "imagenet-tar", f.path, split)
	if err != nil {
		return nil, err
	}
	x := cache.load()
	if x == nil || len(x.Stamps) == 0 || !x.trusts(f.stamp(), x.Stamps[0]) {
		if x, err = indexILSVRC(ctx, f, split, newMeter(opt.Progress, f.size)); err != nil {
			return nil, err
		}
		if err := cache.store(x); err != nil {
			return nil, err
		}
	}
	m := &Manifest{Format: "imagenet-tar", Split: split, Samples: x.Samples, Shards: slices.Clone(x.Shards)}
	if split == Train {
		for _, s := range x.Shards {
			m.Classes = append(m.Classes, strings.TrimSuffix(s.Name, ".tar"))
		}
	} else {
		l := &lister{store: opt.files, op: op, hint: ilsvrcHint, root: dir, split: split}
		if m.Classes, err = l.ilsvrcLabels(ctx, x, archive); err != nil {
			return nil, err
		}
		// The labels are of other files than the shard, and belong to the digest.
		m.Shards[0].SHA256 = hexSum(x.listedLabels(m.Shards[0].SHA256))
	}
	s := &ilsvrcSource{manifest: m, x: x, f: f, max: opt.MaxSampleBytes, store: opt.files}
	return s, nil
}

// indexILSVRC reads the archive once: every class tar's samples and hash. The
// validation's archive is itself a tar of images, and one shard.
func indexILSVRC(ctx context.Context, f *file, split string, m *meter) (*index, error) {
	const op = "index imagenet-tar"
	fault := func(where string, err error) error {
		var te *tarError
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &te):
			return errs.New(op, where, "fetch the archive anew", errs.BecauseErr(errs.ErrCorrupt, te))
		case errors.Is(err, tar.ErrHeader), errors.Is(err, io.ErrUnexpectedEOF):
			return errs.New(op, where, "fetch the archive anew", errs.Because(errs.ErrCorrupt, "truncated, or a bad tar header"))
		}
		return fileError(op, where, ilsvrcHint, err)
	}
	r := f.Reader(ctx)
	defer r.Close()
	in := meteredReader{bufio.NewReaderSize(ctxReader{ctx, r}, copyBytes), m}
	x := newIndex()
	if split != Train {
		c, sum, err := scanTar(in, f.size)
		if err != nil {
			return nil, fault(f.path, err)
		}
		if len(c.sizes) == 0 {
			return nil, errs.New(op, f.path, ilsvrcHint, errs.Because(errs.ErrNotFound, "the archive holds no images"))
		}
		if err := x.addShard(Shard{Name: ilsvrcVal, Bytes: f.size, SHA256: hexSum(sum)}, c); err != nil {
			return nil, fault(f.path, err)
		}
		x.Stamps = []stamp{f.stamp()}
		return x, nil
	}
	type class struct {
		shard Shard
		c     *columns
	}
	var classes []class
	outer := &tarCounter{r: in}
	tr := tar.NewReader(outer)
	for {
		hdr, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, fault(f.path, err)
		}
		if hdr.Typeflag != tar.TypeReg || path.Ext(hdr.Name) != ".tar" {
			continue
		}
		start, where := outer.n, f.path+"/"+hdr.Name
		if hdr.Size > f.size-start {
			return nil, fault(where, &tarError{offset: start, why: fmt.Sprintf("it claims %d bytes, %d are left", hdr.Size, f.size-start)})
		}
		if len(classes) >= maxInnerTars {
			return nil, errs.New(op, f.path, ilsvrcHint, errs.Because(errs.ErrTooLarge, fmt.Sprintf("more than %d tars", maxInnerTars)))
		}
		c, sum, err := scanTar(tr, hdr.Size)
		if err != nil {
			return nil, fault(where, err)
		}
		for i := range c.offsets {
			c.offsets[i] += start
		}
		classes = append(classes, class{Shard{Name: path.Base(hdr.Name), Bytes: hdr.Size, SHA256: hexSum(sum)}, c})
	}
	slices.SortFunc(classes, func(a, b class) int { return strings.Compare(a.shard.Name, b.shard.Name) })
	for i, c := range classes {
		if i > 0 && classes[i-1].shard.Name == c.shard.Name {
			return nil, errs.New(op, f.path+"/"+c.shard.Name, "fetch the archive anew", errs.Because(errs.ErrCorrupt, "the class is there twice"))
		}
		for k := range c.c.labels {
			c.c.labels[k] = int32(i)
		}
		if err := x.addShard(c.shard, c.c); err != nil {
			return nil, fault(f.path, err)
		}
		x.Stamps = append(x.Stamps, f.stamp())
	}
	if x.Samples == 0 {
		return nil, errs.New(op, f.path, ilsvrcHint, errs.Because(errs.ErrNotFound, "the archive holds no class tars with images"))
	}
	return x, nil
}

// ilsvrcLabels labels the validation's images by the devkit, and gives the classes.
func (l *lister) ilsvrcLabels(ctx context.Context, x *index, archive string) ([]string, error) {
	truth, meta, err := l.devkit(ctx)
	if err != nil {
		return nil, err
	}
	vars, err := mat.Read(meta)
	if err != nil {
		return nil, l.fault(ilsvrcMeta, err)
	}
	synsets, err := vars.Structs("synsets", "ILSVRC2012_ID", "WNID", "num_children")
	if err != nil {
		return nil, l.fault(ilsvrcMeta, err)
	}
	ids := map[string]string{} // number in the ground truth → synset
	var classes []string
	for i := range min(synsets.Len(), maxSynsets) {
		id, name, children := synsets.Field(i, "ILSVRC2012_ID"), synsets.Field(i, "WNID"), synsets.Field(i, "num_children")
		if len(id.Numbers) != 1 || name.Kind != mat.Text || len(children.Numbers) != 1 {
			return nil, l.corrupt(ilsvrcMeta, "synset %d has no number, id or children", i+1)
		}
		if children.Numbers[0] == 0 { // the leaves are the classes
			ids[strconv.Itoa(int(id.Numbers[0]))] = name.Text
			classes = append(classes, name.Text)
		}
	}
	slices.Sort(classes)
	at := placesOf(classes)
	lines := strings.Fields(string(truth))
	for id := range x.Samples {
		name := x.name(id)
		stem := strings.TrimSuffix(path.Base(name), path.Ext(name))
		n, err := strconv.Atoi(stem[strings.LastIndexByte(stem, '_')+1:])
		if err != nil || n < 1 || n > len(lines) {
			return nil, errs.New(l.op, archive+"/"+name, "fetch the archive and its devkit anew",
				errs.Because(errs.ErrCorrupt, fmt.Sprintf("the image has no place among the %d lines of %s", len(lines), ilsvrcTruth)))
		}
		synset, ok := ids[lines[n-1]]
		if !ok {
			return nil, l.corrupt(ilsvrcTruth, "line %d is %q, which is none of the %d classes of %s", n, lines[n-1], len(classes), ilsvrcMeta)
		}
		x.labels[id] = at[synset]
	}
	return classes, nil
}

// devkit reads the ground truth and the meaning of its numbers, out of the devkit's
// archive or its folder.
func (l *lister) devkit(ctx context.Context) (truth, meta []byte, err error) {
	packed := ilsvrcKit + ".tar.gz"
	have, err := l.has(ctx, packed)
	if err != nil {
		return nil, nil, err
	}
	if !have {
		if truth, err = l.read(ctx, ilsvrcKit+"/data/"+ilsvrcTruth); err != nil {
			return nil, nil, err
		}
		meta, err = l.read(ctx, ilsvrcKit+"/data/"+ilsvrcMeta)
		return truth, meta, err
	}
	b, err := l.read(ctx, packed)
	if err != nil {
		return nil, nil, err
	}
	gz, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, nil, l.corrupt(packed, "%v", err)
	}
	tr := tar.NewReader(io.LimitReader(gz, 8*maxKitBytes))
	for truth == nil || meta == nil {
		hdr, err := tr.Next()
		if err == io.EOF {
			return nil, nil, l.corrupt(packed, "it lacks %s or %s", ilsvrcTruth, ilsvrcMeta)
		}
		if err != nil {
			return nil, nil, l.corrupt(packed, "%v", err)
		}
		var to *[]byte
		switch path.Base(hdr.Name) {
		case ilsvrcTruth:
			to = &truth
		case ilsvrcMeta:
			to = &meta
		default:
			continue
		}
		if hdr.Size > maxKitBytes {
			return nil, nil, l.corrupt(packed, "%s claims %d bytes", hdr.Name, hdr.Size)
		}
		if *to, err = io.ReadAll(io.LimitReader(tr, maxKitBytes)); err != nil {
			return nil, nil, l.corrupt(packed, "%v", err)
		}
	}
	return truth, meta, nil
}

func (s *ilsvrcSource) Manifest() *Manifest { return s.manifest }
func (s *ilsvrcSource) Len() int64          { return s.manifest.Samples }

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
	size := int64(s.x.sizes[id])
	if size > s.max {
		return tooLarge(s.x.key(id), size, s.max)
	}
	dst.Data = sized(dst.Data, int(size))
	if _, err := s.f.ReadAt(ctx, dst.Data, s.x.offsets[id]); err != nil {
		return fileError("read sample", s.x.key(id), changedHint, err)
	}
	*dst = schemas.Sample{ID: id, Key: s.x.key(id), Label: s.x.labels[id], Encoding: schemas.Encoded, Data: dst.Data}
	return nil
}

// units: the archive is one file, read once; what differs is told by class.
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
			return compare(ctx, archive, "", "", "", errs.Because(errs.ErrMismatch, want.Name+" in it is not as it was indexed"))
		}
	}
	return nil, nil
}
