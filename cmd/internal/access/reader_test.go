package access

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"resslt/batcher/broker"
	"resslt/batcher/runs"
	"resslt/batcher/stream"
	"resslt/batcher/wire"
	"resslt/batcher/worker"
	"resslt/schemas"
	"resslt/schemas/errs"
	"resslt/schemas/errs/errstest"
)

// loader is the reader of run r in these tests.
var loader = broker.Reader("r", "loader")

// read is a reader's connection: it asks for nothing but what a reader may ask for, and so is
// no broker.Connect.
func (f *farm) read(t *testing.T, by login, tenant string, role broker.Role) *client {
	t.Helper()
	o := f.options(by, tenant, role)
	pem, err := os.ReadFile(o.CA)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	c := &client{}
	opts := []nats.Option{
		nats.Secure(&tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}), nats.CustomInboxPrefix("_INBOX." + string(role)),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.denied = append(c.denied, err.Error())
		}),
	}
	if by == byNKey {
		nkey, err := nats.NkeyOptionFromSeed(o.NKey)
		if err != nil {
			t.Fatal(err)
		}
		opts = append(opts, nkey)
	} else {
		opts = append(opts, nats.UserCredentials(o.Creds))
	}
	if c.nc, err = nats.Connect(f.url, opts...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.nc.Close)
	return c
}

// lease is a reader's note, as docs/wire.md has it.
type lease struct {
	ID      string        `json:"id"`
	Trainer string        `json:"trainer"`
	Term    time.Duration `json:"term"`
	Cursor  int64         `json:"cursor"`
	Window  int64         `json:"window"`
	Reads   bool          `json:"reads"`
	Left    bool          `json:"left"`
	seq     uint64
	at      time.Time // of the last renewal
}

// renew publishes the note in the place of the last one.
func (l *lease) renew(ctx context.Context, c *client) error {
	body, err := json.Marshal(l)
	if err != nil {
		return err
	}
	m, err := c.nc.RequestMsgWithContext(ctx, &nats.Msg{
		Subject: schemas.TrainerSubject("r", l.Trainer), Data: body,
		Header: nats.Header{"Nats-Expected-Last-Subject-Sequence": {strconv.FormatUint(l.seq, 10)}},
	})
	if err != nil {
		return err
	}
	var ack struct {
		Seq   uint64 `json:"seq"`
		Error any    `json:"error"`
	}
	if err := json.Unmarshal(m.Data, &ack); err != nil || ack.Error != nil {
		return fmt.Errorf("lease: %v %w", ack.Error, err)
	}
	l.seq, l.at = ack.Seq, time.Now()
	return nil
}

// last asks for the last message of a subject, nil where there is none. A request is lost where
// the broker sets the stream up again, since a trainer opens the run: then it asks again.
func last(ctx context.Context, c *client, stream, subject string) (*nats.Msg, error) {
	for {
		m, err := c.nc.Request("$JS.API.DIRECT.GET."+stream, []byte(`{"last_by_subj":"`+subject+`"}`), time.Second)
		switch {
		case errors.Is(err, nats.ErrTimeout) && ctx.Err() == nil:
		case err == nil && m.Header.Get("Status") != "":
			return nil, nil
		default:
			return m, err
		}
	}
}

// drink takes all batches of run r by a lease that it has, and gives the digests of their pixels.
func drink(ctx context.Context, c *client, l *lease, spec *schemas.RunSpec) ([]string, error) {
	dec, err := wire.NewDecoder(spec)
	if err != nil {
		return nil, err
	}
	var out []string
	for step := range spec.Steps() {
		sum := sha256.New()
		for v := range spec.Views {
			for index := range spec.Chunks() {
				var m *nats.Msg
				for m == nil {
					if m, err = last(ctx, c, schemas.BatchStream("r"), schemas.ChunkSubject("r", step, index)); err != nil {
						return out, fmt.Errorf("step %d: %w", step, err)
					}
					if m != nil {
						break
					}
					time.Sleep(10 * time.Millisecond) // nothing tells a reader that a chunk has come
					if time.Since(l.at) > l.Term/5 {
						if err := l.renew(ctx, c); err != nil {
							return out, err
						}
					}
				}
				m.Subject = schemas.ChunkSubject("r", step, index)
				chunk, err := dec.Decode(m)
				if err != nil {
					return out, err
				}
				sum.Write(chunk.Pixels[v])
			}
		}
		out = append(out, hex.EncodeToString(sum.Sum(nil)))
		l.Cursor = step + 1
		if err := l.renew(ctx, c); err != nil {
			return out, err
		}
	}
	l.Left = true
	return out, l.renew(ctx, c)
}

