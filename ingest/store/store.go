package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"resslt/schemas/errs"
)

// Options configure how remote files are read. The zero value is the default.
type Options struct {
	// CacheDir is the folder of fetched files. Default: $RESSLT_CACHE_DIR, else
	// resslt/shards under os.UserCacheDir.
	CacheDir string

	// CacheBytes bounds the cache. Default: $RESSLT_CACHE_BYTES, else 32 GiB.
	// Below 0 there is no cache, and every read goes to the network.
	CacheBytes int64

	// Warn is called, once, with a line that says why the cache cannot be used; reads then
	// go to the network. Default: nobody is told.
	Warn func(string)

	// Patience is how long a connection may send nothing. Default: 30 s.
	Patience time.Duration

	// Attempts is how often a request is tried before its failure is returned, with
	// pauses between that double, up to 5 s, or last as long as the server asks for. Default:
	// 8, some 15 s.
	Attempts int

	// Pause is the first pause. Default: 0.1 s.
	Pause time.Duration

	// Disk is where local files are read. Default: OSDisk.
	Disk Disk

	// Listed is called, while folders are being listed, with the number of files that all
	// listings have found so far: for every listedEvery of them. It may be called from several
	// goroutines. Default: none.
	Listed func(files int64)
}

// listedEvery is how many files are found between two calls of Options.Listed.
const listedEvery = 256

// defaultCacheBytes is Options.CacheBytes where neither it nor the environment is set.
const defaultCacheBytes = 32 << 30

// Validate reports whether the options can be used. Its error wraps ErrUsage.
func (o Options) Validate() error {
	if o.Patience < 0 || o.Attempts < 0 || o.Pause < 0 {
		return errs.New("store options", "", "give 0 for the defaults", errs.Because(errs.ErrUsage, "a negative number"))
	}
	if v := os.Getenv("RESSLT_CACHE_BYTES"); v != "" {
		if _, err := strconv.ParseInt(v, 10, 64); err != nil {
			return errs.New("store options", "RESSLT_CACHE_BYTES="+v, "give a number of bytes", errs.Because(errs.ErrUsage, "is no number"))
		}
	}
	return nil
}

func (o Options) applyDefaults() Options {
	if o.CacheDir == "" {
		o.CacheDir = os.Getenv("RESSLT_CACHE_DIR")
	}
	if o.CacheBytes == 0 {
		o.CacheBytes, _ = strconv.ParseInt(os.Getenv("RESSLT_CACHE_BYTES"), 10, 64) // Validate has checked it
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = defaultCacheBytes
	}
	if o.Patience == 0 {
		o.Patience = 30 * time.Second
	}
	if o.Attempts == 0 {
		o.Attempts = 8
	}
	if o.Pause == 0 {
		o.Pause = 100 * time.Millisecond
	}
	if o.Disk == nil {
		o.Disk = OSDisk{}
	}
	return o
}

// Info describes a file.
type Info struct {
	Name    string // in List: relative to the folder, '/'-separated; else the name asked for
	Size    int64
	MTime   int64  // ns since 1970; 0 where unknown
	Version string // the ETag of a remote file; "" where there is none
	Change  uint64 // of a local file, by Change
}

// Store opens files. It is safe for concurrent use. Close it after all its files.
type Store struct {
	o      Options
	cache  cache
	listed atomic.Int64 // files that were found

	mu      sync.Mutex
	buckets map[string]bucket // by root; guarded by mu
}

// bucket is a store of remote files. Its errors match errMissing, errDenied,
// ErrMismatch (changed), ErrUnsupported or ErrUsage, which no retry can cure, or
// any other error, which is retried.
type bucket interface {
	// stat describes one file.
	stat(ctx context.Context, key string) (Info, error)
	// read opens bytes [off, off+n) of the file that want describes.
	read(ctx context.Context, key string, want Info, off, n int64) (io.ReadCloser, error)
	// list returns all files whose keys begin with the prefix, by full keys, sorted. It calls
	// touch for each that has come.
	list(ctx context.Context, prefix string, touch func()) ([]Info, error)
	close() error
}

// New returns a store. It opens nothing yet.
func New(o Options) *Store {
	o = o.applyDefaults()
	return &Store{o: o, cache: cache{dir: o.CacheDir, most: o.CacheBytes, warn: o.Warn}, buckets: map[string]bucket{}}
}

// Fits reports whether files of so many bytes in total fit the cache.
func (s *Store) Fits(bytes int64) bool { return bytes <= s.o.CacheBytes }

// Close closes the connections.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for root, b := range s.buckets {
		errs = append(errs, b.close())
		delete(s.buckets, root)
	}
	return errors.Join(errs...)
}

