package runs

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"resslt/batcher/internal/leases"
	"resslt/batcher/internal/link"
	"resslt/schemas"
	"resslt/schemas/errs"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
)

// Overview is what a broker holds of a run, at a moment. State says what that means.
type Overview struct {
	Name string
	Run  *Run  // nil where it has no spec, or one that this build cannot read: then Err says why
	Err  error // why it could not be read, or not wholly

	Now      time.Time // by the broker's clock
	Opened   time.Time // with the options it has, or when its first stream was made; zero where unknown
	Stirred  time.Time // when a trainer last renewed its lease or opened it, or a chunk came
	Beat     time.Time // of the newest heartbeat; zero without one
	Trainers []TrainerState
	Stopped  error // the notice that it must not continue, nil without one

	Kept       []string // its streams, by name; those of Chunks and tasks are gone while it sleeps
	Chunks     uint64   // bytes in BATCH_
	Other      uint64   // bytes of tasks and control messages
	Reserved   int64    // bytes that its streams take of a quota, 0 for none
	Sealed     bool     // BATCH_ is a recording, whole
	keepsSteps bool     // a trainer keeps every step: a recording
	chunks     jetstream.Stream
	optionsSeq uint64 // of the options, 0 for none

	// With Full:
	Workers  []Heartbeat
	Buffered int64 // complete steps ahead of the slowest live trainer
}

// Detail is how much of a run is looked at.
type Detail int

const (
	// Brief leaves out the workers and what is buffered; it asks five times a run.
	Brief Detail = iota
	// Full asks six times.
	Full
	// life is what SleepsNow goes by, and no more, of runs that hold more than their record; it
	// asks twice a run.
	life
)

// runsAtOnce bounds how many runs are looked at concurrently.
const runsAtOnce = 8

// Overviews gives what the broker holds of every run, and what is left of runs, by name. A
// run that cannot be read has an Err, and the others are given all the same.
func Overviews(ctx context.Context, js jetstream.JetStream, detail Detail) ([]Overview, error) {
	streams, err := streamNames(ctx, js)
	if err != nil {
		return nil, err
	}
	there := map[string]bool{}
	var names []string
	for _, s := range streams {
		if name, ok := runOfStream(s); ok {
			there[s] = true
			names = append(names, name)
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if detail == life {
		names = slices.DeleteFunc(names, func(name string) bool {
			return !slices.ContainsFunc(streamsOf(name), func(s string) bool { return there[s] && s != schemas.CtrlStream(name) })
		})
	}
	l := looker{js: js, detail: detail, there: there}
	for s := range there {
		if err := l.readClock(ctx, s); err != nil {
			return nil, link.Unavailable(js.Conn(), "list runs", "", err)
		}
		break
	}
	out := make([]Overview, len(names))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(runsAtOnce)
	for i, name := range names {
		g.Go(func() error {
			out[i] = l.look(gctx, name)
			return ctx.Err()
		})
	}
	if err := g.Wait(); err != nil {
		return nil, link.Unavailable(js.Conn(), "list runs", "", err)
	}
	return slices.DeleteFunc(out, func(o Overview) bool { return len(o.Kept) == 0 }), nil // deleted meanwhile
}

// OverviewOf gives what the broker holds of one run. It returns ErrNotFound where that is nothing.
func OverviewOf(ctx context.Context, js jetstream.JetStream, name string, detail Detail) (*Overview, error) {
	if err := schemas.CheckRunName(name); err != nil {
		return nil, err
	}
	l := looker{js: js, detail: detail}
	for _, s := range streamsOf(name) {
		err := l.readClock(ctx, s)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			continue
		}
		if err != nil {
			return nil, link.Unavailable(js.Conn(), "look at run", name, err)
		}
		if o := l.look(ctx, name); len(o.Kept) > 0 {
			return &o, nil
		}
		break
	}
	return nil, errs.New("look at run", name, "see `resslt farm ls` for the broker's runs", errs.ErrNotFound)
}

// streamsOf are the streams that a run may have. The last goes last when it is deleted, so that
// what was cut short is still listed.
func streamsOf(run string) []string {
	return []string{schemas.TasksStream(run), schemas.BatchStream(run), schemas.BeatsStream(run), schemas.CtrlStream(run)}
}

// runOfStream is the run that a stream is of, by its name.
func runOfStream(stream string) (string, bool) {
	for _, prefix := range streamsOf("") {
		if name, ok := strings.CutPrefix(stream, prefix); ok && schemas.CheckRunName(name) == nil {
			return name, true
		}
	}
	return "", false
}

// streamNames lists the streams of the broker.
func streamNames(ctx context.Context, js jetstream.JetStream) ([]string, error) {
	lister := js.StreamNames(ctx)
	var names []string
	for s := range lister.Name() {
		names = append(names, s)
	}
	if err := lister.Err(); err != nil && !errors.Is(err, jetstream.ErrEndOfData) {
		return nil, link.Unavailable(js.Conn(), "list runs", "", err)
	}
	return names, nil
}

// looker looks at runs.
type looker struct {
	js     jetstream.JetStream
	detail Detail
	there  map[string]bool // streams; nil: whichever answer
	clock  brokerClock
}

// brokerClock tells the broker's time from this machine's.
type brokerClock struct {
	broker time.Time // when this machine's clock showed
	here   time.Time
}

// clockSlack is how far two machines' clocks are trusted to be apart where the broker does not
// say its own, before 2.10: what is older for sure is taken for old.
const clockSlack = 10 * time.Minute

func (l *looker) readClock(ctx context.Context, stream string) error {
	s, err := l.js.Stream(ctx, stream)
	if err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) || err != nil && l.there == nil {
		return err
	}
	l.clock.here = time.Now()
	l.clock.broker = l.clock.here.Add(-clockSlack)
	if err == nil && !s.CachedInfo().TimeStamp.IsZero() {
		l.clock.broker = s.CachedInfo().TimeStamp
	}
	return nil
}

