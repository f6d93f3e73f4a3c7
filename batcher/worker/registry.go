package worker

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"resslt/batcher/runs"
)

// registry is which runs a worker serves, and which it refused lately.
type registry struct {
	report func(error)

	mu      sync.Mutex
	served  []*serving           // by name; guarded by mu
	banned  map[string]time.Time // what was refused (banKey), and until when; guarded by mu
	notices map[string]string    // last notice about a run, "" for the list of runs; guarded by mu
}

func newRegistry(report func(error)) registry {
	return registry{report: report, banned: map[string]time.Time{}, notices: map[string]string{}}
}

// runs gives the runs that are served, by name.
func (g *registry) runs() []*serving {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.served)
}

// isNew reports whether a run is neither served nor was refused lately.
func (g *registry) isNew(run *runs.Run) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return !time.Now().Before(g.banned[banKey(run)]) &&
		!slices.ContainsFunc(g.served, func(sv *serving) bool { return sv.run.Name == run.Name })
}

// add begins to serve a run.
func (g *registry) add(sv *serving) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.served = append(g.served, sv)
	slices.SortFunc(g.served, func(a, b *serving) int { return strings.Compare(a.run.Name, b.run.Name) })
}

// drop stops serving a run; the last user closes its source.
func (g *registry) drop(sv *serving) {
	g.mu.Lock()
	n := len(g.served)
	g.served = slices.DeleteFunc(g.served, func(s *serving) bool { return s == sv })
	mine := len(g.served) < n
	g.mu.Unlock()
	if mine {
		g.release(sv)
	}
}

// retain reports whether a run is still served, and keeps its source open until release.
func (g *registry) retain(sv *serving) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if sv.refs == 0 {
		return false
	}
	sv.refs++
	return true
}

// release closes the source after its last user.
func (g *registry) release(sv *serving) {
	g.mu.Lock()
	sv.refs--
	last := sv.refs == 0
	g.mu.Unlock()
	if last {
		if err := sv.source.Close(); err != nil {
			g.report(err)
		}
	}
}

// banTime is how long a refused run is left alone. What was amiss may be fixed
// without this worker: a disk mounted, a data set copied.
const banTime = time.Minute

// banKey is what was refused: the same run with its data elsewhere may go.
func banKey(run *runs.Run) string { return run.Info.Digest + " " + run.Info.DataURI }

// ban leaves a run alone for banTime, and returns why.
func (g *registry) ban(run *runs.Run, why error) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.banned[banKey(run)] = time.Now().Add(banTime)
	return why
}

// notify reports what is the matter with a run, or with the list of runs (""), unless
// it is the last notice again. Nil: nothing is the matter any more.
func (g *registry) notify(about string, err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	g.mu.Lock()
	known := g.notices[about] == text
	g.notices[about] = text
	g.mu.Unlock()
	if err != nil && !known {
		g.report(err)
	}
}

// forget drops the notices of runs that are not among those found, and the bans that are
// over.
func (g *registry) forget(found []*runs.Run) {
	g.mu.Lock()
	defer g.mu.Unlock()
	maps.DeleteFunc(g.notices, func(name, _ string) bool {
		return name != "" && !slices.ContainsFunc(found, func(r *runs.Run) bool { return r.Name == name })
	})
	maps.DeleteFunc(g.banned, func(_ string, until time.Time) bool { return time.Now().After(until) })
}
