package runs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"resslt/batcher/broker"
	"resslt/batcher/internal/link"
	"resslt/schemas"
	"resslt/schemas/errs"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Run is a run in the broker.
type Run struct {
	Name string
	Info schemas.RunInfo

	opts Options // with defaults
	js   jetstream.JetStream
}

// Spec is the run's spec.
func (r *Run) Spec() *schemas.RunSpec { return &r.Info.Spec }

// Open creates the run's streams and stores its RunInfo, or opens them where
// they are there already with the same spec.
//
// It returns ErrUsage for a bad name, spec or options, ErrMismatch where the name
// belongs to another spec, ErrTooLarge where the broker's max_payload is below a
// chunk, ErrUnavailable where the broker has not the means or does not answer.
func Open(ctx context.Context, js jetstream.JetStream, name string, spec schemas.RunSpec, o Options) (*Run, error) {
	if err := schemas.CheckRunName(name); err != nil {
		return nil, err
	}
	if err := spec.Validate(); err != nil {
		return nil, err
	}
	if err := o.validateFor(&spec, errs.ErrUsage); err != nil {
		return nil, err
	}
	r := &Run{
		Name: name, js: js, opts: o.applyDefaults(&spec),
		Info: schemas.RunInfo{Spec: spec, Digest: spec.Digest(), DataURI: o.DataURI, Data: o.Data},
	}
	if err := checkPayload(js.Conn(), spec.MaxChunkMessage()); err != nil {
		return nil, err
	}
	if err := r.open(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

// Lookup finds a run that somebody opened. It returns ErrNotFound where there
// is none, ErrMismatch or ErrUnsupported where this build cannot serve it, ErrTooLarge or
// ErrCorrupt where nobody can.
func Lookup(ctx context.Context, js jetstream.JetStream, name string) (*Run, error) {
	if err := schemas.CheckRunName(name); err != nil {
		return nil, err
	}
	rec, ctrl, err := loadInfo(ctx, js, name)
	if err != nil {
		return nil, err
	}
	r := &Run{Name: name, Info: *rec, js: js}
	return r, r.loadOptions(ctx, ctrl)
}

// Names lists the names of the broker's runs, of whatever build, with one request for every
// 256 streams.
func Names(ctx context.Context, js jetstream.JetStream) ([]string, error) {
	streams, err := streamNames(ctx, js)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, s := range streams {
		if name, ok := strings.CutPrefix(s, schemas.CtrlStream("")); ok && schemas.CheckRunName(name) == nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// List finds the runs of the broker, by name. A run that this build
// cannot serve is left out of the list and named in the error, which may come
// with a list.
func List(ctx context.Context, js jetstream.JetStream) ([]*Run, error) {
	names, err := Names(ctx, js)
	if err != nil {
		return nil, err
	}
	var (
		runs   []*Run
		failed []error
	)
	for _, name := range names {
		r, err := Lookup(ctx, js, name)
		switch {
		case err == nil:
			runs = append(runs, r)
		case errors.Is(err, errs.ErrNotFound): // deleted, or being opened, just now
		default:
			failed = append(failed, err)
		}
	}
	if len(failed) > 0 {
		return runs, errs.New("list runs", "", "delete these, or use the build that they were made with", errors.Join(failed...))
	}
	return runs, nil
}

// Delete removes the run's streams with all that is in them. Checkpoints are
// no part of them: a trainer that resumes has the batches produced again. It returns
// ErrUsage while a trainer of the run is alive, ErrNotFound where there is no run.
func Delete(ctx context.Context, js jetstream.JetStream, name string) error {
	if err := schemas.CheckRunName(name); err != nil {
		return err
	}
	if err := refuseWhileTrained(ctx, js, name); err != nil {
		return err
	}
	found := false
	// CTRL_ goes last, so that a deletion that was cut short can be repeated by
	// a name that List still shows.
	for _, s := range streamsOf(name) {
		have, err := js.Stream(ctx, s)
		if err == nil && !isOurs(have.CachedInfo(), name) {
			continue // somebody's, who names streams as we do
		}
		if err == nil {
			err = js.DeleteStream(ctx, s)
		}
		if err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
			return link.Unavailable(js.Conn(), "delete run", name, err)
		}
		found = found || err == nil
	}
	if !found {
		return errs.New("delete run", name, "list the broker's runs", errs.ErrNotFound)
	}
	return nil
}

// Ensure creates what is missing of the run in the broker: streams, the workers'
// consumer, RunInfo and options. It repairs a broker that lost its memory.
func (r *Run) Ensure(ctx context.Context) error {
	return r.ensure(ctx, new(begun), r.storeMissingOptions)
}

// EnsureOpen does the same for a trainer that is at work: that another has sealed the run
// meanwhile is no error.
func (r *Run) EnsureOpen(ctx context.Context) error {
	err := r.Ensure(ctx)
	if errors.Is(err, errSealed) {
		return nil
	}
	return err
}

// ensure does the same; options writes them. It notes in made what it made. A run that is put to
// sleep meanwhile is made again.
func (r *Run) ensure(ctx context.Context, made *begun, options func(context.Context, *begun) error) error {
	for start := time.Now(); ; {
		err := r.ensureOnce(ctx, made, options)
		if !link.IsGone(err) || time.Since(start) > createWait || link.Sleep(ctx, createRetry) != nil {
			return err
		}
	}
}

func (r *Run) ensureOnce(ctx context.Context, made *begun, options func(context.Context, *begun) error) error {
	if _, err := r.DropDamaged(ctx, schemas.CtrlStream(r.Name), schemas.SpecSubject(r.Name)); err != nil {
		return link.Unavailable(r.js.Conn(), "open run", r.Name, err)
	}
	for _, cfg := range r.streams() {
		isNew, err := r.ensureStream(ctx, cfg)
		if err != nil {
			return err
		}
		if isNew {
			made.streams = append(made.streams, cfg.Name)
		}
	}
	if err := r.storeInfo(ctx, made); err != nil {
		return err
	}
	if err := options(ctx, made); err != nil {
		return err
	}
	err := r.ensureQueue(ctx)
	if link.IsOverAckPending(err) {
		return errs.New("open run", r.Name, "give --max-workers a number that the broker's account lets (max_ack_pending), or have that raised",
			errs.BecauseErr(errs.ErrUnavailable, err))
	}
	if err != nil {
		return link.Unavailable(r.js.Conn(), "open run", r.Name, err)
	}
	return nil
}

// ensureQueue makes the workers' consumer of TASKS_<run>, and creates it again where
// it remembers deliveries that the stream does not know of. A store that lost its tasks,
// by a flipped bit say, numbers them from the beginning; a consumer that is ahead of
// the numbers delivers none, and their deliveries would look spent.
func (r *Run) ensureQueue(ctx context.Context) error {
	cfg := jetstream.ConsumerConfig{
		Durable: schemas.WorkersConsumer, FilterSubject: schemas.AllTasks(r.Name), // all: see purgeSubject
		AckPolicy: jetstream.AckExplicitPolicy,
		AckWait:   r.opts.AckWait, MaxDeliver: r.opts.MaxDeliver, MaxAckPending: r.opts.MaxAckPending,
	}
	name := schemas.TasksStream(r.Name)
	c, err := r.js.CreateOrUpdateConsumer(ctx, name, cfg)
	if err != nil {
		return err
	}
	// In this order: the stream only grows meanwhile.
	delivered := c.CachedInfo().Delivered.Stream
	s, err := r.js.Stream(ctx, name)
	if err != nil || delivered <= s.CachedInfo().State.LastSeq {
		return err
	}
	if err := s.DeleteConsumer(ctx, schemas.WorkersConsumer); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return err
	}
	_, err = s.CreateOrUpdateConsumer(ctx, cfg)
	return err
}

// createWait bounds the wait for a broker that is still removing a deleted
// stream of the same name: until its folder is gone, it cannot make a new one.
const (
	createWait  = 3 * time.Second
	createRetry = 20 * time.Millisecond
)

func (r *Run) createStream(ctx context.Context, cfg jetstream.StreamConfig) error {
	ctx, cancel := context.WithTimeout(ctx, createWait+link.APITimeout)
	defer cancel()
	for start := time.Now(); ; {
		_, err := r.js.CreateStream(ctx, cfg)
		if !link.IsStoreTaken(err) || time.Since(start) > createWait {
			return err
		}
		if err := link.Sleep(ctx, createRetry); err != nil {
			return err
		}
	}
}

// ensureStream makes a stream, or gives the one that is there our configuration. It reports
// whether there was none.
func (r *Run) ensureStream(ctx context.Context, cfg jetstream.StreamConfig) (made bool, err error) {
	cfg.Replicas = r.opts.Replicas
	_, err = r.js.Stream(ctx, cfg.Name)
	made = errors.Is(err, jetstream.ErrStreamNotFound)
	err = r.createStream(ctx, cfg)
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) || !made && link.IsOverQuota(err) { // it reserves what is new, first
		err = r.updateStream(ctx, cfg)
		if link.IsOtherConfig(err) {
			if have, serr := r.js.Stream(ctx, cfg.Name); serr == nil && have.CachedInfo().Config.Sealed {
				return false, sealedError("open run", r.Name)
			}
			return false, errs.New("open run", r.Name, "open it with the storage it was made with, choose another --run name, or pass --fresh",
				errs.BecauseErr(errs.ErrMismatch, err))
		}
	}
	switch {
	case err == nil:
		return made, nil
	case link.IsOverlap(err):
		return false, otherLayout(r.Name, err)
	}
	if link.IsFewServers(err) {
		return false, errs.New("open run", r.Name, "start as many nats-servers as one cluster, or give fewer --replicas",
			errs.BecauseErr(errs.ErrUnavailable, fmt.Errorf("%d copies of a stream: %w", cfg.Replicas, err)))
	}
	if link.IsOverQuota(err) {
		hint := fmt.Sprintf("give the broker more than %d MiB for files (jetstream { max_file_store }), or delete runs (resslt farm ls, rm, gc)", cfg.MaxBytes>>20)
		if cfg.Storage == jetstream.MemoryStorage {
			hint = fmt.Sprintf("give the broker more than %d MiB of memory (jetstream { max_memory_store }), delete runs (resslt farm ls, rm, gc), a smaller --window, or --storage file", cfg.MaxBytes>>20)
		}
		return false, errs.New("open run", r.Name, hint,
			errs.BecauseErr(errs.ErrUnavailable, err))
	}
	return false, link.Unavailable(r.js.Conn(), "open run", r.Name, err)
}

// otherLayout says that the run's subjects are in other streams than this build's.
func otherLayout(run string, err error) error {
	return errs.New("open run", run, "use the newest of the builds that open it, or choose another --run name",
		errs.BecauseErr(errs.ErrMismatch, fmt.Errorf("another build has its streams laid out otherwise: %w", err)))
}

// storeInfo writes the RunInfo once. Another digest under the name is a mismatch.
func (r *Run) storeInfo(ctx context.Context, made *begun) error {
	body, err := json.Marshal(&r.Info)
	if err != nil {
		return errs.New("store run record", r.Name, "report this as a bug", errs.BecauseErr(errs.ErrUsage, err))
	}
	ack, err := r.js.PublishMsg(ctx, &nats.Msg{Subject: schemas.SpecSubject(r.Name), Data: body}, jetstream.WithExpectLastSequencePerSubject(0))
	if err == nil {
		made.spec = ack.Sequence
		return nil
	}
	if !link.IsWrongLast(err) {
		return link.Unavailable(r.js.Conn(), "store run record", r.Name, err)
	}
	have, _, err := loadInfo(ctx, r.js, r.Name)
	if err != nil {
		return err
	}
	return r.checkDigest(have)
}

// checkStored checks that a record as it is stored is of this run.
func (r *Run) checkStored(record []byte) error {
	have, err := parseInfo(r.Name, record)
	if err != nil {
		return err
	}
	return r.checkDigest(have)
}

func (r *Run) checkDigest(have *schemas.RunInfo) error {
	if have.Digest != r.Info.Digest {
		return errs.New("open run", r.Name, "choose another --run name, or pass --fresh to delete what is there",
			errs.Because(errs.ErrMismatch, "the broker has another run under this name: "+r.Info.Spec.Differences(&have.Spec).Text("the broker's has")))
	}
	return nil
}

// loadInfo reads the run's record, and gives the stream that has it.
func loadInfo(ctx context.Context, js jetstream.JetStream, name string) (*schemas.RunInfo, jetstream.Stream, error) {
	none := func() error {
		return errs.New("look up run", name, "start the trainer with this --run name first", errs.ErrNotFound)
	}
	s, err := js.Stream(ctx, schemas.CtrlStream(name))
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, nil, none()
	}
	if err != nil {
		return nil, nil, link.Unavailable(js.Conn(), "look up run", name, err)
	}
	msg, err := s.GetLastMsgForSubject(ctx, schemas.SpecSubject(name))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil, none()
	}
	if err != nil {
		return nil, nil, link.Unavailable(js.Conn(), "look up run", name, err)
	}
	info, err := parseInfo(name, msg.Data)
	return info, s, err
}

