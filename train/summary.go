package train

import (
	"strings"

	"resslt/schemas"
	"resslt/schemas/bounded"
	"resslt/schemas/errs"
	"resslt/train/nn"
	"resslt/train/safetensors"
)

// Summary is OUT/summary.json. Top-1 figures are percent, and absent where the
// recipe does not ask for them.
type Summary struct {
	Recipe  string `json:"recipe"`
	Dataset string `json:"dataset"` // data URI
	Images  int64  `json:"images"`  // samples of the split that was trained on
	Classes int    `json:"classes"` // named ones; 0 where there are none
	// PassedOver is what the data set's reader passed over, by reason. It is null where this
	// process had no need of the data: in a replay of pixels.
	PassedOver   schemas.Survey `json:"passed_over"`
	Mix          []MixedSet     `json:"mix,omitempty"` // the sets of a mixture
	Epochs       int64          `json:"epochs"`
	Steps        int64          `json:"steps"`
	BatchSize    int            `json:"batch_size"`
	Device       string         `json:"device"`
	Threads      int            `json:"threads"`
	TorchVersion string         `json:"torch_version"`
	Kernels
	// GPUKernels says what computed on the GPU: "own", the shim's kernels with libtorch's operators,
	// or "libtorch", those alone, with the reason where the shim has kernels for it; absent on a CPU.
	GPUKernels string `json:"gpu_kernels,omitempty"`

	Seed       uint64 `json:"seed"`
	Init       string `json:"init,omitempty"`        // file of the encoder that the run began from; absent: the seed's weights
	InitSHA256 string `json:"init_sha256,omitempty"` // of that file
	WorldSize  int    `json:"world_size"`            // processes that trained together
	Engine     string `json:"engine"`
	RunDigest  string `json:"run_digest"`            // of the run spec: equal digests, equal batches
	DataDigest string `json:"data_digest"`           // of the data set's manifest
	EngineTier string `json:"engine_tier,omitempty"` // instruction set of the engine in this process; absent where a farm drew
	Hardware   string `json:"hardware,omitempty"`    // processor, cores and GPU that it was trained on, for people

	FinalLoss float64 `json:"final_loss"` // of the last step

	// Stopping says by which score the recipe's stop_on has ended the run, or how near it was;
	// absent where there was no such rule.
	Stopping *Stopping `json:"stopping,omitempty"`

	// Collapse watch, of the last logged step. The standard deviation of the
	// embeddings is near 1/√D when they spread over the sphere, and 0 when they
	// have collapsed (Stats).
	Objective string `json:"objective"`
	Figures

	KNNK                int      `json:"knn_k"`                        // first k of the recipe's knn_k
	KNNTop1             *float64 `json:"knn_top1,omitempty"`           // of that k
	KNNTop1Untrained    *float64 `json:"knn_top1_untrained,omitempty"` // the same of the initial weights
	LinearTop1          *float64 `json:"linear_top1,omitempty"`        // last epoch
	LinearTop1Untrained *float64 `json:"linear_top1_untrained,omitempty"`
	Trained             *Scores  `json:"trained,omitempty"`   // every score of the trained encoder
	Untrained           *Scores  `json:"untrained,omitempty"` // and of the initial one

	StudentSHA256 string `json:"student_sha256"`           // over the tensors' bytes in order of key
	TeacherSHA256 string `json:"teacher_sha256,omitempty"` // absent where the objective has no teacher,
	QueueSHA256   string `json:"queue_sha256,omitempty"`   // no queue,
	// ObjectiveSHA256 is of the objective's own tensors; absent where it has none.
	ObjectiveSHA256 string `json:"objective_sha256,omitempty"`

	ImagesPerSecond  float64 `json:"images_per_second"`  // B·steps over the seconds of this session's steps
	DataWaitFraction float64 `json:"data_wait_fraction"` // of those seconds, waited for batches
	PhaseMS          Phases  `json:"phase_ms"`           // of this session's steps, what each part takes, mean
	TrainSeconds     float64 `json:"train_seconds"`      // of training, over all sessions
	WallSeconds      float64 `json:"wall_seconds"`       // of this session, start-up and evaluation too
	PeakRSSBytes     int64   `json:"peak_rss_bytes"`

	// Chunks published are of the whole run; redelivered ones too, where a farm's workers
	// report them. The rest is of this session: a resumed run counts from its checkpoint.
	ChunksPublished   int64 `json:"chunks_published"` // that this trainer took in, each once
	ChunksRedelivered int64 `json:"chunks_redelivered"`
	ChunksTombstoned  int64 `json:"chunks_tombstoned"`
	DigestMismatches  int64 `json:"digest_mismatches"`
	// SamplesReplaced counts since the run's beginning how often another sample took the
	// place of one that cannot be decoded; SamplesUndecodable are the different ones, of which
	// Replaced lists the first MaxReplaced by number.
	SamplesReplaced    int64      `json:"samples_replaced"`
	SamplesUndecodable int64      `json:"samples_undecodable"`
	Replaced           []Replaced `json:"replaced,omitempty"`

	Provenance

	// Evaluated are the splits that the probes read.
	Evaluated []EvaluatedSplit `json:"evaluated,omitempty"`
}

