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
	"time"

	"resslt/ingest/store"
	"resslt/schemas"
	"resslt/schemas/bounded"
	"resslt/schemas/errs"
)

// Source is an opened data set: a numbered list of undecoded images.
//
// The numbering is part of the contract: sample i is the same image whenever and
// wherever data of the same Manifest digest is opened.
type Source interface {
	// Manifest describes the data by content. It is shared: do not change it.
	Manifest() *Manifest

	// Len is the number of samples n; ids are 0 ≤ id < n. A mixture has more, which stand
	// for sample id mod n (mixorder.go).
	Len() int64

	// Read fills dst with sample id. dst.Data is grown if its capacity is too
	// small and overwritten otherwise; it never aliases the Source's memory or
	// another Read's result. Raw pixels are interleaved (HWC), whatever the file's
	// layout. After an error the contents of dst are unspecified.
	//
	// Read is safe for concurrent use, each call with a dst of its own. Errors:
	// ErrNotFound for an id out of range or a missing file, ErrMismatch for a file
	// that has changed since Open, ErrUnavailable after Close or when the disk fails,
	// or ctx's error: faults of the store, which say nothing of the sample. A sample
	// above Options.MaxSampleBytes alone is a schemas.BadSample (ErrTooLarge).
	Read(ctx context.Context, id int64, dst *schemas.Sample) error

	// Close releases the files. Later Reads fail with ErrUnavailable. A second
	// Close does nothing.
	Close() error
}

// Options configure Open. The zero value is the default.
type Options struct {
	// Split is the part of the data set to open: Train if empty. Shards that Pack
	// wrote know their split, which is then the default.
	Split string

	// CacheDir holds the indexes of folders, shards and large files. Default:
	// $RESSLT_CACHE_DIR, else resslt/index under os.UserCacheDir. Several processes may
	// share it. Where it cannot be used, the data is indexed without it.
	CacheDir string

	// Warn is called with a line about what is wrong but does not keep the data from
	// being read, such as a cache that cannot be written. Default: nobody is told.
	Warn func(string)

	// MaxSampleBytes caps the bytes of one sample. Default: 64 MiB.
	MaxSampleBytes int64

	// Workers bounds the files that are hashed at once while an index is built.
	// Default: the number of CPUs, at most 16.
	Workers int

	// Progress is called with the number of bytes hashed so far while an index is
	// built. Calls never overlap. Default: none.
	Progress func(done, total int64)

	// Listing is called with the number of files found so far while folders and buckets are
	// being listed, which Open does before all else. It may be called from several goroutines.
	// Default: none.
	Listing func(files int64)

	// Store configures how remote data is read and cached.
	Store store.Options

	// Runs announces that samples will be read in long runs, as by a blocked order:
	// remote shards are then fetched whole even if not all fit the cache.
	Runs bool

	keptFrom  int64         // default keptFrom
	lookAfter time.Duration // default lookAfter

	files *store.Store // of the Store options; made by applyDefaults, closed with the Source
}

// defaultMaxSampleBytes is Options.MaxSampleBytes where that is zero.
const defaultMaxSampleBytes = 64 << 20

// Validate reports whether the options can be used. Its error wraps ErrUsage.
func (o Options) Validate() error {
	bad := func(field string, v any, hint string) error {
		return errs.New("ingest option", field, hint, errs.Because(errs.ErrUsage, fmt.Sprintf("is %v", v)))
	}
	switch {
	case o.Split != "" && !slices.Contains(allSplits, splitCalled(o.Split)):
		return bad("Split", fmt.Sprintf("%q", o.Split), bounded.Suggest(o.Split, allSplits)+"give one of "+strings.Join(allSplits, ", "))
	case o.MaxSampleBytes < 0:
		return bad("MaxSampleBytes", o.MaxSampleBytes, "give 1 or more, or 0 for the default")
	case o.Workers < 0:
		return bad("Workers", o.Workers, "give 1 or more, or 0 for the default")
	}
	return o.Store.Validate()
}

