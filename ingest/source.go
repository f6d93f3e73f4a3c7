package ingest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"resslt/ingest/store"
	"resslt/schemas"
	"resslt/schemas/errs"
)

// Source is an opened data set: a numbered list of undecoded images.
//
// The numbering is part of the contract: sample i is the same image whenever and
// wherever data of the same Manifest digest is opened.
type Source interface {
	// Manifest describes the data by content. It is shared: do not change it.
	Manifest() *Manifest

	// Len is the number of samples n; ids are 0 ≤ id < n.
	Len() int64

	// Read fills dst with sample id. dst.Data is grown if its capacity is too
	// small and overwritten otherwise; it never aliases the Source's memory or
	// another Read's result. Raw pixels are interleaved (HWC), whatever the file
	// holds. After an error the contents of dst are unspecified.
	//
	// Read is safe for concurrent use, each call with a dst of its own. Errors:
	// ErrNotFound for an id out of range or a file that is gone, ErrTooLarge
	// above Options.MaxSampleBytes, ErrMismatch for a file that was changed since
	// Open, ErrUnavailable after Close or when the disk fails, or ctx's error.
	Read(ctx context.Context, id int64, dst *schemas.Sample) error

	// Close releases the files. Later Reads fail with ErrUnavailable. A second
	// Close does nothing.
	Close() error
}

// Splits that Options.Split can name. A format has some of them.
const (
	Train          = "train"
	Test           = "test"
	Val            = "val"       // where a set has one of its own
	TrainVal       = "train+val" // both together, to train on once settings are chosen
	Unlabeled      = "unlabeled"
	TrainUnlabeled = "train+unlabeled" // STL-10's pre-training set: 5,000 + 100,000
)

// Options say how a data set is opened. The zero value is the default.
type Options struct {
	// Split is the part of the data set to open: Train if empty. Shards written
	// by Pack know their split, so there an empty Split means "theirs".
	Split string

	// CacheDir holds the indexes of folders, shards and large files. Default:
	// resslt/index under os.UserCacheDir. Several processes may share it.
	CacheDir string

	// MaxSampleBytes caps the bytes of one sample. Default: 64 MiB.
	MaxSampleBytes int64

	// Workers bounds the files that are hashed at once while an index is built.
	// Default: the number of CPUs, at most 16.
	Workers int

	// Progress is told how many of total bytes are hashed while an index is
	// built. Calls never overlap. Default: none.
	Progress func(done, total int64)

	// Store says how remote data is read and how much of it is cached.
	Store store.Options

	// Runs says that the reads will come in long runs, as by a blocked order:
	// remote shards are then fetched whole though not all fit the cache.
	Runs bool

	files *store.Store // of the Store options; made by applyDefaults, closed with the Source
}

// DefaultMaxSampleBytes is Options.MaxSampleBytes where that is zero.
const DefaultMaxSampleBytes = 64 << 20

// Validate says whether the options can be used; it wraps ErrUsage.
func (o Options) Validate() error {
	bad := func(field string, v any, hint string) error {
		return errs.New("ingest option", field, hint, errs.Because(errs.ErrUsage, fmt.Sprintf("is %v", v)))
	}
	switch {
	case o.Split != "" && !slices.Contains(allSplits, o.Split):
		return bad("Split", fmt.Sprintf("%q", o.Split), "give one of "+strings.Join(allSplits, ", "))
	case o.MaxSampleBytes < 0:
		return bad("MaxSampleBytes", o.MaxSampleBytes, "give 1 or more, or 0 for the default")
	case o.Workers < 0:
		return bad("Workers", o.Workers, "give 1 or more, or 0 for the default")
	}
	return o.Store.Validate()
}

var allSplits = []string{Train, Val, TrainVal, Test, Unlabeled, TrainUnlabeled}

func (o Options) applyDefaults() Options {
	if o.MaxSampleBytes == 0 {
		o.MaxSampleBytes = DefaultMaxSampleBytes
	}
	if o.Workers == 0 {
		o.Workers = min(runtime.GOMAXPROCS(0), 16)
	}
	if o.files == nil {
		o.files = store.New(o.Store)
	}
	return o
}

// keep says whether remote files of so many bytes together are fetched whole.
func (o Options) keep(bytes int64) bool { return o.Runs || o.files.Fits(bytes) }

// cacheDir is where indexes go. It is asked for only by sources that need one,
// so that a process without a home directory can still read the small sets.
func (o Options) cacheDir() (string, error) {
	if o.CacheDir != "" {
		return o.CacheDir, nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", errs.New("find the index cache", "", "set XDG_CACHE_HOME or HOME, or give a cache directory",
			errs.BecauseErr(errs.ErrUnavailable, err))
	}
	return filepath.Join(dir, "resslt", "index"), nil
}

// split is the asked-for split, which must be one of those that the format has.
func (o Options) split(scheme string, has ...string) (string, error) {
	s := o.Split
	if s == "" {
		s = Train
	}
	if !slices.Contains(has, s) {
		return "", errs.New("open "+scheme, "split "+s, "give one of "+strings.Join(has, ", "),
			errs.Because(errs.ErrUsage, scheme+" has no such split"))
	}
	return s, nil
}

