package observe

// Kind is a metric's type.
type Kind string

// Prometheus' types.
const (
	Counter   Kind = "counter"
	Gauge     Kind = "gauge"
	Histogram Kind = "histogram"
)

// Metric is an entry of Table.
type Metric struct {
	Name   string
	Kind   Kind
	Labels []string
	Of     string // its process: "worker", "trainer", "both"
	Help   string // with its unit
}

// Metrics that deploy's scaler and alerts use.
const (
	BufferedSteps = "resslt_buffered_steps"
	WindowSteps   = "resslt_window_steps"
	TrainerWait   = "resslt_trainer_wait_seconds_total"
)

// Table lists resslt's own metrics. client_golang adds those of the process and the Go
// runtime: process_resident_memory_bytes is the RSS.
var Table = []Metric{
	{"resslt_broker_connected", Gauge, nil, "both", "1 while the broker is connected"},
	{"resslt_store_bytes", Gauge, []string{"storage"}, "both", "bytes that the account holds in the broker, memory and file"},
	{Quota, Gauge, []string{"resource"}, "both", "used part of the account's quota of memory, file, streams and consumers, what streams reserve included; 0 where there is none"},

	{"resslt_worker_slots", Gauge, nil, "worker", "chunks that the worker makes concurrently"},
	{"resslt_worker_chunks_total", Counter, nil, "worker", "chunks published, each once"},
	{"resslt_worker_samples_total", Counter, nil, "worker", "samples of published chunks; its rate is the worker's speed"},
	{"resslt_worker_bytes_total", Counter, nil, "worker", "bytes of published chunks"},
	{"resslt_worker_replaced_total", Counter, nil, "worker", "samples replaced because they cannot be decoded"},
	{"resslt_worker_redelivered_total", Counter, nil, "worker", "tasks that were redelivered, or whose chunk existed already"},
	{"resslt_worker_tombstoned_total", Counter, nil, "worker", "chunks that could not be made"},
	{"resslt_worker_digest_mismatches_total", Counter, nil, "worker", "chunks that differ from another worker's: a determinism failure"},
	{WorkerRuns, Gauge, []string{"state"}, "worker", "runs in the broker by what they are to the worker: opening, serving, quarantined, asleep"},
	{RunState, Gauge, []string{"run", "state"}, "worker", "1 for each run and the state that it is in; from the hundredth run on, their number under the run `other`"},
	{"resslt_worker_stage_seconds", Histogram, []string{"stage"}, "worker", "seconds a sample (read, decode, render) or a chunk (publish)"},

	{"resslt_trainer_step", Gauge, []string{"run"}, "trainer", "steps done"},
	{"resslt_trainer_steps", Gauge, []string{"run"}, "trainer", "steps of the run"},
	{"resslt_trainer_samples_total", Counter, []string{"run"}, "trainer", "samples trained on by this process; its rate is the trainer's speed"},
	{"resslt_trainer_loss", Gauge, []string{"run"}, "trainer", "loss of the last logged step; NaN before there is one"},
	{"resslt_trainer_probe_top1", Gauge, []string{"probe", "run"}, "trainer", "top-1, percent, of the encoder's newest score while it trains, by probe: linear, and knn_k with the number of neighbours; absent before there is one"},
	{"resslt_trainer_phase_seconds", Gauge, []string{"phase", "run"}, "trainer", "seconds a step spends in each phase (data_wait, copy, teacher, student, loss, backward, optimizer, graph), mean over the steps of the last line of metrics"},
	{TrainerWait, Counter, []string{"run"}, "trainer", "seconds that the trainer waited for batches, including the current wait; its rate is the fraction of time lost"},
	{BufferedSteps, Gauge, []string{"run"}, "trainer", "complete steps stored in the broker ahead of the trainer"},
	{WindowSteps, Gauge, []string{"run"}, "trainer", "steps that workers may make ahead: the most that can be buffered"},
	{"resslt_trainer_chunks_total", Counter, []string{"run"}, "trainer", "chunks received, each once"},
	{"resslt_trainer_bytes_total", Counter, []string{"run"}, "trainer", "bytes of received chunks"},
	{"resslt_trainer_repeated_total", Counter, []string{"run"}, "trainer", "repeated chunks, and chunks of finished steps"},
	{"resslt_trainer_replaced_total", Counter, []string{"run"}, "trainer", "samples that replace others in batches trained on"},
	{"resslt_trainer_tombstoned_total", Counter, []string{"run"}, "trainer", "chunks that no worker could make"},
	{"resslt_trainer_rejected_total", Counter, []string{"run"}, "trainer", "unusable chunks: of another spec, too large, malformed"},
	{"resslt_trainer_digest_mismatches_total", Counter, []string{"run"}, "trainer", "chunks that do not match their digest, or that two workers made differently"},
	{"resslt_trainer_healed_total", Counter, []string{"run"}, "trainer", "tasks issued again because their chunk was lost"},
}

// line finds a metric in Table, which has the labels and help of every collector.
func line(name string) Metric {
	for _, m := range Table {
		if m.Name == name {
			return m
		}
	}
	return Metric{Name: name}
}