func (o Options) applyDefaults() Options {
	o.Split = splitCalled(o.Split)
	if o.MaxSampleBytes == 0 {
		o.MaxSampleBytes = defaultMaxSampleBytes
	}
	if o.Workers == 0 {
		o.Workers = min(runtime.GOMAXPROCS(0), 16)
	}
	if o.keptFrom == 0 {
		o.keptFrom = keptFrom
	}
	if o.lookAfter == 0 {
		o.lookAfter = lookAfter
	}
	if o.files == nil {
		if o.Store.Warn == nil {
			o.Store.Warn = o.Warn
		}
		if o.Store.Listed == nil {
			o.Store.Listed = o.Listing
		}
		o.files = store.New(o.Store)
	}
	return o
}

// keep reports whether remote files of so many bytes in total are fetched whole.
func (o Options) keep(bytes int64) bool { return o.Runs || o.files.Fits(bytes) }

// cacheDirs are the folders that may hold an index, the one to write to first: where a
// cache folder was named only later, the default has older indexes.
func (o Options) cacheDirs() (dirs []string, err error) {
	for _, dir := range []string{o.CacheDir, os.Getenv("RESSLT_CACHE_DIR")} {
		if dir != "" && len(dirs) == 0 {
			dirs = append(dirs, dir)
		}
	}
	home, err := os.UserCacheDir()
	if err == nil {
		dirs = append(dirs, filepath.Join(home, "resslt", "index"))
	}
	if len(dirs) > 0 {
		return dirs, nil
	}
	return nil, err
}

// warn passes an error on that does not stop the work.
func (o Options) warn(doing string, err error) {
	if o.Warn != nil {
		o.Warn(doing + ": " + err.Error())
	}
}

// Open opens the data set that uri names, "scheme:place". Building an index reads every
// byte of a folder or shard once; later, Open only checks sizes and modification times.
// The caller must Close the Source.
//
// place may be local or remote (package store): s3://, gs://, https://, file://.
//
// Errors: ErrUsage for an unknown scheme or split, ErrNotFound for missing or empty
// data, ErrCorrupt for files that are not what they should be, or ctx's.
func Open(ctx context.Context, uri string, opt Options) (Source, error) {
	if err := opt.Validate(); err != nil {
		return nil, err
	}
	opt = opt.applyDefaults()
	scheme, arg, ok := strings.Cut(uri, ":")
	var forms, names []string
	for _, f := range formats {
		if ok && f.Name == scheme {
			src, err := f.open(ctx, store.Local(arg), opt)
			if err != nil {
				return nil, errors.Join(err, opt.files.Close())
			}
			return src, nil
		}
		forms, names = append(forms, f.Form), append(names, f.Name)
	}
	why, near := fmt.Sprintf("unknown scheme %q", scheme), bounded.Suggest(scheme, names)
	if !ok {
		why, near = "no scheme before a colon", schemeOf(uri)
	}
	return nil, errs.New("open data", uri, near+"give one of "+strings.Join(forms, ", "), errs.Because(errs.ErrUsage, why))
}

// schemeOf suggests what was probably meant by a place without a scheme, or "".
func schemeOf(place string) string {
	info, err := os.Stat(place)
	for ending, scheme := range map[string]string{".tar": "wds", ".parquet": "parquet"} {
		if err == nil && info.Mode().IsRegular() && strings.HasSuffix(place, ending) {
			return "did you mean " + scheme + ":" + place + "? "
		}
	}
	if err == nil && info.IsDir() {
		return "did you mean folder:" + place + "? "
	}
	return ""
}

// checkID is the check that begins every Read.
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
			fmt.Sprintf("ids go from 0 to %d; is this the data set of the run?", m.Samples-1),
			errs.Because(errs.ErrNotFound, "id out of range"))
	}
	return nil
}

// sized is b resized to n bytes, in the same memory if it suffices.
func sized(b []byte, n int) []byte {
	if cap(b) < n {
		return make([]byte, n)
	}
	return b[:n]
}
