package ingest

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"resslt/schemas"
	"resslt/schemas/durable"
	"resslt/schemas/errs"
)

// PackOptions configure Pack. Dir is required; the others have defaults.
type PackOptions struct {
	Dir        string // created if it does not exist
	Prefix     string // shards are PREFIX-000000.tar, …; default: the split
	ShardBytes int64  // most bytes of a shard of two samples or more; default 256 MB
	Overwrite  bool   // remove shards of the same prefix first

	// Shuffle packs the samples in the order in which epoch 0 of seed Seed visits
	// them, so that every shard has some of all classes: a blocked order then mixes
	// about as well as the global one. Sample ids differ from the source's.
	Shuffle bool
	Seed    uint64

	// Recode, if any, makes a Recoder of the files, which Workers goroutines at once do,
	// each with its own. ShardBytes then counts the files as they were, so that shards hold
	// the same samples, under the same ids, as those of a Pack without it.
	Recode  func() (Recoder, error)
	Workers int // default 1

	Progress func(done, total int64) // samples; default none
}

// defaultShardBytes is PackOptions.ShardBytes where that is zero.
const defaultShardBytes = 256_000_000

var packPrefix = regexp.MustCompile(`^[A-Za-z0-9_+-]+$`)

// Validate reports whether the options can be used. Its error wraps ErrUsage.
func (o PackOptions) Validate() error {
	bad := func(field, why, hint string) error {
		return errs.New("pack option", field, hint, errs.Because(errs.ErrUsage, why))
	}
	switch {
	case o.Dir == "":
		return bad("Dir", "is empty", "name a folder for the shards")
	case o.Prefix != "" && !packPrefix.MatchString(o.Prefix):
		return bad("Prefix", fmt.Sprintf("is %q", o.Prefix), "use letters, digits, '-', '_' and '+'")
	case o.ShardBytes < 0:
		return bad("ShardBytes", fmt.Sprintf("is %d", o.ShardBytes), "give 1 or more, or 0 for the default")
	case o.Workers < 0:
		return bad("Workers", fmt.Sprintf("is %d", o.Workers), "give 1 or more, or 0 for the default")
	}
	return nil
}

func (o PackOptions) applyDefaults(split string) PackOptions {
	if o.Prefix == "" {
		o.Prefix = split
	}
	if o.ShardBytes == 0 {
		o.ShardBytes = defaultShardBytes
	}
	o.Workers = max(o.Workers, 1)
	return o
}

const packHint = "name a folder that this user can write to, with room for the shards"

