package link

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
)

// Latest gives the last message under each subject of a stream that a filter matches, in the
// order of their sequences. It is one request where the broker can do that (2.11, a stream
// with AllowDirect) and the subjects are 1,024 at most. Elsewhere the subjects are listed,
// and their messages asked for several at a time.
//
// It returns jetstream.ErrStreamNotFound where there is no stream.
func Latest(ctx context.Context, js jetstream.JetStream, stream string, filters ...string) ([]*jetstream.RawStreamMsg, error) {
	return latest(ctx, js, stream, nil, filters)
}

// LatestOf does so for a stream that the caller has looked up, which Latest may have to.
func LatestOf(ctx context.Context, js jetstream.JetStream, s jetstream.Stream, filters ...string) ([]*jetstream.RawStreamMsg, error) {
	return latest(ctx, js, s.CachedInfo().Config.Name, s, filters)
}

// latest is both; s may be nil.
func latest(ctx context.Context, js jetstream.JetStream, stream string, s jetstream.Stream, filters []string) ([]*jetstream.RawStreamMsg, error) {
	ctx, cancel := withinAPITimeout(ctx)
	defer cancel()
	out, err := []*jetstream.RawStreamMsg(nil), errNoMultiGet
	if !cutShort.rests(js.Conn(), time.Now()) && hasMultiGet(js.Conn().ConnectedServerVersion()) { // older ones leave some requests without an answer
		out, err = multiGet(ctx, js.Conn(), stream, filters)
	}
	if !errors.Is(err, errNoMultiGet) && !errors.Is(err, errTooMany) {
		return out, err
	}
	if s == nil {
		var serr error
		if s, serr = js.Stream(ctx, stream); serr != nil {
			return nil, serr
		}
	}
	var subjects []string
	for _, filter := range filters {
		info, ierr := s.Info(ctx, jetstream.WithSubjectFilter(filter))
		if ierr != nil {
			return nil, ierr
		}
		for subject := range info.State.Subjects {
			subjects = append(subjects, subject)
		}
	}
	slices.Sort(subjects)
	subjects = slices.Compact(subjects)
	if errors.Is(err, errTooMany) {
		out, err = inGroups(ctx, js.Conn(), stream, subjects)
	} else {
		out, err = oneByOne(ctx, js.Conn(), stream, subjects)
	}
	slices.SortFunc(out, func(a, b *jetstream.RawStreamMsg) int { return int(int64(a.Sequence) - int64(b.Sequence)) })
	return out, err
}

var (
	errNoMultiGet = errors.New("the broker cannot give several messages at once")
	errTooMany    = errors.New("more subjects than the broker gives at once")
)

const (
	maxMultiGet = 1024 // subjects; the server's
	getsAtOnce  = 16
	// multiGetWait bounds the wait for the next message of an answer. Keys that were made for
	// a guest before answers of several messages were let through give the first alone.
	multiGetWait = time.Second
)

// cutShort are the connections on which an answer broke off: their account may let through but
// the first message of one, and each further try would cost a wait.
var cutShort = cuts{of: map[*nats.Conn]cut{}}

// cuts are rests of connections from requests for several messages. A broker that was slow for a
// moment looks the same as an account that lets nothing through, so that each rest ends: the
// next answer shows. Rests in a row are each twice as long as the one before.
type cuts struct {
	mu sync.Mutex
	of map[*nats.Conn]cut // guarded by mu
}

type cut struct {
	rest  time.Duration
	until time.Time // the end of it
}

const (
	firstCut   = 2 * time.Second
	longestCut = 10 * time.Minute
)

// rests reports whether the connection is spared such requests.
func (c *cuts) rests(nc *nats.Conn, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return now.Before(c.of[nc].until)
}

// broke: an answer broke off.
func (c *cuts) broke(nc *nats.Conn, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.DeleteFunc(c.of, func(nc *nats.Conn, _ cut) bool { return nc.IsClosed() })
	rest := min(max(firstCut, 2*c.of[nc].rest), longestCut)
	c.of[nc] = cut{rest, now.Add(rest)}
}

// whole: an answer of several messages came to its end.
func (c *cuts) whole(nc *nats.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.of, nc)
}

// withinAPITimeout bounds a request whose context has no deadline.
func withinAPITimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, APITimeout)
}

// hasMultiGet reports whether a broker of a version, "2.9.10" say, knows requests for several
// messages. One that does not say its version is tried.
func hasMultiGet(version string) bool {
	var major, minor int
	if n, err := fmt.Sscanf(strings.TrimPrefix(version, "v"), "%d.%d", &major, &minor); n < 2 || err != nil {
		return true
	}
	return major > 2 || major == 2 && minor >= 11
}

// multiGet asks for all at once; again, where the broker ends its answer early for its size.
// It returns errNoMultiGet or errTooMany where that cannot be, which may also be for want
// of the stream.
func multiGet(ctx context.Context, nc *nats.Conn, stream string, filters []string) ([]*jetstream.RawStreamMsg, error) {
	var out []*jetstream.RawStreamMsg
	req := multiGetRequest{MultiLast: filters}
	for {
		some, more, err := req.ask(ctx, nc, stream)
		if err != nil {
			return nil, err
		}
		out = append(out, some...)
		if !more.left || len(some) == 0 {
			return out, nil
		}
		req.Seq, req.UpTo = some[len(some)-1].Sequence+1, more.upTo
	}
}

