package schemas

import (
	"regexp"
	"strconv"
	"strings"

	"resslt/schemas/errs"
)

// Names in the broker. A run has four streams:
//
//	TASKS_<run>  t.<run>.<step>.<chunk>    work queue: one message a chunk to be made
//	BATCH_<run>  b.<run>.<step>.<chunk>    the chunks, each subject written once
//	CTRL_<run>   c.<run>.spec              the run spec (RunInfo, JSON)
//	             c.<run>.trainer.<trainer> lease and cursor of a trainer (JSON)
//	             c.<run>.options           window and limits that the run was last opened with (JSON)
//	             c.<run>.stop              why the run must not go on (text)
//	BEATS_<run>  c.<run>.worker.<worker>   heartbeat of a worker (JSON)
var runName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`) // of views, too

// CheckRunName checks that name can be part of subject and stream names.
func CheckRunName(name string) error {
	if runName.MatchString(name) {
		return nil
	}
	return errs.New("run name", strconv.Quote(name), "use 1 to 64 of letters, digits, '-' and '_'", errs.ErrUsage)
}

// TasksStream is the name of the run's work queue.
func TasksStream(run string) string { return "TASKS_" + run }

// BatchStream is the name of the stream of the run's chunks.
func BatchStream(run string) string { return "BATCH_" + run }

// CtrlStream is the name of the stream of the run's spec, options and leases.
func CtrlStream(run string) string { return "CTRL_" + run }

// BeatsStream is the name of the stream of the workers' heartbeats for the run.
func BeatsStream(run string) string { return "BEATS_" + run }

// WorkersConsumer is the durable consumer of TASKS_<run> that workers share.
const WorkersConsumer = "workers"

// SweptSubject is where who puts abandoned runs to sleep says that it does. No stream keeps it.
const SweptSubject = "resslt.swept"

// TaskSubject names the task that asks for a chunk.
func TaskSubject(run string, step int64, chunk int) string { return stepSubject("t", run, step, chunk) }

// ChunkSubject names a chunk.
func ChunkSubject(run string, step int64, chunk int) string {
	return stepSubject("b", run, step, chunk)
}

// StepFilter matches all chunks of one step.
func StepFilter(run string, step int64) string {
	return "b." + run + "." + strconv.FormatInt(step, 10) + ".*"
}

// ChunkFilter matches one chunk of every step.
func ChunkFilter(run string, chunk int) string { return "b." + run + ".*." + strconv.Itoa(chunk) }

// StepTasks matches all tasks of one step.
func StepTasks(run string, step int64) string {
	return "t." + run + "." + strconv.FormatInt(step, 10) + ".*"
}

// AllTasks matches every task of the run.
func AllTasks(run string) string { return "t." + run + ".>" }

// AllChunks matches every chunk of the run.
func AllChunks(run string) string { return "b." + run + ".>" }

// CtrlSubjects are those of CTRL_<run>: every control message but the heartbeats.
func CtrlSubjects(run string) []string {
	return []string{SpecSubject(run), OptionsSubject(run), StopSubject(run), AllTrainers(run)}
}

// AllCtrl matches every control message of the run, heartbeats too.
func AllCtrl(run string) string { return "c." + run + ".>" }

// SpecSubject holds the run's RunInfo.
func SpecSubject(run string) string { return "c." + run + ".spec" }

// TrainerSubject holds a trainer's lease, and with it its cursor: the next step
// that it needs.
func TrainerSubject(run, trainer string) string { return "c." + run + ".trainer." + trainer }

// AllTrainers matches the leases of every trainer of the run.
func AllTrainers(run string) string { return "c." + run + ".trainer.*" }

// AnyTrainer matches the leases of every run's trainers.
const AnyTrainer = "c.*.trainer.*"

// WorkerSubject holds a worker's heartbeat.
func WorkerSubject(run, worker string) string { return "c." + run + ".worker." + worker }

// AllWorkers matches the heartbeats of every worker for the run.
func AllWorkers(run string) string { return "c." + run + ".worker.*" }

// OptionsSubject holds the limits that the run was last opened with, so that a
// trainer that joins goes by the same.
func OptionsSubject(run string) string { return "c." + run + ".options" }

// AnyOptions matches OptionsSubject of every run: it is written when a run is
// opened, so workers hear of runs by it.
const AnyOptions = "c.*.options"

// StopSubject holds the notice that a run must not go on, for all to see: a
// determinism failure makes every batch doubtful.
func StopSubject(run string) string { return "c." + run + ".stop" }

func stepSubject(kind, run string, step int64, chunk int) string {
	return kind + "." + run + "." + strconv.FormatInt(step, 10) + "." + strconv.Itoa(chunk)
}

// ParseStepSubject takes "<kind>.<run>.<step>.<chunk>" apart. Only the spelling of TaskSubject
// and ChunkSubject is taken: a step or chunk that could be written in two ways would be two
// subjects in the broker, and one in here.
func ParseStepSubject(subject string) (run string, step int64, chunk int, err error) {
	p := strings.Split(subject, ".")
	bad := func() error {
		return errs.New("parse subject", strconv.Quote(subject), "want <kind>.<run>.<step>.<chunk>", errs.ErrCorrupt)
	}
	if len(p) != 4 || (p[0] != "t" && p[0] != "b") {
		return "", 0, 0, bad()
	}
	step, err1 := strconv.ParseInt(p[2], 10, 64)
	chunk, err2 := strconv.Atoi(p[3])
	if err1 != nil || err2 != nil || step < 0 || chunk < 0 || CheckRunName(p[1]) != nil || stepSubject(p[0], p[1], step, chunk) != subject {
		return "", 0, 0, bad()
	}
	return p[1], step, chunk, nil
}

// Headers of tasks and chunks.
const (
	// HeaderSpec: hex digest of the run spec that the message belongs to.
	HeaderSpec = "Resslt-Spec"
	// HeaderDigest: hex SHA-256 of the message's body.
	HeaderDigest = "Resslt-Digest"
	// HeaderTombstone: present on a chunk without samples; says why, in a line.
	HeaderTombstone = "Resslt-Tombstone"
	// HeaderGiveUp: present on a task that has spent its deliveries; the worker that
	// takes it publishes a tombstone with this reason, and makes nothing.
	HeaderGiveUp = "Resslt-Give-Up"
	// HeaderWorker: who made the chunk. Provenance; no part of the digest.
	HeaderWorker = "Resslt-Worker"
	// HeaderHeld: present on a chunk without a body, whose rows stayed in the process that made
	// it and that reads it (package batcher/held). Never in a broker that others can reach.
	HeaderHeld = "Resslt-Held"
)