// bucket returns the bucket of a remote name, and the key in it.
func (s *Store) bucket(ctx context.Context, name string) (bucket, string, error) {
	root, key := split(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	if b := s.buckets[root]; b != nil {
		return b, key, nil
	}
	b, err := openBucket(ctx, root)
	if err != nil {
		return nil, "", err
	}
	s.buckets[root] = b
	return b, key, nil
}

// Stat describes a file. Errors match fs.ErrNotExist or one of errs' sentinels.
func (s *Store) Stat(ctx context.Context, name string) (Info, error) {
	if !Remote(name) {
		info, err := s.o.Disk.Stat(Local(name))
		if err != nil {
			return Info{}, err
		}
		return Info{Name: name, Size: info.Size(), MTime: info.ModTime().UnixNano(), Change: Change(info)}, nil
	}
	b, key, err := s.bucket(ctx, name)
	if err != nil {
		return Info{}, err
	}
	var info Info
	err = s.retry(ctx, final, func(ctx context.Context) (err error) {
		ctx, _, stop := watch(ctx, s.o.Patience)
		defer stop()
		info, err = b.stat(ctx, key)
		return slow(ctx, err)
	})
	info.Name = name
	return info, err
}

// IsDir reports whether the name is that of a folder; of a remote one, whether
// there are files below it. A web server has no folders.
func (s *Store) IsDir(ctx context.Context, name string) (bool, error) {
	if !Remote(name) {
		info, err := s.o.Disk.Stat(Local(name))
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		return err == nil && info.IsDir(), err
	}
	files, err := s.List(ctx, name)
	if errors.Is(err, errNoListing) {
		return false, nil
	}
	return len(files) > 0, err
}

// List returns all remote files below the folder, in bytewise order, with names
// relative to it. Local folders are left to the os package.
func (s *Store) List(ctx context.Context, dir string) ([]Info, error) {
	b, key, err := s.bucket(ctx, dir)
	if err != nil {
		return nil, err
	}
	if key != "" && !strings.HasSuffix(key, "/") {
		key += "/"
	}
	var files []Info
	reached := 0 // in any attempt: what is listed again is no headway
	err = s.retry(ctx, final, func(ctx context.Context) (err error) {
		ctx, touch, stop := watch(ctx, s.o.Patience)
		defer stop()
		n := 0
		files, err = b.list(ctx, key, func() {
			touch()
			if n++; n > reached {
				reached = n
				s.CountListed()
			}
		})
		return slow(ctx, err)
	})
	for i := range files {
		files[i].Name = strings.TrimPrefix(files[i].Name, key)
	}
	return files, err
}

// CountListed counts a file that a listing has found: one of List's, or of who lists a local
// folder.
func (s *Store) CountListed() {
	if n := s.listed.Add(1); n%listedEvery == 0 && s.o.Listed != nil {
		s.o.Listed(n)
	}
}

// Glob returns the names that a pattern matches, sorted, like filepath.Glob.
func (s *Store) Glob(ctx context.Context, pattern string) ([]string, error) {
	if !Remote(pattern) {
		return globDisk(Local(pattern))
	}
	magic := strings.IndexAny(pattern, `*?[\`)
	if magic < 0 {
		if _, err := s.Stat(ctx, pattern); err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil, nil
			}
			return nil, err
		}
		return []string{pattern}, nil
	}
	dir := pattern[:strings.LastIndexByte(pattern[:magic], '/')]
	files, err := s.List(ctx, dir)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, f := range files {
		name := dir + "/" + f.Name
		ok, err := path.Match(pattern, name)
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, name)
		}
	}
	return out, nil
}

// Open opens the current version of a file for reading. Errors are Stat's.
func (s *Store) Open(ctx context.Context, name string) (*File, error) {
	if Remote(name) {
		info, err := s.Stat(ctx, name)
		if err != nil {
			return nil, err
		}
		return s.OpenAs(ctx, info)
	}
	name = Local(name)
	f, err := s.o.Disk.Open(name)
	if errors.Is(err, errs.ErrUsage) { // no regular file
		return nil, errs.New("", "", "", errs.BecauseErr(errs.ErrUnsupported, err))
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	return &File{Info: Info{Name: name, Size: info.Size(), MTime: info.ModTime().UnixNano(), Change: Change(info)}, disk: f}, nil
}

// OpenAs opens the remote file that info describes, without a request: reads fail
// with ErrMismatch if the file is another one. Infos of List serve, once their
// names are completed.
func (s *Store) OpenAs(ctx context.Context, info Info) (*File, error) {
	b, key, err := s.bucket(ctx, info.Name)
	if err != nil {
		return nil, err
	}
	return &File{Info: info, store: s, bucket: b, key: key}, nil
}

// errNoListing is ErrUnsupported where files can't be listed.
var errNoListing = fmt.Errorf("%w: a web server has no listing", errs.ErrUnsupported)
