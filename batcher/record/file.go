package record

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"resslt/batcher/internal/layout"
	"resslt/batcher/wire"
	"resslt/schemas"
	"resslt/schemas/bounded"
	"resslt/schemas/errs"
)

const (
	digestBytes = 32
	// maxLogRows bounds the rows of one batch of a log, and so what a reader makes of
	// compressed columns.
	maxLogRows = 1 << 16
	// maxSchemaBytes bounds the schema message, most of which is the run.
	maxSchemaBytes = schemas.MaxRunInfo + 256<<10

	fileMagic   = "ARROW1"
	fileStart   = 8 // magic, padded
	footerTail  = 4 + len(fileMagic)
	maxFooter   = 1 << 30
	spanColumns = 2 // step and chunk: what an index is made of
)

// segmentFile is one Arrow file of a record, read without trust in its bytes. It is safe for
// concurrent use.
type segmentFile struct {
	Path   string
	Run    schemas.RunInfo
	Pixels bool // views, or a recipe log
	Sealed bool
	Bytes  int64
	// Torn is how many bytes at the end of an unsealed file are no whole batch: what
	// was being written when its process ended. Lost is how many before that are none,
	// between others that are whole: damage.
	Torn, Lost int64

	f      *os.File
	layout *layout.Layout
	refs   []ref
	patchy bool // what is no whole batch is passed over
}

// ref is a record batch in a file.
type ref struct {
	at, body    int64 // offsets of its metadata and of its body
	batch       *layout.Batch
	first, last int64 // its lowest step, its highest
	chunk       int32 // of its first row
}

