package packing

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"resslt/augment"
	"resslt/augment/packed"
	"resslt/ingest"
	"resslt/schemas/errs"
)

// Codecs are the names of the codecs.
func Codecs() []string { return []string{"dct"} }

// Options configure a Codec.
type Options struct {
	// CheckEvery has the pixels of every so many pictures compared; 1: of all. Default 10.
	CheckEvery int
}

// Codec recodes pictures, and counts. It is safe for concurrent use.
type Codec struct {
	name  string
	every int
	begun time.Time

	mu     sync.Mutex
	counts counts // guarded by mu
}

type counts struct {
	packed, kept    int64
	left            map[string]int64 // by reason
	before, after   int64            // bytes of the pictures that were packed
	checked, others int64            // pictures whose pixels were compared; bytes of the others
}

// NewCodec is the codec of a name. The error wraps ErrUsage for another name, and
// ErrUnsupported where this build lacks it.
func NewCodec(name string, o Options) (*Codec, error) {
	if !slices.Contains(Codecs(), name) {
		return nil, errs.New("codec", fmt.Sprintf("%q", name), "give --codec dct, or none", errs.Because(errs.ErrUsage, "there is no codec of that name"))
	}
	if o.CheckEvery < 0 {
		return nil, errs.New("codec", "--check-every", "give 1 or more", errs.Because(errs.ErrUsage, fmt.Sprintf("is %d", o.CheckEvery)))
	}
	if err := available(); err != nil {
		return nil, err
	}
	return &Codec{name: name, every: cmp.Or(o.CheckEvery, 10), begun: time.Now(), counts: counts{left: map[string]int64{}}}, nil
}

// Report is what a Codec has done.
type Report struct {
	Codec       string           `json:"codec"`
	Packed      int64            `json:"packed"`        // pictures
	Kept        int64            `json:"packed_before"` // of them, packs that were in the data set
	Left        map[string]int64 `json:"left"`          // pictures that stay as they are, by reason
	BytesBefore int64            `json:"bytes_before"`  // of the files that were packed now
	BytesAfter  int64            `json:"bytes_after"`   // of their packs
	BytesLeft   int64            `json:"bytes_left"`    // of the pictures left
	Checked     int64            `json:"pixels_compared"`
	Rate        float64          `json:"pictures_per_second"`
}

// Report counts what the codec has done so far.
func (c *Codec) Report() Report {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := &c.counts
	r := Report{
		Codec: c.name, Packed: n.packed, Kept: n.kept, Left: map[string]int64{},
		BytesBefore: n.before, BytesAfter: n.after, BytesLeft: n.others, Checked: n.checked,
	}
	all := n.packed
	for why, k := range n.left {
		r.Left[why] = k
		all += k
	}
	r.Rate = math.Round(10*float64(all)/time.Since(c.begun).Seconds()) / 10
	return r
}

// Recoder makes a Recoder for one goroutine.
func (c *Codec) Recoder() (ingest.Recoder, error) {
	p, err := newPacker()
	if err != nil {
		return nil, err
	}
	return &recoder{codec: c, packer: p}, nil
}

// recoder packs pictures.
type recoder struct {
	codec    *Codec
	packer   packer
	restorer packed.Restorer
	seen     int
}

// packer makes packs without skeletons; why says why a JPEG stays one.
type packer interface {
	pack(jpeg []byte) (pack []byte, why string, err error)
	// Same reports whether all pixels of a pack are those of the JPEG.
	Same(pack, jpeg []byte) (bool, error)
	Close() error
}

// Recode is an ingest.Recoder's.
func (r *recoder) Recode(name string, file []byte) (ingest.Recoded, error) {
	if packed.Is(file) {
		r.codec.count(func(n *counts) { n.packed++; n.kept++ })
		return ingest.Recoded{Data: file, Size: int64(packed.JPEGBytes(file))}, nil
	}
	pack, why, err := r.pack(file)
	if err != nil {
		return ingest.Recoded{}, err
	}
	size := int64(len(file))
	if why != "" {
		r.codec.count(func(n *counts) { n.left[why]++; n.others += size })
		return ingest.Recoded{Data: file, Size: size}, nil
	}
	check := r.seen%r.codec.every == 0
	if r.seen++; check {
		same, err := r.packer.Same(pack, file)
		if err == nil && !same {
			err = errs.New("compare with the pack", name, "report this file: a pack must have the JPEG's pixels; pack without --codec until it is mended",
				errs.Because(errs.ErrMismatch, "pixels differ"))
		}
		if err != nil {
			return ingest.Recoded{}, err
		}
	}
	r.codec.count(func(n *counts) {
		n.packed++
		n.before += size
		n.after += int64(len(pack))
		if check {
			n.checked++
		}
	})
	return ingest.Recoded{Data: pack, Size: size}, nil
}

func (r *recoder) pack(file []byte) (pack []byte, why string, err error) {
	if why := notJPEG(file); why != "" {
		return nil, why, nil
	}
	if pack, why, err = r.packer.pack(file); err != nil || why != "" {
		return nil, why, err
	}
	return r.restorer.Seal(pack, file)
}

// notJPEG is what a file is, "" for a JPEG.
func notJPEG(file []byte) string {
	switch ingest.ExtensionOf(file) {
	case ".jpg":
		return ""
	case ".png":
		return "PNG"
	case ".webp":
		return "WebP"
	}
	return "no JPEG, PNG or WebP"
}

func (c *Codec) count(do func(*counts)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	do(&c.counts)
}

// Close is an ingest.Recoder's.
func (r *recoder) Close() error { return r.packer.Close() }

// restorer gives packs back as JPEGs, and all else as it is.
type restorer struct {
	packed packed.Restorer
	limits packed.Limits
	count  func()
}

// Restorer makes Recoders that give packs back as the files that were packed. done is called
// for each.
func Restorer(done func()) func() (ingest.Recoder, error) {
	return func() (ingest.Recoder, error) { return &restorer{limits: limits(), count: done}, nil }
}

func limits() packed.Limits { return packed.Limits(augment.DefaultLimits) }

// Recode is an ingest.Recoder's.
func (r *restorer) Recode(name string, file []byte) (ingest.Recoded, error) {
	if !packed.Is(file) {
		return ingest.Recoded{Data: file, Size: int64(len(file))}, nil
	}
	jpeg, err := r.packed.Restore(file, r.limits)
	if err != nil {
		return ingest.Recoded{}, errs.New("restore", name, "find what is damaged by `resslt shards verify`", err)
	}
	r.count()
	return ingest.Recoded{Data: bytes.Clone(jpeg), Size: int64(len(jpeg))}, nil
}

// Close is an ingest.Recoder's.
func (r *restorer) Close() error { return nil }