// MaxReplaced bounds the samples that a summary lists.
const MaxReplaced = 100

// Replaced is a sample that cannot be decoded.
type Replaced struct {
	Sample int64  `json:"sample"`
	Key    string `json:"key,omitempty"` // its file; "" where the data cannot be reached from here
	Reason string `json:"reason"`
	Count  int64  `json:"count"` // how often another one took its place
}

// EvaluatedSplit is a split that a probe read.
type EvaluatedSplit struct {
	Split      string         `json:"split"`
	Images     int64          `json:"images"` // that were read, those that cannot be decoded too
	Classes    int            `json:"classes"`
	PassedOver schemas.Survey `json:"passed_over"`
	Skipped    int64          `json:"skipped"` // images that cannot be decoded
	// SkippedImages are the first MaxReplaced of them.
	SkippedImages []Replaced `json:"skipped_images,omitempty"`
}

// MixedSet is one set of a mixture, and how many samples the run has drawn from it.
type MixedSet struct {
	Name string `json:"name"`
	schemas.MixedSet
	Drawn int64 `json:"drawn"`
}

// summary is that of a session that has ended.
func (l *loop) summary() (Summary, error) {
	r, spec := l.Recipe, l.Spec
	world := l.Group.World()
	if l.Resume != nil && l.Resume.Step == l.step { // nothing was left to train: an earlier session's
		world = max(1, l.Resume.WorldSize)
	}
	s := Summary{
		Recipe: r.Name, Dataset: r.Data, Images: spec.Dataset.Images(),
		Epochs: spec.Epochs, Steps: spec.Steps(), BatchSize: spec.BatchSize, KNNK: r.KNNK[0],
		Device: r.Device, Threads: r.Threads, TorchVersion: torchVersion(), Kernels: kernels(), GPUKernels: l.learner.GPUKernels(), Seed: r.Seed, WorldSize: world,
		Provenance: l.Provenance,
		Engine:     spec.Engine, RunDigest: spec.Digest(), DataDigest: spec.Dataset.Digest,
		Init: r.Init, InitSHA256: r.InitSHA256,
		FinalLoss: l.stats.Loss, Objective: r.Objective, Figures: l.stats.Figures(),
		ImagesPerSecond: l.pace.total.rate(spec.BatchSize), DataWaitFraction: l.pace.total.waitFraction(),
		TrainSeconds: l.pace.seconds(), SamplesReplaced: l.replaced, PhaseMS: l.pace.phases.mean(l.pace.total.steps), Stopping: l.stopping,
	}
	if l.stopping == nil && l.Resume != nil && l.Resume.Step == l.step {
		s.Stopping = l.Resume.Stopping // an earlier session's
	}
	return s, s.digests(l.learner.State())
}

// Write replaces path with the summary.
func (s *Summary) Write(path string) error { return writeJSON(path, s) }

// maxSummaryBytes bounds a summary, which has some 3 kB and names of samples.
const maxSummaryBytes = 16 << 20

// ReadSummary reads what Write wrote. Errors wrap ErrNotFound or ErrCorrupt.
func ReadSummary(path string) (Summary, error) {
	var s Summary
	raw, err := bounded.ReadFile(path, maxSummaryBytes)
	if err != nil {
		return s, errs.New("read summary", path, "name the folder of a run that has ended", errs.BecauseErr(errs.ErrNotFound, err))
	}
	if err := bounded.JSON(raw, &s); err != nil {
		return s, errs.New("read summary", path, "run it again", errs.BecauseErr(errs.ErrCorrupt, err))
	}
	return s, nil
}

// digests fills in the three digests from the learner's state.
func (s *Summary) digests(state []nn.Named) error {
	tensors, err := HostTensors(state)
	if err != nil {
		return err
	}
	s.StudentSHA256 = digestOf(tensors, "student.")
	s.TeacherSHA256 = digestOf(tensors, "teacher.")
	s.QueueSHA256 = digestOf(tensors, "queue.")
	s.ObjectiveSHA256 = digestOf(tensors, statePrefix)
	return nil
}

func digestOf(tensors []safetensors.Tensor, prefix string) string {
	var part []safetensors.Tensor
	for _, t := range tensors {
		if strings.HasPrefix(t.Name, prefix) {
			part = append(part, t)
		}
	}
	if len(part) == 0 {
		return ""
	}
	return safetensors.Digest(part)
}
