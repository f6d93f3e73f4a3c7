package farmsim

import (
	"context"
	"time"

	"resslt/batcher/wire"
	"resslt/cmd/internal/cli"
	"resslt/ingest"
)

// Planned is what planning an epoch took.
type Planned struct {
	Samples    int64   `json:"samples"`
	Steps      int64   `json:"steps"`
	Tasks      int64   `json:"tasks"`
	TaskBytes  int64   `json:"task_bytes"` // of all task messages
	CPUSeconds float64 `json:"cpu_seconds"`
	Seconds    float64 `json:"seconds"`
	PeakRSS    int64   `json:"peak_rss_bytes"`
	Sum        int64   `json:"sum_of_samples"` // modulo 2^64; n(n-1)/2 where every sample came once
}

// Plan makes every task of one epoch, as the planner encodes them, and keeps none.
func Plan(ctx context.Context, o Options) (*Planned, error) {
	o = o.ApplyDefaults()
	if err := o.Validate(); err != nil {
		return nil, err
	}
	spec := o.spec(0)
	order, err := ingest.OpenOrder(&spec)
	if err != nil {
		return nil, err
	}
	p := &Planned{Samples: o.Samples, Steps: spec.StepsPerEpoch}
	began, cpu, digest := time.Now(), cli.CPUTime(), spec.Digest()
	for step := range spec.StepsPerEpoch {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		for c := range spec.Chunks() {
			task := wire.NewTask(&spec, order, step, c)
			m, err := wire.EncodeTask("plan", digest, task)
			if err != nil {
				return nil, err
			}
			p.Tasks++
			p.TaskBytes += int64(len(m.Data))
			for _, r := range task.Rows {
				p.Sum += r.Sample
			}
		}
	}
	p.Seconds, p.CPUSeconds, p.PeakRSS = round(time.Since(began).Seconds()), round((cli.CPUTime() - cpu).Seconds()), cli.PeakRSS()
	return p, nil
}
