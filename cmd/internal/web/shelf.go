package web

import (
	"crypto/sha256"
	"encoding/hex"
	"path/filepath"
	"sync"
	"time"

	"resslt/cmd/internal/runbook"
	"resslt/schemas/errs"
)

// shelf knows the runs that may be shown. It is safe for concurrent use.
type shelf struct {
	own   *Own
	ownID string

	mu   sync.Mutex
	book *runbook.Book  // nil where there is one run alone; guarded by mu
	runs []*runbook.Run // as they were looked at last; guarded by mu
	ids  map[string]string
	at   time.Time // of that look; guarded by mu
	seen int       // looks that found a change; guarded by mu
}

func newShelf(o *Options) (*shelf, error) {
	s := &shelf{own: o.Own, ids: map[string]string{}}
	if o.Own != nil {
		s.ownID = idOf(o.Own.Folder)
		s.ids[s.ownID] = o.Own.Folder
		return s, nil
	}
	s.book = runbook.Open(o.Dirs...)
	_, _, err := s.look()
	return s, err
}

// idOf is the name by which a browser asks for a run.
func idOf(folder string) string {
	if abs, err := filepath.Abs(folder); err == nil {
		folder = abs
	}
	sum := sha256.Sum256([]byte(folder))
	return hex.EncodeToString(sum[:8])
}

// look gives the runs of the list, and the number of looks that have found a change: other pages
// may have had some of them.
func (s *shelf) look() ([]*runbook.Run, int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.book == nil || time.Since(s.at) < restLeast/2 {
		return s.runs, s.seen, nil
	}
	runs, changed, err := s.book.Look()
	s.at = time.Now()
	if err != nil {
		return nil, s.seen, err
	}
	if changed {
		s.seen++
	}
	s.runs = runs
	for _, r := range runs {
		s.ids[idOf(r.Folder)] = r.Folder
	}
	return runs, s.seen, nil
}

// only is the id of the one run that there is to see, "" where there is a list.
func (s *shelf) only() string { return s.ownID }

// folder is the folder of a run on the shelf.
func (s *shelf) folder(id string) (string, error) {
	if _, _, err := s.look(); err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if dir, ok := s.ids[id]; ok {
		return dir, nil
	}
	return "", errs.New("show run", "", "go back to the list", errs.Because(errs.ErrNotFound, "there is no such run any more"))
}

// live is what this process knows of a run, nil where another trains it.
func (s *shelf) live(id string) Live {
	if s.own != nil && id == s.ownID {
		return s.own.Live
	}
	return nil
}