// openSegment opens a record's file and looks through its batches. In a file that was not
// sealed, the ".open" one of a run that is still going or was killed, what is no whole batch is
// passed over. It returns ErrNotFound, ErrCorrupt, ErrUnsupported for another
// version, ErrTooLarge for a run that is over the limits of a spec.
func openSegment(path string) (_ *segmentFile, err error) {
	f, err := bounded.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errs.New("open record", path, "name a folder or file that `resslt run` or `resslt record export` wrote", errs.BecauseErr(errs.ErrNotFound, err))
	}
	if err != nil {
		return nil, errs.New("open record", path, "make it readable", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	r := &segmentFile{Path: path, f: f, patchy: strings.HasSuffix(path, openSuffix)}
	defer func() {
		if err != nil {
			f.Close()
			err = errs.New("open record", path, "take it from another copy of the record", err)
		}
	}()
	info, err := f.Stat()
	if err != nil {
		return nil, errs.BecauseErr(errs.ErrUnavailable, err)
	}
	r.Bytes = info.Size()
	end, err := r.frame()
	if err != nil {
		return nil, err
	}
	at, err := r.head(end)
	if err != nil {
		return nil, err
	}
	return r, r.scan(at, end)
}

// scan indexes the batches from offset at on. In a patchy file it continues behind what is
// none.
func (r *segmentFile) scan(at, end int64) error {
	for at < end {
		next, err := r.index(at, end)
		switch {
		case err == nil:
			at = next
		case errors.Is(err, errs.ErrUnavailable) || !r.patchy:
			return err
		default:
			// Were it sealed, its footer would list batches that are not there.
			r.Sealed = false
			if next, err = r.seek(at, end); err != nil {
				return err
			}
			if next == end {
				r.Torn = end - at
			} else {
				r.Lost += next - at
			}
			at = next
		}
	}
	return nil
}

// seek finds the next whole batch behind offset at, end where there is none. Messages
// begin at multiples of 8 bytes.
func (r *segmentFile) seek(at, end int64) (int64, error) {
	const step = 1 << 20
	for at += 8; at < end; at += step {
		block, err := r.read(at, min(step, end-at), end)
		if err != nil {
			return 0, err
		}
		for i := 0; i+layout.PrefixBytes <= len(block); i += 8 {
			if _, err := layout.MetadataLength(block[i:], layout.MaxMetadataBytes); err != nil {
				continue
			}
			n := len(r.refs)
			if _, err := r.index(at+int64(i), end); errors.Is(err, errs.ErrUnavailable) {
				return 0, err
			} else if err == nil {
				r.refs = r.refs[:n] // scan comes to it
				return at + int64(i), nil
			}
		}
	}
	return end, nil
}

func corrupt(format string, a ...any) error {
	return errs.Because(errs.ErrCorrupt, fmt.Sprintf(format, a...))
}

// read reads n bytes at off, which the file must have.
func (r *segmentFile) read(off, n, end int64) ([]byte, error) {
	if off < 0 || n < 0 || off > end || n > end-off {
		return nil, corrupt("it is cut off")
	}
	b := make([]byte, n)
	if _, err := r.f.ReadAt(b, off); err != nil {
		return nil, errs.BecauseErr(errs.ErrUnavailable, err)
	}
	return b, nil
}

// frame reads the marks at both ends, and gives where the batches end.
func (r *segmentFile) frame() (end int64, err error) {
	start, err := r.read(0, fileStart, r.Bytes)
	if err != nil || string(start[:len(fileMagic)]) != fileMagic {
		return 0, corrupt("it is no Arrow file")
	}
	tail, err := r.read(r.Bytes-int64(footerTail), int64(footerTail), r.Bytes)
	if err != nil || string(tail[4:]) != fileMagic {
		if r.patchy {
			return r.Bytes, nil
		}
		return 0, corrupt("its end is missing")
	}
	footer := int64(binary.LittleEndian.Uint32(tail))
	if footer > maxFooter || footer > r.Bytes-int64(footerTail)-fileStart {
		return 0, corrupt("a footer of %d bytes", footer)
	}
	r.Sealed = true
	return r.Bytes - int64(footerTail) - footer, nil
}

var errNoRun = errs.New("", "", "write it again with pyarrow, which keeps the schema's metadata", errs.Because(errs.ErrUnsupported,
	"its schema does not say which run it is of: a program such as polars or DuckDB has written it"))

// first is where the schema message begins: behind the magic, which some writers pad to 64 bytes.
func (r *segmentFile) first(end int64) (int64, error) {
	head, err := r.read(0, min(64, end), end)
	if err != nil {
		return 0, err
	}
	at := fileStart
	for at+8 <= len(head) && binary.LittleEndian.Uint64(head[at:]) == 0 {
		at += 8
	}
	return int64(at), nil
}

// head reads the schema message: which run, which kind. Then it must equal the one that this
// build writes for that run: byte for byte, or, written by another program, in its columns.
// A sealed file is not refused for its kind, its run or its schema unless its footer has the
// same ones: where they differ, it is damaged.
func (r *segmentFile) head(end int64) (next int64, err error) {
	var (
		kv    map[string]string
		names []string // of the run's columns, where the schema has others
	)
	defer func() {
		if (errors.Is(err, errs.ErrUnsupported) || errors.Is(err, errs.ErrMismatch)) && r.Sealed && !r.confirms(kv, names, end) {
			err = corrupt("its footer has another schema: %v", err)
		}
	}()
	start, err := r.first(end)
	if err != nil {
		return 0, err
	}
	prefix, err := r.read(start, layout.PrefixBytes, end)
	if err != nil {
		return 0, err
	}
	n, err := layout.MetadataLength(prefix, maxSchemaBytes)
	if err != nil && r.Sealed {
		if footer, ferr := r.read(end, min(r.Bytes-end, 2*maxSchemaBytes), r.Bytes); ferr == nil && !bytes.Contains(footer, []byte(schemas.MetaRun)) {
			return 0, errNoRun // a writer that begins with no schema
		}
	}
	if err != nil {
		return 0, err
	}
	meta, err := r.read(start+layout.PrefixBytes, n, end)
	if err != nil {
		return 0, err
	}
	if kv, err = layout.SchemaMetadata(meta); err != nil {
		return 0, err
	}
	switch kv[schemas.MetaVersion] {
	case "":
		return 0, errNoRun
	case schemas.RecordLogVersion:
	case schemas.RecordPixelsVersion:
		r.Pixels = true
	default:
		return 0, errs.Because(errs.ErrUnsupported, fmt.Sprintf("it is of kind %.40q, this build reads %s and %s",
			kv[schemas.MetaVersion], schemas.RecordLogVersion, schemas.RecordPixelsVersion))
	}
	run, err := schemas.ParseRunInfo([]byte(kv[schemas.MetaRun]))
	if err != nil {
		return 0, err
	}
	r.Run = *run
	if err := recordable(&r.Run.Spec); err != nil {
		return 0, err
	}
	schema, err := schemas.RecordSchema(&r.Run, r.Pixels)
	if err != nil {
		return 0, err
	}
	if r.layout, err = layout.New(schema); err != nil {
		return 0, err
	}
	if !bytes.Equal(r.layout.Prefix(), append(prefix, meta...)) {
		same, err := r.layout.SameFields(meta) // another program may have written it again
		if errors.Is(err, errs.ErrUnsupported) && r.Sealed {
			if footer, ferr := r.read(end, min(r.Bytes-end, 2*maxSchemaBytes), r.Bytes); ferr == nil && r.layout.SameFooter(footer) {
				err = corrupt("its footer has another schema: %v", err)
			}
		}
		if err != nil {
			return 0, err
		}
		if !same {
			for _, f := range schema.Fields() {
				names = append(names, f.Name)
			}
			return 0, errs.Because(errs.ErrMismatch, "its Arrow schema is not that of its run")
		}
	}
	return start + layout.PrefixBytes + n, nil
}

// confirms reports whether the footer, which begins at offset end, has the same metadata, and
// not all the columns of these names, which the schema has not.
func (r *segmentFile) confirms(kv map[string]string, names []string, end int64) bool {
	footer, err := r.read(end, min(r.Bytes-end, 2*maxSchemaBytes), r.Bytes)
	if err != nil {
		return true // it says nothing
	}
	lacks := func(text string) bool { // as both write it
		return !bytes.Contains(footer, append(binary.LittleEndian.AppendUint32(nil, uint32(len(text))), text...))
	}
	for _, key := range []string{schemas.MetaVersion, schemas.MetaRun} {
		if value := kv[key]; value != "" && lacks(value) || value == "" && !lacks(key) {
			return false
		}
	}
	return len(names) == 0 || slices.ContainsFunc(names, lacks)
}

// recordable reports whether a chunk of the run fits a batch of a log.
func recordable(spec *schemas.RunSpec) error {
	if spec.ChunkSamples <= maxLogRows/2 {
		return nil
	}
	return errs.New("record", "run", "lower chunk_samples", errs.Because(errs.ErrUnsupported,
		fmt.Sprintf("%d samples a chunk, at most %d can be recorded", spec.ChunkSamples, maxLogRows/2)))
}

func (r *segmentFile) maxRows() int {
	if r.Pixels {
		return r.Run.Spec.ChunkSamples
	}
	return maxLogRows
}

// index looks at the batch at offset at, and gives the offset behind it.
func (r *segmentFile) index(at, end int64) (int64, error) {
	prefix, err := r.read(at, layout.PrefixBytes, end)
	if err != nil {
		return 0, err
	}
	if r.Sealed && bytes.Equal(prefix, endOfStream) {
		return end, nil // some writers mark the end before the footer
	}
	n, err := layout.MetadataLength(prefix, layout.MaxMetadataBytes)
	if err != nil {
		return 0, err
	}
	meta, err := r.read(at+layout.PrefixBytes, n, end)
	if err != nil {
		return 0, err
	}
	b, err := r.layout.Open(meta, 1, r.maxRows())
	if err != nil {
		return 0, err
	}
	x := ref{at: at, body: at + layout.PrefixBytes + n, batch: b}
	if b.BodyLen > end-x.body {
		return 0, corrupt("it is cut off")
	}
	var column [spanColumns][]byte
	for i := range column {
		off, n := b.Range(i)
		raw, err := r.read(x.body+off, n, end)
		if err != nil {
			return 0, err
		}
		if column[i], _, err = b.Column(i, raw, 0); err != nil {
			return 0, err
		}
	}
	steps, chunks := layout.Int64s(column[0]), layout.Int32s(column[1])
	x.first, x.last, x.chunk = slices.Min(steps), slices.Max(steps), chunks[0] // tombstones come out of turn
	r.refs = append(r.refs, x)
	return x.body + b.BodyLen, nil
}

var endOfStream = []byte{0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0}

// Steps are the first and the last step that the file holds something of; -1 for none.
func (r *segmentFile) Steps() (first, last int64) {
	first, last = -1, -1
	for _, x := range r.refs {
		if first < 0 || x.first < first {
			first = x.first
		}
		last = max(last, x.last)
	}
	return first, last
}

// rows reads one batch.
func (r *segmentFile) rows(x ref) (*rows, error) {
	body, err := r.read(x.body, x.batch.BodyLen, r.Bytes)
	if err != nil {
		return nil, err
	}
	return readRows(x.batch, body, &r.Run.Spec, r.Pixels)
}

// batch reads the chunks of one batch. They share a buffer of their own.
func (r *segmentFile) batch(x ref) ([]*wire.Chunk, error) {
	rs, err := r.rows(x)
	var out []*wire.Chunk
	if err == nil {
		out, err = rs.chunks(&r.Run.Spec)
	}
	if err != nil {
		return nil, errs.New("read record", fmt.Sprintf("%s, step %d", r.Path, x.first), "take it from another copy of the record", err)
	}
	return out, nil
}

// Each calls f with every chunk of the file, in the file's order; those of a log have
// no pixels, a tombstone's samples are schemas.Unmade. It ends with f's error, or
// ErrCorrupt.
func (r *segmentFile) Each(f func(*wire.Chunk) error) error {
	for _, x := range r.refs {
		cs, err := r.batch(x)
		if err != nil {
			return err
		}
		for _, c := range cs {
			if err := f(c); err != nil {
				return err
			}
		}
	}
	return nil
}

// Close closes the file.
func (r *segmentFile) Close() error { return r.f.Close() }

var _ io.Closer = (*segmentFile)(nil)