// multiGetRequest asks for the last messages under some subjects, from one sequence up to another.
type multiGetRequest struct {
	MultiLast []string `json:"multi_last"`
	Seq       uint64   `json:"seq,omitempty"`
	UpTo      uint64   `json:"up_to_seq,omitempty"`
}

// moreToGet says whether an answer is only the first part, of what was there up to a sequence.
type moreToGet struct {
	left bool
	upTo uint64
}

func (r multiGetRequest) ask(ctx context.Context, nc *nats.Conn, stream string) (out []*jetstream.RawStreamMsg, more moreToGet, err error) {
	body, err := json.Marshal(r)
	if err != nil {
		return nil, more, err
	}
	inbox := nc.NewInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		return nil, more, err
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only on a closed connection
	if err := nc.PublishRequest("$JS.API.DIRECT.GET."+stream, inbox, body); err != nil {
		return nil, more, err
	}
	for {
		wait, cancel := context.WithTimeout(ctx, multiGetWait)
		m, err := sub.NextMsgWithContext(wait)
		cancel()
		if errors.Is(err, nats.ErrNoResponders) || ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) && nc.IsConnected() {
			if len(out) > 0 {
				cutShort.broke(nc, time.Now())
			}
			return nil, more, errNoMultiGet
		}
		if err != nil {
			return nil, more, err
		}
		if last(m.Header, jetstream.SequenceHeader) == "" { // no message of the stream's
			switch m.Header.Get("Status") {
			case "204": // the end
				if len(out) > 0 {
					cutShort.whole(nc)
				}
				more.left = strings.Trim(m.Header.Get("Nats-Num-Pending"), "0") != ""
				more.upTo, err = strconv.ParseUint(m.Header.Get("Nats-UpTo-Sequence"), 10, 64)
				return out, more, err
			case "404":
				if m.Header.Get("Description") == "No Results" {
					return nil, more, nil
				}
				// One that is listed cannot be read; the others can, one by one.
			case "413":
				return nil, more, errTooMany
			}
			return nil, more, errNoMultiGet // 408 of older brokers
		}
		raw, err := parseDirect(m)
		if err != nil {
			return nil, more, err
		}
		out = append(out, raw)
	}
}

// parseDirect is a message as a stream gives it directly, with where it is in headers.
func parseDirect(m *nats.Msg) (*jetstream.RawStreamMsg, error) {
	seq, err := strconv.ParseUint(last(m.Header, jetstream.SequenceHeader), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("the broker gives a message with sequence %.40q", last(m.Header, jetstream.SequenceHeader))
	}
	at, err := time.Parse(time.RFC3339Nano, last(m.Header, jetstream.TimeStampHeaer))
	if err != nil {
		return nil, fmt.Errorf("the broker gives a message of time %.40q", last(m.Header, jetstream.TimeStampHeaer))
	}
	return &jetstream.RawStreamMsg{Subject: last(m.Header, jetstream.SubjectHeader), Sequence: seq, Header: m.Header, Data: m.Data, Time: at}, nil
}

// last is a header's last value: the broker puts its own behind those of the message, which
// are whatever its sender wrote.
func last(h nats.Header, key string) string {
	if v := h[key]; len(v) > 0 {
		return v[len(v)-1]
	}
	return ""
}

// inGroups asks for as many subjects at once as the broker gives.
func inGroups(ctx context.Context, nc *nats.Conn, stream string, subjects []string) ([]*jetstream.RawStreamMsg, error) {
	var out []*jetstream.RawStreamMsg
	for group := range slices.Chunk(subjects, maxMultiGet) {
		some, err := multiGet(ctx, nc, stream, group)
		if err != nil {
			return nil, err
		}
		out = append(out, some...)
	}
	return out, nil
}

// oneByOne asks for each subject's message.
func oneByOne(ctx context.Context, nc *nats.Conn, stream string, subjects []string) ([]*jetstream.RawStreamMsg, error) {
	var (
		mu  sync.Mutex
		out []*jetstream.RawStreamMsg
	)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(getsAtOnce)
	for _, subject := range subjects {
		g.Go(func() error {
			m, err := getStored(ctx, nc, stream, subject)
			if m == nil || err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			out = append(out, m)
			return nil
		})
	}
	return out, g.Wait()
}

// getStored asks for a subject's last message as JSON, nil where there is none. The client's
// own call asks a stream with AllowDirect directly, and takes what a sender wrote into the
// headers for the broker's.
func getStored(ctx context.Context, nc *nats.Conn, stream, subject string) (*jetstream.RawStreamMsg, error) {
	body, err := json.Marshal(struct {
		LastFor string `json:"last_by_subj"`
	}{subject})
	if err != nil {
		return nil, err
	}
	m, err := nc.RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+stream, body)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Error   *jetstream.APIError `json:"error"`
		Message *struct {
			Subject  string    `json:"subject"`
			Sequence uint64    `json:"seq"`
			Data     []byte    `json:"data"`
			Time     time.Time `json:"time"`
		} `json:"message"`
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return nil, err
	}
	switch {
	case answer.Error != nil && answer.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound:
		return nil, nil
	case answer.Error != nil:
		return nil, answer.Error
	case answer.Message == nil:
		return nil, nil
	}
	got := answer.Message
	return &jetstream.RawStreamMsg{Subject: got.Subject, Sequence: got.Sequence, Data: got.Data, Time: got.Time}, nil
}

// LastToken is the end of a subject, a trainer's or worker's name say.
func LastToken(subject string) string { return subject[strings.LastIndexByte(subject, '.')+1:] }