func (c brokerClock) now() time.Time { return c.broker.Add(time.Since(c.here)) }

// look looks at one run. What it could not read is named in Err.
func (l *looker) look(ctx context.Context, name string) Overview {
	o := Overview{Name: name}
	err := errors.Join(l.readStreams(ctx, &o), l.readCtrl(ctx, &o))
	o.Now = l.clock.now()
	if err == nil && l.detail == Full {
		err = errors.Join(l.readWorkers(ctx, &o), l.readBuffered(ctx, &o))
	}
	if err != nil {
		o.Err = err
	}
	return o
}

// readStreams reads how much the run's streams hold. CTRL_ is left to readCtrl.
func (l *looker) readStreams(ctx context.Context, o *Overview) error {
	for _, name := range streamsOf(o.Name) {
		if name == schemas.CtrlStream(o.Name) || l.there != nil && !l.there[name] {
			continue
		}
		if l.detail == life && name != schemas.BatchStream(o.Name) {
			o.Kept = append(o.Kept, name)
			continue
		}
		if l.detail == Full && name == schemas.BeatsStream(o.Name) && l.there[schemas.CtrlStream(o.Name)] {
			o.Kept = append(o.Kept, name)
			o.Reserved += beatsBytes
			continue // its messages are read
		}
		s, err := l.js.Stream(ctx, name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			continue
		}
		if err != nil {
			return link.Unavailable(l.js.Conn(), "look at run", o.Name, err)
		}
		info := s.CachedInfo()
		if !isOurs(info, o.Name) {
			continue
		}
		o.Kept = append(o.Kept, name)
		o.Reserved += max(0, info.Config.MaxBytes)
		switch name {
		case schemas.BatchStream(o.Name):
			o.Chunks, o.Sealed = info.State.Bytes, info.Config.Sealed
			o.stir(info.State.LastTime)
			o.chunks = s
		case schemas.BeatsStream(o.Name):
			o.Beat = info.State.LastTime
			o.Other += info.State.Bytes
		default:
			o.Other += info.State.Bytes
		}
		if o.Opened.IsZero() || info.Created.Before(o.Opened) {
			o.Opened = info.Created
		}
	}
	return nil
}

func (o *Overview) stir(at time.Time) {
	if at.After(o.Stirred) {
		o.Stirred = at
	}
}

