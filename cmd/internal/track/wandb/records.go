package wandb

import (
	"encoding/json"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"resslt/cmd/internal/track"
	"resslt/schemas/errs"
)

// Fields of Record in wandb_internal.proto, one for each kind.
const (
	recordNum = 1

	kindHistory = 2
	kindSummary = 3
	kindFiles   = 6
	kindMetric  = 12
	kindRun     = 17
	kindExit    = 18
	kindHeader  = 21
	kindFooter  = 22
)

// Fields of the messages within.
const (
	// HistoryRecord, SummaryRecord and ConfigRecord: items, in fields of other numbers.
	historyItem, historyStep = 1, 2
	summaryUpdate            = 1
	configUpdate             = 1
	// HistoryItem, SummaryItem and ConfigItem alike; HistoryStep.
	itemKey, itemNested, itemJSON = 1, 2, 16
	stepNum                       = 1

	// RunRecord.
	runID, runEntity, runProject, runConfig, runName, runNotes = 1, 2, 3, 4, 8, 9
	runTags, runHost, runStart, runGit                         = 10, 13, 17, 21
	gitCommit                                                  = 2
	timestampSeconds, timestampNanos                           = 1, 2

	// MetricRecord and its MetricOptions.
	metricName, metricGlob, metricStep, metricOptions = 1, 2, 4, 6
	optionStepSync, optionHidden, optionDefined       = 1, 2, 3

	// FilesRecord and FilesItem; policy END: uploaded at the run's end.
	filesItem            = 1
	filePath, filePolicy = 1, 2
	policyEnd            = 1

	// RunExitRecord.
	exitCode, exitRuntime = 1, 2

	// HeaderRecord and its VersionInfo.
	headerVersion                   = 1
	versionProducer, versionMinimum = 1, 2
)

// message is a protocol buffer that is being built.
type message []byte

func (m message) text(field protowire.Number, s string) message {
	if s == "" {
		return m
	}
	return protowire.AppendString(protowire.AppendTag(m, field, protowire.BytesType), s)
}

func (m message) number(field protowire.Number, n int64) message {
	if n == 0 {
		return m
	}
	return protowire.AppendVarint(protowire.AppendTag(m, field, protowire.VarintType), uint64(n))
}

func (m message) sub(field protowire.Number, s message) message {
	return protowire.AppendBytes(protowire.AppendTag(m, field, protowire.BytesType), s)
}

// item is a HistoryItem, SummaryItem or ConfigItem.
func item(key string, v any) (message, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, errs.New("track", key, "report this as a bug", errs.BecauseErr(errs.ErrUnsupported, err))
	}
	return message{}.text(itemKey, key).text(itemJSON, string(raw)), nil
}

func timestamp(t time.Time) message {
	return message{}.number(timestampSeconds, t.Unix()).number(timestampNanos, int64(t.Nanosecond()))
}

func header() message {
	v := message{}.text(versionProducer, producer).text(versionMinimum, producer)
	return message{}.sub(headerVersion, v)
}

// config is a ConfigRecord of the recipe's keys.
func config(settings []track.Setting) (message, error) {
	var c message
	for _, s := range settings {
		i, err := item(s.Key, s.Value)
		if err != nil {
			return nil, err
		}
		c = c.sub(configUpdate, i)
	}
	return c, nil
}

// definitions say that all curves are drawn over the training's steps.
func definitions() []message {
	defined := message{}.number(optionDefined, 1)
	return []message{
		message{}.text(metricName, stepKey).sub(metricOptions, message{}.number(optionHidden, 1).number(optionDefined, 1)),
		message{}.text(metricGlob, "*").text(metricStep, stepKey).sub(metricOptions, append(message{}.number(optionStepSync, 1), defined...)),
	}
}

// history is a row, the n-th.
func history(n int64, p track.Point, started time.Time) (message, error) {
	row := []track.Setting{
		{Key: stepKey, Value: p.Step},
		{Key: "epoch", Value: p.Epoch},
		{Key: "_step", Value: n},
		{Key: "_timestamp", Value: float64(p.Time.UnixMicro()) / 1e6},
		{Key: "_runtime", Value: p.Time.Sub(started).Seconds()},
	}
	for _, v := range p.Values {
		row = append(row, track.Setting{Key: v.Tag, Value: v.Value})
	}
	var h message
	for _, s := range row {
		i, err := item(s.Key, s.Value)
		if err != nil {
			return nil, err
		}
		h = h.sub(historyItem, i)
	}
	return h.sub(historyStep, message{}.number(stepNum, n)), nil
}

// summary is a SummaryRecord.
func summary(settings []track.Setting) (message, error) {
	var m message
	for _, s := range settings {
		i, err := item(s.Key, s.Value)
		if err != nil {
			return nil, err
		}
		m = m.sub(summaryUpdate, i)
	}
	return m, nil
}

// filesRecord lists files of the folder files that are uploaded when the run has ended.
func filesRecord(names []string) (m message) {
	for _, n := range names {
		m = m.sub(filesItem, message{}.text(filePath, n).number(filePolicy, policyEnd))
	}
	return m
}

// kindOf is the kind of a record, and the number of its row where it is one of history.
func kindOf(record []byte) (kind protowire.Number, row int64) {
	for len(record) > 0 {
		field, wire, n := protowire.ConsumeTag(record)
		if n < 0 {
			return 0, 0
		}
		m := protowire.ConsumeFieldValue(field, wire, record[n:])
		if m < 0 {
			return 0, 0
		}
		if wire == protowire.BytesType && field != recordNum {
			kind = field
			if body, k := protowire.ConsumeBytes(record[n:]); k > 0 && kind == kindHistory {
				row = rowOf(body)
			}
		}
		record = record[n+m:]
	}
	return kind, row
}

// rowOf is the number of a HistoryRecord.
func rowOf(h []byte) (row int64) {
	for len(h) > 0 {
		field, wire, n := protowire.ConsumeTag(h)
		if n < 0 {
			return 0
		}
		m := protowire.ConsumeFieldValue(field, wire, h[n:])
		if m < 0 {
			return 0
		}
		if field == historyStep && wire == protowire.BytesType {
			step, _ := protowire.ConsumeBytes(h[n:])
			if f, w, k := protowire.ConsumeTag(step); k > 0 && f == stepNum && w == protowire.VarintType {
				v, _ := protowire.ConsumeVarint(step[k:])
				row = int64(v)
			}
		}
		h = h[n+m:]
	}
	return row
}
