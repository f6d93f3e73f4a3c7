package pipeline

import (
	"resslt/augment"
	"resslt/batcher/produce"
	"resslt/batcher/wire"
	"resslt/schemas/errs"
)

// Plans returns the recorded plans of a row's sample, one for each view; false if the
// recording has none for it.
type Plans func(row wire.TaskRow) ([][]byte, bool)

// WithPlans makes a source of OpenSource render its views by recorded plans instead of
// drawing them, so that replays do not depend on how a build draws.
func WithPlans(s produce.Source, plans Plans) (produce.Source, error) {
	src, ok := s.(*source)
	if !ok {
		return nil, errs.New("replay plans", "", "give a source that OpenSource returned", errs.ErrUsage)
	}
	return &planned{src, plans}, nil
}

type planned struct {
	*source
	plans Plans
}

func (p *planned) NewMaker() (produce.Maker, error) {
	m, err := p.source.NewMaker()
	if err != nil {
		return nil, err
	}
	m.(*maker).plans = p.plans
	return m, nil
}

// replay renders the sample that was read, by recorded plans.
func (m *maker) replay(recorded, dst, plans [][]byte) error {
	parsed := make([]augment.Plan, len(recorded))
	for v, b := range recorded {
		var err error
		if parsed[v], err = augment.ParsePlan(b); err != nil {
			return errs.New("replay", m.sample.Key, "use another copy of the recording", errs.Because(errs.ErrMismatch, err.Error()))
		}
	}
	if err := m.renderer.Replay(&m.sample, parsed, dst); err != nil {
		return err
	}
	for v, b := range recorded {
		plans[v] = append(plans[v][:0], b...)
	}
	return nil
}
