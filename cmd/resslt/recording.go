package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/spf13/pflag"

	"resslt/batcher/produce"
	"resslt/batcher/record"
	"resslt/batcher/runs"
	"resslt/batcher/stream"
	"resslt/batcher/wire"
	"resslt/cmd/internal/pipeline"
	"resslt/ingest"
	"resslt/schemas"
	"resslt/schemas/errs"
)

// recording is what --record asks for, beside the recipe log, which is always kept.
type recording struct {
	pixels record.Window // steps whose views are kept in the run's folder
	stream bool          // all chunks stay in the broker, in files, and are sealed at the end
}

func registerRecord(p *pflag.FlagSet, record *string) {
	p.StringVar(record, "record", "log", "what is kept of the batches: `log` (ids, plans, digests; always), pixels[:FROM-TO] (also the views, of all or some steps, in --out), stream (also all chunks in the broker, sealed at the end; train only)")
}

func parseRecord(s string, steps int64) (recording, error) {
	kind, window, some := strings.Cut(s, ":")
	switch {
	case s == "log":
		return recording{}, nil
	case s == "stream":
		return recording{stream: true}, nil
	case s == "pixels":
		return recording{pixels: record.Window{To: steps}}, nil
	case kind == "pixels" && some:
		w, err := record.ParseWindow(window, steps)
		return recording{pixels: w}, err
	}
	return recording{}, errs.New("", "--record "+strconv.Quote(s), "give log, pixels, pixels:FROM-TO or stream", errs.ErrUsage)
}

// runRecord is the record of a session, which begins when an earlier run's files have been
// set aside: its stream may have chunks before that, and waits.
type runRecord struct {
	opts  record.Options
	begun chan struct{} // closed when rec is set, or never will be
	once  sync.Once
	rec   *record.Recorder // nil before begin, and where it failed
}

func (s *session) newRecord(order wire.Order) *runRecord {
	return &runRecord{begun: make(chan struct{}), opts: record.Options{
		Dir: filepath.Join(s.out, record.Subfolder), Order: order, Pixels: s.recording.pixels,
		Run: schemas.RunInfo{Spec: s.spec, Digest: s.spec.Digest(), DataURI: s.recipe.Data},
	}}
}

// recorder is what the session's stream tells of its batches: the record, and, where a
// log is replayed, first the comparison with it.
func (s *session) recorder(rec *runRecord) stream.Recorder {
	if s.replay != nil && s.replay.log {
		return stream.Recorders(s.replay.folder.Check(), rec)
	}
	return rec
}

func (r *runRecord) begin(stderr io.Writer, from int64) (err error) {
	r.opts.From = from
	if r.rec, err = record.New(r.opts); err != nil {
		return err
	}
	lacking := r.rec.Lacking()
	for _, w := range lacking.Log {
		fmt.Fprintf(stderr, "warning: the recipe log in %s does not have %s, which `resslt record verify` will say, too\n", r.opts.Dir, w)
	}
	for _, w := range lacking.Pixels {
		fmt.Fprintf(stderr, "warning: the pixels in %s lack %s; the recipe log can have them made again\n", r.opts.Dir, w)
	}
	r.giveUp()
	return nil
}

// giveUp lets a stream go on that waits for begin.
func (r *runRecord) giveUp() { r.once.Do(func() { close(r.begun) }) }

func (r *runRecord) Chunk(ctx context.Context, c *wire.Chunk) error {
	select {
	case <-r.begun:
	case <-ctx.Done():
		return ctx.Err()
	}
	if r.rec == nil {
		return nil // the session ends, and with it the stream
	}
	return r.rec.Chunk(ctx, c)
}

func (r *runRecord) Step(step int64) error { return r.rec.Step(step) }

func (r *runRecord) sync() error { return r.rec.Sync() }

// keptBatch is where the batch of a step whose loss was no number is kept.
func keptBatch(out, step string) string {
	return filepath.Join(out, "diverged-step-"+step+".arrow")
}

// keep gives what writes such a batch, in the form of a record of one step.
func (r *runRecord) keep(out string) func(*schemas.Batch) (string, error) {
	return func(b *schemas.Batch) (string, error) {
		path := keptBatch(out, strconv.FormatInt(b.Step, 10))
		return path, r.rec.Keep(path, b)
	}
}

func (r *runRecord) close() error {
	if r.rec == nil {
		return nil
	}
	return r.rec.Close()
}

// replay is where a session's recorded batches come from.
type replay struct {
	run    schemas.RunInfo
	folder *record.Folder // nil of a broker's
	stored *runs.Stored   // nil of a folder's
	log    bool           // made again by the folder's log, instead of read
}

// parseReplay takes "stream:NAME", "pixels:DIR", "log:DIR" or DIR apart.
func parseReplay(s string) (kind, place string, err error) {
	kind, place, ok := strings.Cut(s, ":")
	switch {
	case ok && place != "" && (kind == "stream" || kind == "pixels" || kind == "log"):
		return kind, place, nil
	case s != "" && !ok:
		return "", s, nil
	}
	return "", "", errs.New("", "--replay "+strconv.Quote(s), "give stream:RUN, pixels:FOLDER, log:FOLDER or FOLDER", errs.ErrUsage)
}

// openReplay opens a folder's record; kind "" is its pixels where it has any, else its log.
func openReplay(kind, dir string) (*replay, error) {
	f, err := record.OpenFolder(dir)
	if err != nil {
		return nil, err
	}
	return &replay{run: f.Run, folder: f, log: kind == "log" || kind == "" && len(f.Stored()) == 0}, nil
}

func (r *replay) close() error {
	if r == nil || r.folder == nil {
		return nil
	}
	return r.folder.Close()
}

// source is where chunks are read, not made.
func (r *replay) source() record.Source {
	if r.stored != nil {
		return r.stored
	}
	return r.folder
}

// plans looks a row's plans up in the log.
func (r *replay) plans(row wire.TaskRow) ([][]byte, bool) {
	spec := r.folder.Spec()
	step := row.Epoch*spec.StepsPerEpoch + row.Index/int64(spec.BatchSize)
	c, err := r.folder.Logged(step, int(row.Slot)/spec.ChunkSamples)
	if err != nil {
		return nil, false // it is drawn, and then held against the log, which names the trouble
	}
	i := int(row.Slot) % spec.ChunkSamples
	if c.Samples[i] != row.Sample {
		return nil, false // it could not be decoded, and was replaced
	}
	out := make([][]byte, len(c.Plans))
	for v := range out {
		out[v] = c.Plans[v][i]
	}
	return out, true
}

// openSource opens the data for workers in this process. Where a log is replayed its plans
// are rendered.
func (s *session) openSource(ctx context.Context, rec *schemas.RunInfo, timer pipeline.Timer) (produce.Source, error) {
	src, err := pipeline.OpenTimedSource(ctx, rec, nil, ingest.Options{}, timer)
	if err != nil || s.replay == nil || !s.replay.log {
		return src, err
	}
	return pipeline.WithPlans(src, s.replay.plans)
}