// trained trains run r, and gives the digests of the batches' pixels, as drink does.
func trained(t *testing.T, run *runs.Run, workerClient *client) (out []string) {
	t.Helper()
	_, stop := serving(t, workerClient, worker.Options{})
	defer stop()
	s, err := stream.Open(t.Context(), run, inTurn{}, stream.Options{StallTimeout: time.Minute, RepairAfter: 200 * time.Millisecond, Prefetch: 1})
	if err != nil {
		t.Fatal(err)
	}
	for {
		b, err := s.Next(t.Context())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.New()
		for _, p := range b.Pixels {
			sum.Write(p)
		}
		out = append(out, hex.EncodeToString(sum.Sum(nil)))
		b.Release()
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestReader: with a reader's key one drinks a whole run, which waits for it, and does nothing
// else: to its run, to another run, to another tenant.
func TestReader(t *testing.T) {
	for _, tc := range []struct {
		by       login
		separate bool
	}{{byNKey, true}, {byCreds, true}, {byNKey, false}, {byCreds, false}} {
		t.Run(fmt.Sprintf("%s, nats-server %v", tc.by, tc.separate), func(t *testing.T) {
			t.Parallel()
			f := launch(t, tc.by, tc.separate, KeyOptions{Readers: []Reader{{"r", "loader"}}})
			trainer, workerClient := f.connect(t, tc.by, vision, broker.RoleTrainer), f.connect(t, tc.by, vision, broker.RoleWorker)
			run, err := runs.Open(t.Context(), trainer.js, "r", spec(), runs.Options{Window: 2})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := runs.Open(t.Context(), trainer.js, "other", spec(), runs.Options{}); err != nil {
				t.Fatal(err)
			}
			reader := f.read(t, tc.by, vision, loader)
			l := &lease{ID: "mine", Trainer: "loader", Term: 15 * time.Second, Window: 2, Reads: true}
			if err := l.renew(t.Context(), reader); err != nil {
				t.Fatal(err)
			}
			type drunk struct {
				digests []string
				err     error
			}
			got := make(chan drunk, 1)
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			go func() {
				d, err := drink(ctx, reader, l, run.Spec())
				got <- drunk{d, err}
			}()
			want := trained(t, run, workerClient)
			d := <-got
			if d.err != nil || len(want) != 8 || !slices.Equal(d.digests, want) {
				t.Errorf("the reader has %d steps, %v; the trainer %d, or others", len(d.digests), d.err, len(want))
			}
			if no := append(reader.refusals(), trainer.refusals()...); len(no) > 0 {
				t.Errorf("refused: %q", no)
			}
			trainers, err := run.Trainers(t.Context())
			if err != nil || len(trainers) != 2 || trainers[0].Name != "loader" || !trainers[0].Left || trainers[0].Cursor != 8 {
				t.Errorf("leases %+v, %v", trainers, err)
			}

			// It sleeps, where the reader left first: opened again, there is something to harm.
			if _, err := runs.Open(t.Context(), trainer.js, "r", spec(), runs.Options{Window: 2}); err != nil {
				t.Fatal(err)
			}
			before := held(t, trainer)
			refuseAll(t, reader, loader, readerMayNot())
			answersElsewhere(t, reader)
			if after := held(t, trainer); fmt.Sprint(after) != fmt.Sprint(before) {
				t.Errorf("the broker holds\n%v\nwhere it held\n%v", after, before)
			}
			// A reader of the other tenant finds nothing under the same names.
			theirs := f.read(t, tc.by, speech, loader)
			tctx, tcancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer tcancel()
			if m, err := last(tctx, theirs, schemas.CtrlStream("r"), schemas.SpecSubject("r")); err == nil && m != nil {
				t.Errorf("the other tenant's reader has %s", m.Data)
			}
		})
	}
}

// readerMayNot are the subjects by which a reader would do harm, or see what is not its own.
func readerMayNot() []string {
	out := []string{
		schemas.TaskSubject("r", 0, 0), schemas.ChunkSubject("r", 0, 0), schemas.SpecSubject("r"), schemas.OptionsSubject("r"),
		schemas.StopSubject("r"), schemas.WorkerSubject("r", "w"), schemas.TrainerSubject("r", "trainer"), schemas.TrainerSubject("other", "loader"),
		"$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.LIST", "$JS.API.CONSUMER.LIST.BATCH_r", "anything",
		"$JS.API.CONSUMER.CREATE.BATCH_r.mine.b.r.>", "$JS.API.CONSUMER.DURABLE.CREATE.BATCH_r.mine", "$JS.API.CONSUMER.MSG.NEXT.TASKS_r.workers",
		"$JS.API.CONSUMER.DELETE.TASKS_r.workers", "$JS.ACK.TASKS_r.workers.1.1.1.1.0",
	}
	for _, s := range []string{"BATCH_r", "CTRL_r"} {
		for _, api := range []string{"STREAM.MSG.GET.", "STREAM.CREATE.", "STREAM.UPDATE.", "STREAM.DELETE.", "STREAM.PURGE.", "STREAM.MSG.DELETE.", "STREAM.SNAPSHOT.", "CONSUMER.CREATE."} {
			out = append(out, "$JS.API."+api+s)
		}
	}
	for _, s := range []string{"TASKS_r", "BEATS_r", "BATCH_other", "CTRL_other"} {
		out = append(out, "$JS.API.DIRECT.GET."+s, "$JS.API.STREAM.INFO."+s)
	}
	return out
}

// answersElsewhere has the broker answer on subjects that a reader may not publish to.
func answersElsewhere(t *testing.T, c *client) {
	t.Helper()
	for _, reply := range []string{schemas.TaskSubject("r", 0, 2), schemas.OptionsSubject("r"), schemas.TrainerSubject("r", "x"), "$JS.API.STREAM.PURGE.CTRL_r", "$JS.API.STREAM.DELETE.BATCH_r"} {
		if err := c.nc.PublishMsg(&nats.Msg{Subject: "$JS.API.DIRECT.GET.CTRL_r", Reply: reply, Data: []byte(`{"seq": 1}`)}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := last(t.Context(), c, schemas.CtrlStream("r"), schemas.SpecSubject("r")); err != nil { // behind them all
		t.Fatal(err)
	}
}

// TestPythonReader: the reader of docs/wire.md, as it stands there, drinks a whole run by
// nats-py from a locked-down broker.
func TestPythonReader(t *testing.T) {
	python := os.Getenv("RESSLT_INTEROP_PYTHON")
	if python == "" {
		t.Skip("RESSLT_INTEROP_PYTHON names no Python with nats-py and pyarrow: make interop")
	}
	page, err := os.ReadFile("../../../docs/wire.md")
	if err != nil {
		t.Fatal(err)
	}
	_, program, ok := strings.Cut(string(page), "```python\n# reader.py")
	if !ok {
		t.Fatal("docs/wire.md has no reader.py")
	}
	program, _, _ = strings.Cut(program, "\n```")
	script := filepath.Join(t.TempDir(), "reader.py")
	if err := os.WriteFile(script, []byte("# "+program), 0o600); err != nil {
		t.Fatal(err)
	}
	f := launch(t, byNKey, true, KeyOptions{Readers: []Reader{{"r", "loader"}}})
	trainer, workerClient := f.connect(t, byNKey, vision, broker.RoleTrainer), f.connect(t, byNKey, vision, broker.RoleWorker)
	run, err := runs.Open(t.Context(), trainer.js, "r", spec(), runs.Options{Window: 2})
	if err != nil {
		t.Fatal(err)
	}
	o := f.options(byNKey, vision, loader)
	c := exec.CommandContext(t.Context(), python, script, f.url, "r", "loader", o.CA, o.NKey)
	var said bytes.Buffer
	c.Stderr = &said
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "ready" {
		t.Fatalf("it says %q: %v\n%s", lines.Text(), c.Wait(), said.String())
	}
	want := trained(t, run, workerClient)
	var got []string
	for lines.Scan() {
		got = append(got, strings.Fields(lines.Text())[1])
	}
	if err := c.Wait(); err != nil || len(want) != 8 || !slices.Equal(got, want) {
		t.Errorf("%d steps came, %d or others were trained: %v\n%s", len(got), len(want), err, said.String())
	}
	if no := trainer.refusals(); len(no) > 0 {
		t.Errorf("refused: %q", no)
	}
	if o, err := runs.OverviewOf(t.Context(), trainer.js, "r", runs.Brief); err != nil || len(o.Trainers) != 2 || !o.Trainers[0].Left {
		t.Errorf("%+v, %v", o, err)
	}
}

// TestReaderKeys: a reader is named by a run and a trainer of one tenant, and stays when keys
// are made again.
func TestReaderKeys(t *testing.T) {
	dir := t.TempDir()
	for _, o := range []KeyOptions{
		{Dir: dir, Tenants: []string{vision, speech}},
		{Dir: dir, Tenants: []string{vision}, Readers: []Reader{{"r", "loader"}}},
		{Dir: dir},
	} {
		if err := Keys(o); err != nil {
			t.Fatal(err)
		}
	}
	for tenant, want := range map[string]int{vision: 1, speech: 0} {
		found, err := filepath.Glob(filepath.Join(dir, tenant, "reader.r.loader.creds"))
		if err != nil || len(found) != want {
			t.Errorf("%s: %q, %v", tenant, found, err)
		}
	}
	conf, err := os.ReadFile(filepath.Join(dir, "accounts.conf"))
	if err != nil || bytes.Count(conf, []byte("$JS.API.DIRECT.GET.BATCH_r")) < 2 {
		t.Errorf("accounts.conf has no reader: %v", err)
	}
	for _, r := range []Reader{{"r", ""}, {"", "loader"}, {"r.*", "loader"}, {"r", "a b"}} {
		errstest.Want(t, Keys(KeyOptions{Dir: dir, Tenants: []string{vision}, Readers: []Reader{r}}), errs.ErrUsage, "--reader RUN/NAME")
	}
	errstest.Want(t, Keys(KeyOptions{Dir: dir, Readers: []Reader{{"r", "loader"}}}), errs.ErrUsage, "--tenant")
}