// Scheme is one kind of data URI.
type Scheme struct {
	Name string // "folder"
	Form string // "folder:DIR"
	Text string // one line for help texts
}

type format struct {
	Scheme
	open func(ctx context.Context, arg string, opt Options) (Source, error)
}

// formats is in the order in which help texts list them.
var formats = []format{
	{Scheme{"fashion-mnist", "fashion-mnist:[DIR]", "Fashion-MNIST's four IDX files; without DIR, Debian's package dataset-fashion-mnist"}, fashionMNIST.open},
	{Scheme{"mnist", "mnist:DIR", "MNIST's four IDX files, gzip or plain"}, mnist.open},
	{Scheme{"cifar10", "cifar10:DIR", "CIFAR-10, binary version"}, cifar10.open},
	{Scheme{"cifar100", "cifar100:DIR", "CIFAR-100, binary version, fine labels"}, cifar100.open},
	{Scheme{"stl10", "stl10:DIR", "STL-10, binary version; splits train, test, unlabeled, train+unlabeled"}, stl10.open},
	{Scheme{"folder", "folder:DIR", "JPEG, PNG and WebP files, one sub-folder a class; DIR may hold train, test or val"}, openFolder},
	{Scheme{"wds", "wds:GLOB", "WebDataset tar shards: a glob, {000..009} ranges, {split}, or the folder that pack wrote"}, openWDS},
	{Scheme{"parquet", "parquet:GLOB", "Parquet files with image {bytes, path} and label, as Hugging Face's; or their folder"}, openParquet},
	{Scheme{"imagenet-tar", "imagenet-tar:FILE", "ImageNet's official archive, a tar of class tars; or its folder, with the devkit for split test"}, openILSVRC},
	{Scheme{"food101", "food101:DIR", "Food-101 with its meta lists"}, food101.open},
	{Scheme{"cars", "cars:DIR", "Stanford Cars with its devkit of MAT-files"}, cars.open},
	{Scheme{"dtd", "dtd:DIR[?fold=N]", "Describable Textures, fold 1 to 10; splits train, val, train+val, test"}, dtd.open},
	{Scheme{"pets", "pets:DIR", "Oxford-IIIT Pets; train is the official trainval"}, pets.open},
	{Scheme{"flowers", "flowers:DIR", "Oxford Flowers-102; splits train, val, train+val, test"}, flowers.open},
	{Scheme{"aircraft", "aircraft:DIR[?level=L]", "FGVC-Aircraft by variant, family or manufacturer; splits train, val, train+val, test"}, aircraft.open},
	{Scheme{"caltech101", "caltech101:DIR[?draw=N]", "Caltech-101, 30 images a class to train by draw N, the others to test"}, caltech101.open},
	{Scheme{"voc2007", "voc2007:DIR", "PASCAL VOC2007, several labels an image; splits train, val, train+val, test"}, voc2007.open},
}

// Schemes lists the data URIs that Open takes, for help texts.
func Schemes() []Scheme {
	out := make([]Scheme, len(formats))
	for i, f := range formats {
		out[i] = f.Scheme
	}
	return out
}

// Open opens the data set that uri names, "scheme:place". Building an index
// reads every byte of a folder or shard once; later opens only look at sizes and
// modification times. The caller must Close the Source.
//
// place may be local or remote (package store): s3://, gs://, https://, file://.
//
// Errors: ErrUsage for an unknown scheme or split, ErrNotFound for missing or
// empty data, ErrCorrupt for files that are not what they should be, or ctx's.
func Open(ctx context.Context, uri string, opt Options) (Source, error) {
	if err := opt.Validate(); err != nil {
		return nil, err
	}
	opt = opt.applyDefaults()
	scheme, arg, ok := strings.Cut(uri, ":")
	var forms []string
	for _, f := range formats {
		if ok && f.Name == scheme {
			src, err := f.open(ctx, store.Local(arg), opt)
			if err != nil {
				return nil, errors.Join(err, opt.files.Close())
			}
			return src, nil
		}
		forms = append(forms, f.Form)
	}
	why := fmt.Sprintf("unknown scheme %q", scheme)
	if !ok {
		why = "no scheme before a colon"
	}
	return nil, errs.New("open data", uri, "give one of "+strings.Join(forms, ", "), errs.Because(errs.ErrUsage, why))
}

// checkID is the first line of every Read.
func checkID(ctx context.Context, m *Manifest, closed bool, id int64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if closed {
		return errs.New("read sample", fmt.Sprintf("%d of %s", id, m.Format), "read before Close",
			errs.Because(errs.ErrUnavailable, "the source is closed"))
	}
	if id < 0 || id >= m.Samples {
		return errs.New("read sample", fmt.Sprintf("%d of %s", id, m.Format),
			fmt.Sprintf("ids go from 0 to %d; is this the data set that the run was made with?", m.Samples-1),
			errs.Because(errs.ErrNotFound, "id out of range"))
	}
	return nil
}

// sized is b with length n, in the same memory where that suffices.
func sized(b []byte, n int) []byte {
	if cap(b) < n {
		return make([]byte, n)
	}
	return b[:n]
}
