package pipeline

import (
	"context"
	"maps"
	"slices"
	"sync"

	"resslt/batcher/produce"
	"resslt/ingest"
	"resslt/schemas"
)

// Shelf holds the data sets that the runs of a process have open, each once, however many runs
// are of it: some data sets lie in memory. What one run does to its data, another does not
// notice, but for the time that it takes to open them.
//
//	Open:
//	    nobody has the data           → open them; who comes meanwhile waits for that
//	    they are open                 → lend them
//	    who opens them is cancelled   → those that wait begin anew
//	    they do not open              → all that wait hear why, and the next Open tries again
//	Close of the last run that has them → they are closed
//	a sample is not what it was       → they are lent to nobody any more: the next Open reads
//	                                    them afresh; runs that have them keep them
//
// Data are the same where URI, digest, split and way of reading are. Methods may be called from
// several goroutines.
type Shelf struct {
	mu      sync.Mutex
	volumes map[volumeKey]*volume // that are lent, or being opened; guarded by mu
}

type volumeKey struct {
	uri, digest, split string
	runs               bool
}

// volume is a data set on the shelf.
type volume struct {
	key   volumeKey
	ready chan struct{} // closed when it is open, or cannot be opened
	gone  chan struct{} // closed when who opens it is cancelled

	src ingest.Source // set before ready is closed
	err error         // why there is none; set before ready is closed

	users  int             // that have it or wait for it; guarded by Shelf.mu
	follow []func(Headway) // of those that wait, nil for one that has left; guarded by Shelf.mu
}

// NewShelf makes an empty shelf.
func NewShelf() *Shelf { return &Shelf{volumes: map[volumeKey]*volume{}} }

// Headway is how far the opening of a data set has come.
type Headway struct {
	Bytes int64 // that were hashed
	Files int64 // that were listed
}

// Open is OpenTimedSource, of data that other runs may share. goes is called, never twice at a
// time, as their opening goes on, whoever does it; opt.Progress and opt.Warn are called where
// this call does it. The data are closed when every run that has them has closed its Source.
//
// The options that say how data are read must be the same in every call, but for those that the
// run decides.
func (s *Shelf) Open(ctx context.Context, rec *schemas.RunInfo, overrides []string, opt ingest.Options, timer Timer, goes func(Headway)) (produce.Source, error) {
	return openSource(ctx, rec, overrides, opt, timer, func(ctx context.Context, uri, digest string, opt ingest.Options) (opened, error) {
		return s.borrow(ctx, volumeKey{uri, digest, opt.Split, opt.Runs}, opt, goes)
	})
}

func (s *Shelf) borrow(ctx context.Context, key volumeKey, opt ingest.Options, goes func(Headway)) (opened, error) {
	for {
		v, mine, follows := s.join(key, goes)
		if mine {
			s.fill(ctx, v, opt)
		}
		select {
		case <-v.ready:
		case <-v.gone:
		case <-ctx.Done():
		}
		s.unfollow(v, follows)
		select {
		case <-v.ready:
			if v.err == nil {
				return opened{v.src, sync.OnceValue(func() error { return s.release(v) }), func() { s.takeDown(v) }}, nil
			}
			if err := s.release(v); err != nil {
				return opened{}, err
			}
			if mine || ctx.Err() != nil || !isClosed(v.gone) {
				return opened{}, v.err
			}
		default:
			if err := s.release(v); err != nil {
				return opened{}, err
			}
			if ctx.Err() != nil {
				return opened{}, ctx.Err()
			}
		}
	}
}

// join makes the caller a user of the volume, of a new one where there is none: then it is the
// caller's to fill. follows is its place among those that hear how that goes on.
func (s *Shelf) join(key volumeKey, goes func(Headway)) (v *volume, mine bool, follows int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v = s.volumes[key]
	if mine = v == nil; mine {
		v = &volume{key: key, ready: make(chan struct{}), gone: make(chan struct{})}
		s.volumes[key] = v
	}
	v.users++
	v.follow = append(v.follow, goes)
	return v, mine, len(v.follow) - 1
}

func (s *Shelf) unfollow(v *volume, follows int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v.follow[follows] = nil
}

// fill opens a volume's data. Should ctx end, the volume is nobody's to wait for any more, even
// if the store heeds no context.
func (s *Shelf) fill(ctx context.Context, v *volume, opt ingest.Options) {
	var (
		told sync.Mutex
		way  Headway // guarded by told
	)
	tell := func(bytes, files int64) {
		told.Lock()
		defer told.Unlock()
		way = Headway{max(way.Bytes, bytes), max(way.Files, files)}
		s.mu.Lock()
		follow := slices.Clone(v.follow)
		s.mu.Unlock()
		for _, goes := range follow {
			if goes != nil {
				goes(way)
			}
		}
	}
	said := opt.Progress
	opt.Progress = func(done, total int64) {
		if said != nil {
			said(done, total)
		}
		tell(done, 0)
	}
	opt.Listing = func(files int64) { tell(0, files) }
	stop := context.AfterFunc(ctx, func() {
		s.takeDown(v)
		close(v.gone)
	})
	data, err := openAlone(ctx, v.key.uri, v.key.digest, opt)
	v.src, v.err = data.Source, err
	if err != nil {
		s.takeDown(v)
	}
	stop()
	close(v.ready)
}

// takeDown has the volume lent to nobody any more.
func (s *Shelf) takeDown(v *volume) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.volumes, func(_ volumeKey, o *volume) bool { return o == v })
}

// release gives the volume back. The last closes it.
func (s *Shelf) release(v *volume) error {
	s.mu.Lock()
	v.users--
	last := v.users == 0
	if last {
		maps.DeleteFunc(s.volumes, func(_ volumeKey, o *volume) bool { return o == v })
	}
	s.mu.Unlock()
	if last && isClosed(v.ready) && v.src != nil {
		return v.src.Close()
	}
	return nil
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