// parseInfo reads a run's record as it is stored.
func parseInfo(name string, body []byte) (*schemas.RunInfo, error) {
	info, err := schemas.ParseRunInfo(body)
	if err != nil {
		return nil, errs.New("look up run", name, "", err)
	}
	return info, nil
}

// storeOptions writes the options, and with them the newest DataURI: the RunInfo is
// written once, and data may move.
func (r *Run) storeOptions(ctx context.Context, made *begun) error {
	return r.publishOptions(ctx, made)
}

// storeMissingOptions writes them where there are none: what the run was opened with since, by
// whomever, stays. Every worker hears of options that are written, and reads the run again, even
// where the broker refuses them. So they are looked for first: a trainer that waits for chunks
// asks for this every few seconds.
func (r *Run) storeMissingOptions(ctx context.Context, made *begun) error {
	if s, err := r.js.Stream(ctx, schemas.CtrlStream(r.Name)); err == nil {
		if _, err := s.GetLastMsgForSubject(ctx, schemas.OptionsSubject(r.Name)); err == nil {
			return nil
		}
	}
	return r.publishOptions(ctx, made, jetstream.WithExpectLastSequencePerSubject(0))
}

func (r *Run) publishOptions(ctx context.Context, made *begun, cond ...jetstream.PublishOpt) error {
	body, err := json.Marshal(storedOptions{Options: r.opts})
	if err != nil {
		return errs.New("store run options", r.Name, "report this as a bug", errs.BecauseErr(errs.ErrUsage, err))
	}
	ack, err := r.js.Publish(ctx, schemas.OptionsSubject(r.Name), body, cond...)
	switch {
	case err == nil:
		made.options = ack.Sequence
	case !link.IsWrongLast(err):
		return link.Unavailable(r.js.Conn(), "store run options", r.Name, err)
	}
	return nil
}

