package runs

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"resslt/batcher/internal/fixture"
	"resslt/schemas"
	"resslt/schemas/errs"
	"resslt/schemas/errs/errstest"
)

var optionNumbers = map[string]func(*Options, int64){
	"window":          func(o *Options, v int64) { o.Window = v },
	"max_bytes":       func(o *Options, v int64) { o.MaxBytes = v },
	"ack_wait":        func(o *Options, v int64) { o.AckWait = time.Duration(v) },
	"max_deliver":     func(o *Options, v int64) { o.MaxDeliver = int(v) },
	"replicas":        func(o *Options, v int64) { o.Replicas = int(v) },
	"priority":        func(o *Options, v int64) { o.Priority = int(v) },
	"max_ack_pending": func(o *Options, v int64) { o.MaxAckPending = int(v) },
}

// Whatever a number of the options is, from a command line or from the wire, it is refused by
// name or is within its limit; and the byte limit that follows from the window does not wrap.
func TestHostileOptions(t *testing.T) {
	largest := fixture.Spec()
	largest.Dataset.Samples, largest.BatchSize, largest.ChunkSamples = schemas.MaxSamples, schemas.MaxBatchSize, 1
	largest.Views = []schemas.ViewSpec{{Name: "a", Role: schemas.Student, Size: 72}} // a batch of 15 GiB
	largest.StepsPerEpoch, largest.Epochs = 1, schemas.MaxSteps
	if err := largest.Validate(); err != nil {
		t.Fatal(err)
	}
	for _, spec := range []schemas.RunSpec{fixture.Spec(), largest} {
		if got := RecordingBytes(&spec); got <= 0 || got > maxStreamBytes {
			t.Errorf("a recording of %d bytes", got)
		}
		for name, set := range optionNumbers {
			for _, v := range []int64{math.MinInt64, -1, 0, 1, 1000, 1 << 20, 1<<20 + 1, 1 << 31, 1 << 40, 1 << 60, 1<<60 + 1, math.MaxInt64} {
				var o Options
				set(&o, v)
				err := o.validateFor(&spec, errs.ErrUsage)
				if err != nil {
					if why := errstest.Differs(err, errs.ErrUsage, name, fmt.Sprint(v), "give "); why != "" {
						t.Error(why)
					}
				} else if got := o.applyDefaults(&spec); got.MaxBytes <= 0 || got.MaxBytes > maxStreamBytes || got.Window > mostWindow || got.AckWait > maxAckWait ||
					got.MaxDeliver > mostDeliver || got.MaxAckPending > mostAckPending || got.Priority > MaxPriority || got.Replicas > maxReplicas || got.Window*int64(spec.Chunks()) > max(mostWindowChunks, minWindow*int64(spec.Chunks())) {
					t.Errorf("%s=%d gives %+v", name, v, got)
				}
				raw, jerr := json.Marshal(o)
				if jerr != nil {
					t.Fatal(jerr)
				}
				if _, werr := parseOptions(raw, Options{}, &spec); (werr == nil) != (err == nil) || werr != nil && !errors.Is(werr, errs.ErrCorrupt) {
					t.Errorf("%s=%d over the wire: %v; as an option: %v", name, v, werr, err)
				}
			}
		}
	}
}

func TestParseOptions(t *testing.T) {
	spec := fixture.Spec()
	was := Options{DataURI: "folder:/a"}
	got, err := parseOptions([]byte(`{"Window":3}`), was, &spec)
	if err != nil || got.Window != 3 || got.DataURI != was.DataURI {
		t.Fatalf("%+v, %v", got, err)
	}
	for text, tc := range map[string]struct {
		is   error
		says string
	}{
		`{"Window":3,"Region":"x"}`: {errs.ErrUnsupported, `"Region"`},
		`{"Window":3,"Window":4}`:   {errs.ErrCorrupt, "Window"},
		`{"Window":3e99}`:           {errs.ErrCorrupt, "Window"},
		`{"Storage":"tape"}`:        {errs.ErrCorrupt, "tape"},
		`{`:                         {errs.ErrCorrupt, "JSON"},
		``:                          {errs.ErrCorrupt, ""},
		`{"DataURI":"` + strings.Repeat("d", schemas.MaxDataURI+1) + `"}`: {errs.ErrCorrupt, "data URI"},
		`{}` + strings.Repeat(" ", maxOptionsBytes):                       {errs.ErrCorrupt, "bytes"},
	} {
		_, err := parseOptions([]byte(text), was, &spec)
		if why := errstest.Differs(err, tc.is, tc.says); why != "" {
			t.Errorf("%.40s: %s", text, why)
		}
	}
}
