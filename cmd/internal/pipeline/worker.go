package pipeline

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"resslt/augment"
	"resslt/batcher/produce"
	"resslt/batcher/wire"
	"resslt/ingest"
	"resslt/schemas"
	"resslt/schemas/errs"
)

// OpenSource opens a run's data for a worker. overrides are data URIs to try before the
// run's own: a worker may have a copy under another path. The first one with the run's
// digest is used. The caller closes the Source.
//
// Errors wrap ErrMismatch if the engine or the data are not the run's or cannot be opened,
// ErrUnavailable if a store is away.
func OpenSource(ctx context.Context, rec *schemas.RunInfo, overrides []string, opt ingest.Options) (produce.Source, error) {
	return OpenTimedSource(ctx, rec, overrides, opt, nil)
}

// Timer receives how long the stages of a sample take, from several goroutines.
type Timer interface {
	// Read receives how long it took to read a sample's bytes.
	Read(time.Duration)
	// Engine returns e with its painters timed.
	Engine(e augment.Engine) augment.Engine
}

// OpenTimedSource is OpenSource with a timer; nil for none.
func OpenTimedSource(ctx context.Context, rec *schemas.RunInfo, overrides []string, opt ingest.Options, timer Timer) (produce.Source, error) {
	return openSource(ctx, rec, overrides, opt, timer, openAlone)
}

// opened is a run's data. The source is as ingest opened it: it can do more than its interface
// says.
type opened struct {
	ingest.Source
	close func() error
	spoil func() // they are not what they were: nobody else is to be given them; nil: nobody would
}

// opener opens data of a digest at a URI.
type opener func(ctx context.Context, uri, digest string, opt ingest.Options) (opened, error)

// openAlone opens them for one run.
func openAlone(ctx context.Context, uri, digest string, opt ingest.Options) (opened, error) {
	src, err := ingest.Open(ctx, uri, opt)
	if err != nil {
		return opened{}, err
	}
	if got := src.Manifest().Digest(); got != digest {
		src.Close()
		return opened{}, otherData(fmt.Sprintf("%s has digest %.12s", uri, got))
	}
	return opened{Source: src, close: src.Close}, nil
}

// LentSource is OpenTimedSource of data that the caller has open, for InRuns of the run's order, and
// closes after the Source.
func LentSource(ctx context.Context, rec *schemas.RunInfo, data ingest.Source, timer Timer) (produce.Source, error) {
	return openSource(ctx, rec, nil, ingest.Options{}, timer, func(_ context.Context, uri, digest string, _ ingest.Options) (opened, error) {
		if got := data.Manifest().Digest(); got != digest {
			return opened{}, otherData(fmt.Sprintf("%s has digest %.12s", uri, got))
		}
		return opened{Source: data, close: func() error { return nil }}, nil
	})
}

// otherData says that the data at a URI are not the run's.
type otherData string

func (o otherData) Error() string { return string(o) }

func openSource(ctx context.Context, rec *schemas.RunInfo, overrides []string, opt ingest.Options, timer Timer, open opener) (produce.Source, error) {
	engine, err := augment.EngineByName(rec.Spec.Engine)
	if err != nil {
		return nil, err
	}
	if timer != nil {
		engine = timer.Engine(engine)
	}
	policy, err := augment.ParseCanonical(rec.Spec.Policy)
	if err != nil {
		return nil, err
	}
	opt.Split = rec.Spec.Dataset.Split
	opt.Runs = InRuns(rec.Spec.Order)
	var tried []string
	kind := errs.ErrUnavailable // unless something else than a store's outage is the matter
	for _, uri := range append(overrides[:len(overrides):len(overrides)], rec.DataURI) {
		data, err := open(ctx, uri, rec.Spec.Dataset.Digest, opt)
		if err != nil {
			said := err.Error()
			if errors.Is(err, errs.ErrNotFound) { // to name another folder is not for the worker to do
				said, _ = errs.CutHint(said)
			}
			tried = append(tried, said)
			if !errors.Is(err, errs.ErrUnavailable) {
				kind = errs.ErrMismatch
			}
			continue
		}
		order, err := Order(&rec.Spec)
		if err != nil {
			return nil, errors.Join(err, data.close())
		}
		return &source{uri: uri, data: data, engine: engine, policy: policy, order: order, seed: rec.Spec.Seed, timer: timer}, nil
	}
	return nil, errs.New("open the run's data", fmt.Sprintf("(digest %.12s)", rec.Spec.Dataset.Digest),
		"give this worker a copy with --data URI", errs.Because(kind, strings.Join(tried, "; ")))
}

// InRuns reports whether an order reads shards in long runs; false of one that is not valid.
func InRuns(order string) bool {
	o, err := schemas.ParseOrder(order)
	return err == nil && o.Blocked
}

// Order returns the order in which the spec visits its samples.
func Order(s *schemas.RunSpec) (wire.Order, error) { return ingest.OpenOrder(s) }

// source is a produce.Source over ingest and augment.
type source struct {
	uri    string
	data   opened
	engine augment.Engine
	policy *augment.Policy
	order  wire.Order
	seed   uint64
	timer  Timer // nil for none
}

func (s *source) Order() wire.Order { return s.order }

func (s *source) NewMaker() (produce.Maker, error) {
	r, err := augment.NewRenderer(s.engine, s.policy)
	if err != nil {
		return nil, err
	}
	return &maker{source: s, renderer: r}, nil
}

func (s *source) Close() error { return s.data.close() }

// maker reads, draws and renders, one sample after another, in one goroutine.
type maker struct {
	*source
	renderer *augment.Renderer
	sample   schemas.Sample // its buffer is reused
	plans    Plans          // recorded ones, or nil
}

func (m *maker) Make(ctx context.Context, row wire.TaskRow, dst, plans [][]byte) (produce.Made, error) {
	start := time.Now()
	err := readAndRender(ctx, m.data.Source, &m.sample, row.Sample, func() error {
		if m.timer != nil {
			m.timer.Read(time.Since(start))
		}
		return m.render(row, dst, plans)
	})
	if err != nil {
		if m.data.spoil != nil && errors.Is(err, errs.ErrMismatch) {
			m.data.spoil()
		}
		return produce.Made{}, err
	}
	return produce.Made{Label: m.sample.Label}, nil
}

// render renders the sample that was read, by recorded plans where there are any.
func (m *maker) render(row wire.TaskRow, dst, plans [][]byte) error {
	if m.plans != nil {
		if recorded, ok := m.plans(row); ok {
			return m.replay(recorded, dst, plans)
		}
	}
	key := augment.Key{Seed: m.seed, Epoch: row.Epoch, Sample: row.Sample}
	_, err := m.renderer.Render(&m.sample, key, dst, plans)
	return err
}

func (m *maker) Close() error { return m.renderer.Close() }