// Pack writes the data set as WebDataset tars and returns their manifest, which is also
// that of "wds:" opened on Dir. Samples keep their labels, and their ids unless they are
// shuffled.
//
// Files are packed unchanged but for Recode, raw pixels as PNG. The same source gives the same bytes:
// members have no times or owners (but PNG's compression may change with the Go
// release). Each shard appears atomically, the sidecar last; after an error no shard of
// this call is left.
//
// Errors: ErrUsage for a Dir with shards of that prefix, those of src.Read, or
// ctx's.
func Pack(ctx context.Context, src Source, opt PackOptions) (m *Manifest, err error) {
	const op = "pack"
	if err := opt.Validate(); err != nil {
		return nil, err
	}
	from := src.Manifest()
	opt = opt.applyDefaults(from.Split)
	undo, err := durable.Folder(opt.Dir)
	if err != nil {
		return nil, fileError(op, opt.Dir, packHint, err)
	}
	var written []string
	defer func() {
		if err != nil {
			for _, path := range written {
				os.Remove(path) // err is the one to report
			}
			undo()
		}
	}()
	if err := clearPack(src, opt); err != nil {
		return nil, err
	}
	m = &Manifest{Format: wdsFormat, Split: from.Split, Classes: from.Classes}
	err = prepareAll(ctx, src, opt, func(next nextFile) error {
		p := &packer{n: src.Len(), read: next, progress: opt.Progress, most: opt.ShardBytes}
		for i := 0; p.next < p.n; i++ {
			name := fmt.Sprintf("%s-%06d.tar", opt.Prefix, i)
			path := filepath.Join(opt.Dir, name)
			var s Shard
			if err := writeFile(op, path, packHint, func(w io.Writer) (err error) {
				s, err = p.shard(w, path)
				return err
			}); err != nil {
				return err
			}
			written = append(written, path)
			s.Name = name
			m.Shards = append(m.Shards, s)
			m.Samples += s.Samples
		}
		if p.packed {
			m.Format = packedFormat
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return m, writeManifest(op, filepath.Join(opt.Dir, opt.Prefix+manifestEnd), packHint, m)
}

// clearPack makes sure that Dir has no shards of the prefix.
func clearPack(src Source, opt PackOptions) error {
	const op = "pack"
	old, err := filepath.Glob(filepath.Join(escapeGlob(opt.Dir), opt.Prefix+"-*.tar"))
	if err != nil {
		return fileError(op, opt.Dir, packHint, err)
	}
	side := filepath.Join(opt.Dir, opt.Prefix+manifestEnd)
	if _, err := os.Stat(side); err == nil {
		old = append([]string{side}, old...) // first: without it, shards left over claim nothing
	}
	if len(old) == 0 {
		return nil
	}
	if !opt.Overwrite {
		return errs.New(op, opt.Dir, "choose another folder or prefix, or overwrite",
			errs.Because(errs.ErrUsage, filepath.Base(old[0])+" is there already"))
	}
	if w, ok := src.(*wdsSource); ok {
		for _, s := range w.manifest.Shards {
			from, err1 := os.Stat(filepath.Join(w.dir, s.Name))
			to, err2 := os.Stat(filepath.Join(opt.Dir, filepath.Base(s.Name)))
			if err1 == nil && err2 == nil && os.SameFile(from, to) {
				return errs.New(op, opt.Dir, "choose another folder",
					errs.Because(errs.ErrUsage, "the data to be packed would be overwritten"))
			}
		}
	}
	for _, p := range old {
		if err := os.Remove(p); err != nil {
			return fileError(op, p, packHint, err)
		}
	}
	return nil
}

// packer writes samples to one shard after another.
type packer struct {
	n        int64
	next     int64 // first sample that is in no shard yet
	most     int64 // bytes a shard
	read     nextFile
	progress func(done, total int64)

	file   *packFile // of sample next, if it is read already: the last shard had no room for it
	packed bool      // a file was one
}

// shard writes one tar to w.
func (p *packer) shard(w io.Writer, path string) (Shard, error) {
	h := sha256.New()
	count := &byteCounter{}
	tw := tar.NewWriter(io.MultiWriter(w, h, count))
	var s Shard
	full := int64(0) // bytes of the shard, with the files as they were
	for ; p.next < p.n; p.next++ {
		if p.file == nil {
			var err error
			if p.file, err = p.read(); err != nil {
				return s, err
			}
		}
		f := p.file
		label := ""
		if f.label != schemas.NoLabel {
			label = strconv.Itoa(int(f.label))
		}
		cost := f.cost(label)
		if s.Samples > 0 && full+cost+2*tarBlock > p.most {
			break
		}
		full += cost
		key := fmt.Sprintf("%09d", p.next)
		if err := member(tw, key+f.ext, f.data); err != nil {
			return s, fileError("pack", path, packHint, err)
		}
		if label != "" {
			if err := member(tw, key+".cls", []byte(label)); err != nil {
				return s, fileError("pack", path, packHint, err)
			}
		}
		s.Samples++
		p.file, p.packed = nil, p.packed || f.ext == packedExt
		if p.progress != nil {
			p.progress(p.next+1, p.n)
		}
	}
	if err := tw.Close(); err != nil {
		return s, fileError("pack", path, packHint, err)
	}
	s.Bytes = count.n
	s.SHA256 = hexSum([sha256.Size]byte(h.Sum(nil)))
	return s, nil
}

// cost is the size of the sample in a tar of the files as they were.
func (f *packFile) cost(label string) int64 {
	c := tarBlock + padded(f.size)
	if label != "" {
		c += tarBlock + padded(int64(len(label)))
	}
	return c
}

// member writes a file into the tar: nothing in its header but name and size.
func member(tw *tar.Writer, name string, data []byte) error {
	if err := tw.WriteHeader(&tar.Header{
		Format: tar.FormatUSTAR, Typeflag: tar.TypeReg,
		Name: name, Size: int64(len(data)), Mode: 0o644, ModTime: time.Unix(0, 0),
	}); err != nil {
		return err
	}
	_, err := tw.Write(data)
	return err
}

type byteCounter struct{ n int64 }

func (c *byteCounter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}