// loadOptions reads the options from CTRL_<run>.
func (r *Run) loadOptions(ctx context.Context, ctrl jetstream.Stream) error {
	msg, err := ctrl.GetLastMsgForSubject(ctx, schemas.OptionsSubject(r.Name))
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return r.takeOptions(nil)
	case err != nil:
		return link.Unavailable(r.js.Conn(), "look up run", r.Name, err)
	}
	return r.takeOptions(msg.Data)
}

// takeOptions reads the options as they are stored, nil for a run that is being opened just now.
func (r *Run) takeOptions(body []byte) (err error) {
	o := Options{DataURI: r.Info.DataURI}
	if body != nil {
		if o, err = parseOptions(body, o, r.Spec()); err != nil {
			return errs.New("run options", r.Name, "open the run again, or use the build that opened it", err)
		}
	}
	r.Info.DataURI = o.DataURI
	r.opts = o.applyDefaults(r.Spec())
	return nil
}

// checkPayload reports whether the broker takes messages of n bytes.
func checkPayload(nc *nats.Conn, n int) error {
	if have := nc.MaxPayload(); have < int64(n) {
		return errs.New("broker", link.BrokerName(nc),
			fmt.Sprintf("set `max_payload: %dMB` in the nats-server's configuration", broker.MaxPayload>>20),
			errs.Because(errs.ErrTooLarge, fmt.Sprintf("a chunk takes up to %d bytes, but max_payload is %d", n, have)))
	}
	return nil
}
