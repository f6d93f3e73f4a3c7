package tensorboard

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"time"

	"resslt/schemas/bounded"
	"resslt/schemas/errs"

	"google.golang.org/protobuf/encoding/protowire"
)

// Scalar is a value with a tag such as "loss/total". TensorBoard groups tags by the part
// before the slash.
type Scalar struct {
	Tag   string
	Value float64
}

// Field numbers of Event, Summary, Summary.Value and SessionLog in TensorFlow's
// event.proto and summary.proto.
const (
	eventWallTime    = 1
	eventStep        = 2
	eventFileVersion = 3
	eventSummary     = 5
	eventSessionLog  = 7

	summaryValue = 1
	valueTag     = 1
	valueSimple  = 2

	sessionStatus = 1
	sessionStart  = 1 // a value of SessionStatus
)

// Writer appends events to a session's file. It is not safe for concurrent use.
type Writer struct {
	f   *os.File
	out *bufio.Writer
}

// Open creates a session's file in dir, and dir if necessary. next is the session's first
// step: TensorBoard drops what earlier files have from there on. Errors wrap
// errs.ErrUnavailable.
func Open(dir string, next int64) (*Writer, error) {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown" // the name only helps readers to tell files apart
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, unwritable(dir, err)
	}
	var f *os.File
	for n := 0; ; n++ { // two sessions may start in the same second
		name := fmt.Sprintf("events.out.tfevents.%010d.%s.%d.%d", time.Now().Unix(), host, os.Getpid(), n)
		f, err = bounded.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		if !errors.Is(err, os.ErrExist) {
			break
		}
	}
	if err != nil {
		return nil, unwritable(dir, err)
	}
	w := &Writer{f: f, out: bufio.NewWriter(f)}
	version := protowire.AppendTag(nil, eventFileVersion, protowire.BytesType)
	version = protowire.AppendString(version, "brain.Event:2")
	err = w.event(0, version)
	if err == nil && next > 0 {
		status := protowire.AppendVarint(protowire.AppendTag(nil, sessionStatus, protowire.VarintType), sessionStart)
		err = w.event(next, message(eventSessionLog, status))
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return w, nil
}

func unwritable(path string, err error) error {
	return errs.New("write TensorBoard events", path, "make --out writable and free some space", errs.BecauseErr(errs.ErrUnavailable, err))
}

// message is a field that contains another message.
func message(field protowire.Number, body []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, field, protowire.BytesType), body)
}

// Scalars writes the values of a step and flushes them, so that they survive if the run
// is killed, and TensorBoard shows them at once.
func (w *Writer) Scalars(step int64, values ...Scalar) error {
	var summary []byte
	for _, v := range values {
		value := protowire.AppendString(protowire.AppendTag(nil, valueTag, protowire.BytesType), v.Tag)
		value = protowire.AppendTag(value, valueSimple, protowire.Fixed32Type)
		value = protowire.AppendFixed32(value, math.Float32bits(float32(v.Value)))
		summary = append(summary, message(summaryValue, value)...)
	}
	return w.event(step, message(eventSummary, summary))
}

// event frames one Event and flushes it.
func (w *Writer) event(step int64, what []byte) error {
	now := float64(time.Now().UnixMicro()) / 1e6
	e := protowire.AppendFixed64(protowire.AppendTag(nil, eventWallTime, protowire.Fixed64Type), math.Float64bits(now))
	e = protowire.AppendVarint(protowire.AppendTag(e, eventStep, protowire.VarintType), uint64(step))
	e = append(e, what...)
	head := binary.LittleEndian.AppendUint64(nil, uint64(len(e)))
	w.out.Write(head)
	w.out.Write(binary.LittleEndian.AppendUint32(nil, masked(head)))
	w.out.Write(e)
	w.out.Write(binary.LittleEndian.AppendUint32(nil, masked(e)))
	if err := w.out.Flush(); err != nil { // the first error of all the writes
		return unwritable(w.f.Name(), err)
	}
	return nil
}

// masked is TFRecord's checksum: CRC-32C, rotated and offset, because the CRC of data
// that contains its own CRC is weak.
func masked(b []byte) uint32 {
	c := crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))
	return (c>>15 | c<<17) + 0xa282ead8
}

// Close closes the file.
func (w *Writer) Close() error {
	if err := w.f.Close(); err != nil {
		return unwritable(w.f.Name(), err)
	}
	return nil
}
