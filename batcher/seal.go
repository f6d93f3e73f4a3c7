package batcher

import (
	"context"
	"fmt"
	"math"
	"time"

	"resslt/schemas"
)

// RecordingBytes is a byte limit of BATCH_<run> under which all chunks of the run fit, so
// that a recording that purges nothing cannot be shut out by what it keeps.
func RecordingBytes(spec *schemas.RunSpec) int64 {
	return spec.Steps()*int64(spec.Chunks())*int64(MaxChunkBytes(spec)+messageOverhead) + streamSlack
}

// Seal makes BATCH_<run> read-only for good: a recording. The run cannot be opened
// for training any more, only read and deleted. A trainer that still reads it goes on.
func (r *Run) Seal(ctx context.Context) error {
	s, err := r.batches(ctx)
	if err != nil {
		return err
	}
	cfg := s.CachedInfo().Config
	cfg.Sealed = true
	if _, err := r.js.UpdateStream(ctx, cfg); err != nil {
		return unavailable(r.js.Conn(), "seal recording", r.Name, err)
	}
	return nil
}

// Seal makes a recording of a stream that keeps all: first it has every chunk made
// again that the broker lacks, of whatever step, then it seals the run. Another trainer
// may have purged a step before it knew that this one records, and a broker may have
// lost some. The caller has taken the run's last step.
//
// It returns ErrUnavailable where chunks do not come for StallTimeout, or the broker is
// away for BrokerTimeout; Next's error where the stream has failed; ctx's error.
func (s *Stream) Seal(ctx context.Context) error {
	pat := patience{nc: s.run.js.Conn(), limit: s.opts.BrokerTimeout}
	least, since := math.MaxInt, time.Now() // chunks that lacked, and since when no fewer
	for {
		pctx, cancel := whileConnected(ctx, s.run.js.Conn(), passTimeout)
		lack, err := s.planner.fill(pctx)
		cancel()
		switch {
		case err != nil:
			if err := pat.failed(ctx, "seal recording", s.run.Name, err); err != nil {
				return err
			}
			continue
		case lack == 0:
			return s.run.Seal(ctx)
		case lack < least:
			least, since = lack, time.Now()
		case s.opts.StallTimeout > 0 && time.Since(since) > s.opts.StallTimeout:
			return schemas.E("seal recording", s.run.Name, "start `augmentd` workers that can reach the data, then resume",
				schemas.Because(schemas.ErrUnavailable, fmt.Sprintf("the broker lacks %d chunks, and none came in %v", lack, s.opts.StallTimeout)))
		}
		pat.ok()
		select {
		case <-time.After(planTick):
		case <-s.failed:
			return s.reason()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// fill asks for every chunk of the run that the broker does not hold, and says how many
// those are.
func (p *Planner) fill(ctx context.Context) (lack int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.present, err = p.list(ctx, schemas.AllChunks(p.run.Name)); err != nil {
		return 0, err
	}
	for step := range p.run.Spec().Steps() {
		for c := range p.run.Spec().Chunks() {
			if p.present[schemas.ChunkSubject(p.run.Name, step, c)] {
				continue
			}
			lack++
			asked, err := p.ask(ctx, step, c)
			if err != nil {
				return 0, err
			}
			if asked {
				p.stats.healed.Add(1)
			}
		}
	}
	return lack, nil
}
