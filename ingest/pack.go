package ingest

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"image"
	"image/png"
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
	return o
}

const packHint = "name a folder that this user can write to, with room for the shards"

// Pack writes the data set as WebDataset tars and returns their manifest, which is also
// that of "wds:" opened on Dir. Samples keep their labels, and their ids unless they are
// shuffled.
//
// Files are packed unchanged, raw pixels as PNG. The same source gives the same bytes:
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
	p := &packer{src: src, n: src.Len(), progress: opt.Progress, most: opt.ShardBytes}
	if opt.Shuffle {
		p.order = NewOrder(opt.Seed, p.n)
	}
	m = &Manifest{Format: "wds", Split: from.Split, Classes: from.Classes}
	for i := 0; p.next < p.n; i++ {
		name := fmt.Sprintf("%s-%06d.tar", opt.Prefix, i)
		path := filepath.Join(opt.Dir, name)
		var s Shard
		if err := writeFile(op, path, packHint, func(w io.Writer) (err error) {
			s, err = p.shard(ctx, w, path)
			return err
		}); err != nil {
			return nil, err
		}
		written = append(written, path)
		s.Name = name
		m.Shards = append(m.Shards, s)
		m.Samples += s.Samples
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
	src      Source
	n        int64
	next     int64  // first sample that is in no shard yet
	most     int64  // bytes a shard
	order    *Order // nil: the source's
	progress func(done, total int64)

	sample schemas.Sample // sample next, if loaded
	loaded bool
	data   []byte // the bytes of its file
	ext    string
	image  bytes.Buffer // memory of data where pixels are encoded
	png    png.Encoder
}

// shard writes one tar to w.
func (p *packer) shard(ctx context.Context, w io.Writer, path string) (Shard, error) {
	h := sha256.New()
	count := &byteCounter{}
	tw := tar.NewWriter(io.MultiWriter(w, h, count))
	var s Shard
	for ; p.next < p.n; p.next++ {
		if err := p.load(ctx); err != nil {
			return s, err
		}
		label := ""
		if p.sample.Label != schemas.NoLabel {
			label = strconv.Itoa(int(p.sample.Label))
		}
		if s.Samples > 0 && padded(count.n)+p.cost(label)+2*tarBlock > p.most {
			break
		}
		key := fmt.Sprintf("%09d", p.next)
		if err := member(tw, key+p.ext, p.data); err != nil {
			return s, fileError("pack", path, packHint, err)
		}
		if label != "" {
			if err := member(tw, key+".cls", []byte(label)); err != nil {
				return s, fileError("pack", path, packHint, err)
			}
		}
		s.Samples++
		p.loaded = false
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

// cost is the size of the loaded sample in a tar.
func (p *packer) cost(label string) int64 {
	c := tarBlock + padded(int64(len(p.data)))
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

// load reads sample next, unless it is loaded already because the last shard had no
// room for it.
func (p *packer) load(ctx context.Context) error {
	if p.loaded {
		return nil
	}
	s, id := &p.sample, p.next
	if p.order != nil {
		id = p.order.At(0, id)
	}
	if err := p.src.Read(ctx, id, s); err != nil {
		return err
	}
	p.loaded = true
	if s.Encoding == schemas.Encoded {
		p.data = s.Data
		if p.ext = extensionOf(s.Data); p.ext == "" {
			// No known image format. It stays a sample, as it was in the source.
			if p.ext = filepath.Ext(s.Key); !isImageName(s.Key) {
				return errs.New("pack", s.Key, "remove it from the data set",
					errs.Because(errs.ErrUnsupported, "neither JPEG, PNG nor WebP"))
			}
		}
		return nil
	}
	var img image.Image
	if s.Encoding == schemas.RawGray {
		img = &image.Gray{Pix: s.Data, Stride: s.Width, Rect: image.Rect(0, 0, s.Width, s.Height)}
	} else {
		rgba := image.NewNRGBA(image.Rect(0, 0, s.Width, s.Height))
		for i := range s.Width * s.Height {
			copy(rgba.Pix[4*i:], s.Data[3*i:3*i+3])
			rgba.Pix[4*i+3] = 255 // opaque: PNG then stores three channels
		}
		img = rgba
	}
	p.image.Reset()
	if p.png.BufferPool == nil {
		p.png.BufferPool = &pngBuffer{}
	}
	if err := p.png.Encode(&p.image, img); err != nil {
		return errs.New("pack", s.Key, "", errs.BecauseErr(errs.ErrUnsupported, err))
	}
	p.data, p.ext = p.image.Bytes(), ".png"
	return nil
}

// extensionOf is the extension of an image, by its first bytes; "" if unknown.
func extensionOf(b []byte) string {
	switch {
	case bytes.HasPrefix(b, []byte{0xff, 0xd8, 0xff}):
		return ".jpg"
	case bytes.HasPrefix(b, []byte("\x89PNG\r\n\x1a\n")):
		return ".png"
	case len(b) >= 12 && string(b[:4]) == "RIFF" && string(b[8:12]) == "WEBP":
		return ".webp"
	}
	return ""
}

// pngBuffer keeps the encoder's memory from one sample to the next.
type pngBuffer struct{ b *png.EncoderBuffer }

func (p *pngBuffer) Get() *png.EncoderBuffer  { return p.b }
func (p *pngBuffer) Put(b *png.EncoderBuffer) { p.b = b }

type byteCounter struct{ n int64 }

func (c *byteCounter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}
