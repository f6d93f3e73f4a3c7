package farmsim

import (
	"context"
	"encoding/json"
	"runtime"

	"resslt/batcher/wire"
	"resslt/cmd/internal/cli"
	"resslt/ingest"
	"resslt/schemas"
	"resslt/schemas/errs"
)

// PlanOptions say what is planned.
type PlanOptions struct {
	Samples      int64
	Batch        int
	ChunkSamples int
	Order        string // global, or blocked with its parameters
	Shards       int    // of equal size, for a blocked order
	Stretch      int64  // steps that are planned at the epoch's start, middle and end; 0: all of it
}

// Planned is what planning took.
type Planned struct {
	Samples    int64     `json:"samples"`
	Steps      int64     `json:"steps"` // of an epoch
	Order      string    `json:"order"`
	SpecBytes  int       `json:"spec_bytes"`       // of the run spec, which has the shards' sizes for a blocked order
	OpenHeap   int64     `json:"open_heap_bytes"`  // live after the order was opened and asked once
	OpenMillis float64   `json:"open_cpu_ms"`      // to open the order, and ask it once
	Stretches  []Stretch `json:"stretches"`        // of the epoch, in turn
	PeakRSS    int64     `json:"peak_rss_bytes"`   // of this process, in all
	BinaryRSS  int64     `json:"before_rss_bytes"` // before anything was planned: the program itself
}

// Stretch is a part of an epoch that was planned.
type Stretch struct {
	From         int64   `json:"from_step"`
	Steps        int64   `json:"steps"`
	Tasks        int64   `json:"tasks"`
	TaskBytes    int64   `json:"task_bytes"` // of all task messages
	CPUSeconds   float64 `json:"cpu_seconds"`
	MicrosSample float64 `json:"cpu_us_per_sample"`
	MillisStep   float64 `json:"cpu_ms_per_step"`
	Heap         int64   `json:"heap_bytes"`     // live after the stretch
	Sum          int64   `json:"sum_of_samples"` // modulo 2^64; n(n-1)/2 where every sample of an epoch came once
}

// spec is that of the run that is planned.
func (o *PlanOptions) spec() (schemas.RunSpec, error) {
	order, err := schemas.ParseOrder(o.Order)
	if err != nil {
		return schemas.RunSpec{}, err
	}
	if o.Samples < 1 || o.Batch < 1 || o.Stretch < 0 || order.Blocked && (o.Shards < 1 || int64(o.Shards) > o.Samples) {
		return schemas.RunSpec{}, errs.New("farmsim plan", "", "see `farmsim plan --help`", errs.Because(errs.ErrUsage, "samples, batch and shards are 1 or more"))
	}
	farm := Options{Samples: o.Samples, Batch: o.Batch, ChunkSamples: o.ChunkSamples}.ApplyDefaults()
	spec := farm.spec(0)
	spec.Order = order.String()
	if order.Blocked {
		n := int64(o.Shards)
		for i := range n {
			spec.Dataset.ShardSamples = append(spec.Dataset.ShardSamples, (i+1)*o.Samples/n-i*o.Samples/n)
		}
	}
	return spec, spec.Validate()
}

// Plan makes the tasks of an epoch, or of stretches of it, as the planner encodes them, and keeps
// none.
func Plan(ctx context.Context, o PlanOptions) (*Planned, error) {
	spec, err := o.spec()
	if err != nil {
		return nil, err
	}
	p := &Planned{Samples: o.Samples, Steps: spec.StepsPerEpoch, Order: spec.Order, BinaryRSS: cli.PeakRSS()}
	before, cpu := liveHeap(), cli.CPUTime()
	order, err := ingest.OpenOrder(&spec)
	if err != nil {
		return nil, err
	}
	order.At(0, 0)
	p.OpenMillis = round(float64((cli.CPUTime() - cpu).Microseconds()) / 1e3)
	p.OpenHeap = liveHeap() - before
	body, err := json.Marshal(&spec)
	if err != nil {
		return nil, err
	}
	p.SpecBytes = len(body)
	n := spec.StepsPerEpoch
	starts, steps := []int64{0}, n
	if o.Stretch > 0 && o.Stretch < n {
		starts, steps = []int64{0, (n - o.Stretch) / 2, n - o.Stretch}, o.Stretch
	}
	for _, from := range starts {
		s, err := planStretch(ctx, &spec, order, from, steps)
		if err != nil {
			return nil, err
		}
		s.Heap = liveHeap() - before
		p.Stretches = append(p.Stretches, s)
	}
	p.PeakRSS = cli.PeakRSS()
	runtime.KeepAlive(order)
	return p, nil
}

// planStretch makes the tasks of some steps.
func planStretch(ctx context.Context, spec *schemas.RunSpec, order wire.Order, from, steps int64) (s Stretch, err error) {
	s.From, s.Steps = from, steps
	digest, cpu := spec.Digest(), cli.CPUTime()
	for step := from; step < from+steps; step++ {
		if ctx.Err() != nil {
			return s, ctx.Err()
		}
		for c := range spec.Chunks() {
			task := wire.NewTask(spec, order, step, c)
			m, err := wire.EncodeTask("plan", digest, task)
			if err != nil {
				return s, err
			}
			s.Tasks++
			s.TaskBytes += int64(len(m.Data))
			for _, r := range task.Rows {
				s.Sum += r.Sample
			}
		}
	}
	took := cli.CPUTime() - cpu
	s.CPUSeconds = round(took.Seconds())
	s.MicrosSample = round(float64(took.Microseconds()) / float64(steps*int64(spec.BatchSize)))
	s.MillisStep = round(float64(took.Microseconds()) / 1e3 / float64(steps))
	return s, nil
}

// liveHeap is what the heap holds when all garbage is collected.
func liveHeap() int64 {
	runtime.GC()
	runtime.GC() // what pools keep goes with the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc) //nolint:gosec // bytes of a heap
}
