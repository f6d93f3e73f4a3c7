package session

import (
	"context"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"resslt/batcher/record"
	"resslt/batcher/runs"
	"resslt/batcher/wire"
	"resslt/cmd/internal/pipeline"
	"resslt/schemas"
	"resslt/schemas/errs"
)

// Recording is what is kept of a run's batches: in a folder, its recipe log and pixels, or in
// a broker, the chunks.
type Recording struct {
	Run    schemas.RunInfo
	Folder *record.Folder // nil of a broker's
	Stored *runs.Stored   // nil of a folder's
	Log    bool           // batches are made again by the folder's log, instead of read

	js jetstream.JetStream // connection of Stored
}

// ParseRecording splits "stream:NAME", "pixels:DIR", "log:DIR" or DIR, of which kind is "".
func ParseRecording(s string) (kind, place string, err error) {
	kind, place, ok := strings.Cut(s, ":")
	switch {
	case ok && place != "" && (kind == "stream" || kind == "pixels" || kind == "log"):
		return kind, place, nil
	case s != "" && !ok:
		return "", s, nil
	}
	return "", "", errs.New("", "--replay "+strconv.Quote(s), "give stream:RUN, pixels:FOLDER, log:FOLDER or FOLDER", errs.ErrUsage)
}

// OpenRecording opens a folder; kind "" is its pixels where it has any, else its log. The
// caller closes it.
func OpenRecording(kind, dir string) (*Recording, error) {
	f, err := record.OpenFolder(dir)
	if err != nil {
		return nil, err
	}
	return &Recording{Run: f.Run, Folder: f, Log: kind == "log" || kind == "" && len(f.Stored()) == 0}, nil
}

// OpenStored opens what the broker keeps of a run. The recording closes the connection, also
// where it cannot be opened.
func OpenStored(ctx context.Context, js jetstream.JetStream, name string) (_ *Recording, err error) {
	defer func() {
		if err != nil {
			js.Conn().Close()
		}
	}()
	run, err := runs.Lookup(ctx, js, name)
	if err != nil {
		return nil, err
	}
	stored, err := run.Stored(ctx)
	if err != nil {
		return nil, err
	}
	return &Recording{Run: run.Info, Stored: stored, js: js}, nil
}

// lacks is the first step of a window that the recording does not have whole, or the window's end.
// A log is taken to be whole up to its end.
func (r *Recording) lacks(ctx context.Context, from, to int64) (int64, error) {
	if r.Log {
		return max(from, min(to, r.Folder.LoggedTo())), nil
	}
	var chunks map[int64]int
	if r.Stored == nil {
		chunks = r.Folder.Stored()
	} else {
		var err error
		if chunks, _, err = r.Stored.Steps(ctx); err != nil {
			return 0, err
		}
	}
	for step := from; step < to; step++ {
		if chunks[step] < r.Run.Spec.Chunks() {
			return step, nil
		}
	}
	return to, nil
}

// Dataset is what is kept beside a folder's files of the data that they are of; nil where that
// is not known.
func (r *Recording) Dataset() *pipeline.Dataset {
	if r.Folder == nil {
		return nil
	}
	// A run has its record in a folder of its own folder, and one file may be named alone.
	for _, dir := range []string{r.Folder.Dir, filepath.Dir(r.Folder.Dir), filepath.Dir(filepath.Dir(r.Folder.Dir))} {
		if d := pipeline.KeptDataset(dir, r.Run.Spec.Dataset.Digest); d != nil {
			return d
		}
	}
	return nil
}

// Close closes the folder, or the connection to the broker.
func (r *Recording) Close() error {
	switch {
	case r == nil:
	case r.Folder != nil:
		return r.Folder.Close()
	default:
		r.js.Conn().Close()
	}
	return nil
}

// Source is where the chunks are read.
func (r *Recording) Source() record.Source {
	if r.Stored != nil {
		return r.Stored
	}
	return r.Folder
}

// Plans looks the plans of a task's row up in the log; false where the log has none for it.
func (r *Recording) Plans(row wire.TaskRow) ([][]byte, bool) {
	spec := r.Folder.Spec()
	step := row.Epoch*spec.StepsPerEpoch + row.Index/int64(spec.BatchSize)
	c, err := r.Folder.Logged(step, int(row.Slot)/spec.ChunkSamples)
	if err != nil {
		return nil, false // it is drawn, then checked against the log, which names the error
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