// readCtrl reads what CTRL_<run> holds: spec, options, leases and stop notice.
func (l *looker) readCtrl(ctx context.Context, o *Overview) error {
	stream := schemas.CtrlStream(o.Name)
	if l.there != nil && !l.there[stream] {
		return nil
	}
	msgs, err := link.Latest(ctx, l.js, stream,
		schemas.SpecSubject(o.Name), schemas.OptionsSubject(o.Name), schemas.StopSubject(o.Name), schemas.AllTrainers(o.Name))
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	if err != nil {
		return link.Unavailable(l.js.Conn(), "look at run", o.Name, err)
	}
	o.Kept = append(o.Kept, stream)
	if l.detail != life {
		if err := l.readRoom(ctx, o); err != nil {
			return err
		}
	}
	run := &Run{Name: o.Name, js: l.js}
	var (
		spec, options []byte
		opened        time.Time // zero: it was put to sleep since
	)
	for _, m := range msgs {
		o.Other += uint64(len(m.Subject) + len(m.Data))
		switch m.Subject {
		case schemas.SpecSubject(o.Name):
			spec, o.Opened = m.Data, m.Time
			o.stir(m.Time)
		case schemas.OptionsSubject(o.Name):
			options, o.optionsSeq = m.Data, m.Sequence
			if sleepNoteOf(m.Data) == "" {
				opened = m.Time
				o.stir(m.Time)
			}
		case schemas.StopSubject(o.Name):
			o.Stopped = run.StopError(m.Data)
		default:
			h := leases.Parse(m, l.clock.now())
			o.Trainers = append(o.Trainers, trainerState(link.LastToken(m.Subject), h))
			o.keepsSteps = o.keepsSteps || h.Keep < 0
			o.stir(m.Time)
		}
	}
	if !opened.IsZero() {
		o.Opened = opened
	}
	slices.SortFunc(o.Trainers, func(a, b TrainerState) int { return strings.Compare(a.Name, b.Name) })
	if spec == nil {
		return l.readAge(ctx, o)
	}
	info, err := parseInfo(o.Name, spec)
	if err != nil {
		return err
	}
	run.Info = *info
	if err := run.takeOptions(options); err != nil {
		return err
	}
	o.Run = run
	return nil
}

// readRoom reads what CTRL_<run> takes of a quota.
func (l *looker) readRoom(ctx context.Context, o *Overview) error {
	s, err := l.js.Stream(ctx, schemas.CtrlStream(o.Name))
	if err != nil {
		return link.Unavailable(l.js.Conn(), "look at run", o.Name, err)
	}
	o.Reserved += max(0, s.CachedInfo().Config.MaxBytes)
	return nil
}

// readAge reads when a run without a spec was begun, and whether it is one.
func (l *looker) readAge(ctx context.Context, o *Overview) error {
	s, err := l.js.Stream(ctx, schemas.CtrlStream(o.Name))
	if err != nil {
		return link.Unavailable(l.js.Conn(), "look at run", o.Name, err)
	}
	if !isOurs(s.CachedInfo(), o.Name) {
		o.Kept = slices.DeleteFunc(o.Kept, func(s string) bool { return s == schemas.CtrlStream(o.Name) })
		o.Reserved = 0
	}
	o.Opened = s.CachedInfo().Created
	return nil
}

// isOurs reports whether a stream that is named as a run's is one, by its subjects.
func isOurs(s *jetstream.StreamInfo, run string) bool {
	for _, subject := range s.Config.Subjects {
		kind, rest, _ := strings.Cut(subject, ".")
		if kind != "t" && kind != "b" && kind != "c" || !strings.HasPrefix(rest, run+".") {
			return false
		}
	}
	return len(s.Config.Subjects) > 0
}

func (l *looker) readWorkers(ctx context.Context, o *Overview) (err error) {
	if o.Run == nil {
		return nil
	}
	o.Workers, err = o.Run.Workers(ctx)
	for _, b := range o.Workers {
		if b.Time.After(o.Beat) {
			o.Beat = b.Time
		}
	}
	return err
}

// readBuffered counts what is ahead of a trainer that is there.
func (l *looker) readBuffered(ctx context.Context, o *Overview) (err error) {
	if at := o.Slowest(); at != nil && o.Run != nil && o.chunks != nil {
		o.Buffered, err = o.Run.buffered(ctx, o.chunks, at.Cursor, at.lag(), o.Run.Window())
	}
	return err
}

// Slowest is the live trainer that is furthest behind, nil where none is live.
func (o *Overview) Slowest() *TrainerState {
	var at *TrainerState
	for i := range o.Trainers {
		if t := &o.Trainers[i]; t.Live && (at == nil || t.Cursor < at.Cursor) {
			at = t
		}
	}
	return at
}

// Cursor is the next step of the slowest live trainer; where none is live, of the one that went
// furthest.
func (o *Overview) Cursor() int64 {
	if at := o.Slowest(); at != nil {
		return at.Cursor
	}
	far := int64(0)
	for _, t := range o.Trainers {
		far = max(far, t.Cursor)
	}
	return far
}
