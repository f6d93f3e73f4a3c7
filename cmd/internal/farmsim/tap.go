package farmsim

import (
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"resslt/schemas/errs"
)

// tap counts what passes through the broker by what it is for. It has a connection of its own;
// that costs the broker a copy of each message that it counts.
type tap struct {
	nc *nats.Conn

	mu     sync.Mutex
	counts map[string]int64 // guarded by mu
	bytes  int64            // of control messages (c.>); guarded by mu
	since  time.Time        // guarded by mu
}

// newTap begins to count.
func newTap(nc *nats.Conn) (*tap, error) {
	t := &tap{nc: nc, counts: map[string]int64{}, since: time.Now()}
	for _, subject := range []string{"$JS.API.>", "$JS.ACK.>", "c.>", "t.>"} { // no chunks: they are megabytes
		sub, err := nc.Subscribe(subject, t.count)
		if err == nil {
			err = sub.SetPendingLimits(-1, -1)
		}
		if err != nil {
			return nil, errs.New("count messages", subject, "", errs.BecauseErr(errs.ErrUnavailable, err))
		}
	}
	return t, nil
}

func (t *tap) count(m *nats.Msg) {
	kind := kindOf(m.Subject)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts[kind]++
	if m.Subject[0] == 'c' {
		t.bytes += int64(len(m.Data))
	}
}

// kindOf is what a message is for: "beat", "lease", "task", "ack", or the name of a
// request of JetStream's API, such as CONSUMER.MSG.NEXT, or STREAM.INFO.CTRL for the information
// about a run's CTRL_.
func kindOf(subject string) string {
	if rest, ok := strings.CutPrefix(subject, "$JS.API."); ok {
		words := strings.SplitN(rest, ".", 4)
		n := min(2, len(words))
		if len(words) > 2 && words[1] == "MSG" {
			n = 3
		}
		kind := strings.Join(words[:n], ".")
		if kind == "STREAM.INFO" && len(words) > 2 { // of which of a run's streams
			stream, _, _ := strings.Cut(words[2], "_")
			kind += "." + stream
		}
		return kind
	}
	if strings.HasPrefix(subject, "$JS.ACK.") {
		return "ack"
	}
	words := strings.SplitN(subject, ".", 4)
	if words[0] == "c" && len(words) > 2 {
		if name, ok := map[string]string{"worker": "beat", "trainer": "lease"}[words[2]]; ok {
			return name
		}
		return words[2]
	}
	return "task"
}

// take gives the counts a second since the last take, by kind, and the control messages' bytes.
func (t *tap) take() (rates map[string]float64, control float64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := time.Since(t.since).Seconds()
	rates = map[string]float64{}
	for k, n := range maps.All(t.counts) {
		rates[k] = round(float64(n) / s)
	}
	control = round(float64(t.bytes) / s)
	t.counts, t.bytes, t.since = map[string]int64{}, 0, time.Now()
	return rates, control
}

// requests adds up the requests of JetStream's API.
func requests(rates map[string]float64) (n float64) {
	for k, v := range rates {
		if strings.ToUpper(k) == k {
			n += v
		}
	}
	return n
}
