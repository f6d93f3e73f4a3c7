package serve

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	"golang.org/x/sys/unix"

	"resslt/batcher/assemble"
	"resslt/cmd/internal/pipeline"
	"resslt/ingest"
	"resslt/schemas"
)

// patience bounds what a test waits for.
const patience = 30 * time.Second

// pictures is a folder of n pictures in two classes, as a data URI.
func pictures(t testing.TB, n int) string {
	t.Helper()
	dir := t.TempDir()
	for i := range n {
		class := filepath.Join(dir, "train", []string{"cats", "dogs"}[i%2])
		if err := os.MkdirAll(class, 0o755); err != nil {
			t.Fatal(err)
		}
		m := image.NewRGBA(image.Rect(0, 0, 24, 20))
		for p := range m.Pix {
			m.Pix[p] = byte(p*(i+3) ^ p>>3)
		}
		m.Set(i%24, i%20, color.White)
		var b bytes.Buffer
		if err := png.Encode(&b, m); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(class, fmt.Sprintf("%03d.png", i)), b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return "folder:" + dir
}

// options are those of a small run: 2 epochs of 5 steps of 8 pictures in two views.
func options(t testing.TB, change func(*Options)) Options {
	t.Helper()
	set := map[string]bool{}
	for _, flag := range []string{"policy", "image-size", "batch-size", "seed", "epochs"} {
		set[flag] = true
	}
	o := Options{
		Data: pictures(t, 43), Policy: "small", ImageSize: 16, BatchSize: 8, Seed: 3, Epochs: 2,
		Given: func(flag string) bool { return set[flag] },
		Set:   []string{"chunk_samples=3"}, Workers: 2, MaxShared: 1 << 30,
		Listen: "unix:" + filepath.Join(t.TempDir(), "s", "door"), Stdin: strings.NewReader(""), Stderr: io.Discard,
	}
	if change != nil {
		change(&o)
	}
	return o
}

// running is a server.
type running struct {
	Ready
	stop  context.CancelFunc
	ended chan error
	token string
}

// start starts a server, and ends it with the test.
func start(t testing.TB, o Options) *running {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	r := &running{stop: stop, ended: make(chan error, 1)}
	out, in := io.Pipe()
	o.Stdout = in
	failed := make(chan error, 1)
	go func() {
		err := Run(ctx, o)
		in.CloseWithError(io.ErrUnexpectedEOF)
		failed <- err
		r.ended <- err
	}()
	t.Cleanup(func() {
		stop()
		if err := <-failed; err != nil {
			t.Errorf("the server ended: %v", err)
		}
	})
	if err := json.NewDecoder(out).Decode(&r.Ready); err != nil {
		t.Fatalf("no ready line: %v", err)
	}
	if r.TokenFile != "" {
		raw, err := os.ReadFile(r.TokenFile)
		if err != nil {
			t.Fatal(err)
		}
		r.token = strings.TrimSpace(string(raw))
	}
	return r
}

// peer is a client.
type peer struct {
	t      testing.TB
	conn   net.Conn
	file   []byte // mapped ring; nil without
	schema []byte
	welcome
	refused *errorFrame
}

// connect connects and says hello.
func connect(t testing.TB, r *running, change func(*hello)) *peer {
	t.Helper()
	scheme, at, _ := strings.Cut(r.Listen, ":")
	network := map[string]string{"unix": "unix", "tcp": "tcp"}[scheme]
	conn, err := net.Dial(network, at)
	if err != nil {
		t.Fatal(err)
	}
	return converse(t, conn, r.token, change)
}

// converse says hello on a connection.
func converse(t testing.TB, conn net.Conn, token string, change func(*hello)) *peer {
	t.Helper()
	p := &peer{t: t, conn: conn}
	t.Cleanup(func() { p.close() })
	h := hello{Protocol: Version, Client: "train", Token: token, From: fromPosition, World: 1, Credits: 3}
	if change != nil {
		change(&h)
	}
	f, err := jsonFrame(frameHello, h)
	if err != nil {
		t.Fatal(err)
	}
	p.write(f)
	k, body, file := p.read()
	if k == frameError {
		p.refused = &errorFrame{}
		p.parse(body, p.refused)
		return p
	}
	if k != frameWelcome {
		t.Fatalf("a frame %v in place of the welcome", k)
	}
	p.parse(body, &p.welcome)
	if p.Shared != nil {
		if p.file, err = unix.Mmap(file, 0, int(p.Shared.Bytes), unix.PROT_READ, unix.MAP_SHARED); err != nil {
			t.Fatal(err)
		}
		unix.Close(file)
	}
	if k, p.schema, _ = p.read(); k != frameSchema {
		t.Fatalf("a frame %v in place of the schema", k)
	}
	return p
}

func (p *peer) parse(body []byte, v any) {
	p.t.Helper()
	if err := json.Unmarshal(body, v); err != nil {
		p.t.Fatalf("%v: %s", err, body)
	}
}

func (p *peer) close() {
	p.conn.Close()
	if p.file != nil {
		_ = unix.Munmap(p.file)
		p.file = nil
	}
}

func (p *peer) write(f []byte) {
	p.t.Helper()
	if _, err := p.conn.Write(f); err != nil {
		p.t.Fatal(err)
	}
}

// read reads a frame, with the descriptor that came with it.
func (p *peer) read() (kind, []byte, int) {
	p.t.Helper()
	k, body, file, err := p.tryRead()
	if err != nil {
		p.t.Fatalf("no frame came: %v", err)
	}
	return k, body, file
}

func (p *peer) tryRead() (kind, []byte, int, error) {
	_ = p.conn.SetReadDeadline(time.Now().Add(patience))
	head, file := make([]byte, headerBytes), -1
	n := 0
	if u, ok := p.conn.(*net.UnixConn); ok {
		oob := make([]byte, unix.CmsgSpace(4))
		var oobn int
		var err error
		if n, oobn, _, _, err = u.ReadMsgUnix(head, oob); err != nil {
			return 0, nil, 0, err
		} else if n == 0 {
			return 0, nil, 0, io.EOF
		}
		if oobn > 0 {
			msgs, err := unix.ParseSocketControlMessage(oob[:oobn])
			if err != nil {
				return 0, nil, 0, err
			}
			fds, err := unix.ParseUnixRights(&msgs[0])
			if err != nil {
				return 0, nil, 0, err
			}
			file = fds[0]
		}
	}
	if _, err := io.ReadFull(p.conn, head[n:]); err != nil {
		return 0, nil, 0, err
	}
	body := make([]byte, binary.LittleEndian.Uint32(head))
	_, err := io.ReadFull(p.conn, body)
	return kind(head[4]), body, file, err
}

// event is what a client sees next: a batch, an event or an error.
type event struct {
	*schemas.Batch
	slot  int64 // of the ring; -1 without
	Event string
	Epoch int64
	Step  int64
	Why   string
	Text  string
	*errorFrame
}

// next reads the next frame.
func (p *peer) next() event {
	p.t.Helper()
	k, body, _ := p.read()
	switch k {
	case frameBatch:
		return event{Batch: p.decode(body), slot: -1}
	case frameSlot:
		at := func(i int) int64 { return int64(binary.LittleEndian.Uint64(body[8*i:])) }
		if at(2)%align != 0 {
			p.t.Errorf("a message at %d", at(2))
		}
		b := p.decode(p.file[at(2) : at(2)+at(3)])
		if b.Step != at(0) {
			p.t.Errorf("the frame says step %d, the batch %d", at(0), b.Step)
		}
		return event{Batch: b, slot: at(1)}
	case frameEvent:
		var e event
		p.parse(body, &e)
		return e
	case frameError:
		e := event{errorFrame: &errorFrame{}}
		p.parse(body, e.errorFrame)
		return e
	}
	p.t.Fatalf("a frame %v", k)
	return event{}
}

// decode has Arrow's own reader read a message; a copy of what it says.
func (p *peer) decode(message []byte) *schemas.Batch {
	p.t.Helper()
	whole := append(append(bytes.Clone(p.schema), message...), 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0)
	r, err := ipc.NewReader(bytes.NewReader(whole))
	if err != nil {
		p.t.Fatal(err)
	}
	defer r.Release()
	if !r.Next() {
		p.t.Fatalf("no batch in the message: %v", r.Err())
	}
	return batchOf(r.Record(), p.Views)
}

// batchOf copies a record.
func batchOf(rec arrow.Record, views []schemas.ViewSpec) *schemas.Batch {
	n := int(rec.NumRows())
	b := &schemas.Batch{Size: n, Views: views, Step: rec.Column(0).(*array.Int64).Value(0), Epoch: rec.Column(1).(*array.Int64).Value(0), Plans: make([][][]byte, len(views))}
	for i := range n {
		if rec.Column(0).(*array.Int64).Value(i) != b.Step || rec.Column(1).(*array.Int64).Value(i) != b.Epoch {
			b.Step = -1
		}
		b.Labels = append(b.Labels, rec.Column(5).(*array.Int32).Value(i))
		b.Samples = append(b.Samples, rec.Column(3).(*array.Int64).Value(i))
		b.Planned = append(b.Planned, rec.Column(4).(*array.Int64).Value(i))
		b.Why = append(b.Why, rec.Column(6).(*array.String).Value(i))
	}
	for v := range views {
		var pixels []byte
		for i := range n {
			pixels = append(pixels, rec.Column(7+2*v).(*array.FixedSizeBinary).Value(i)...)
			b.Plans[v] = append(b.Plans[v], bytes.Clone(rec.Column(8+2*v).(*array.Binary).Value(i)))
		}
		b.Pixels = append(b.Pixels, pixels)
	}
	return b
}

// digest is of all that a batch has, in rows lo to hi of it.
func digest(b *schemas.Batch, lo, hi int) string {
	h := sha256.New()
	fmt.Fprintln(h, b.Step, b.Epoch, b.Samples[lo:hi], b.Labels[lo:hi], b.Planned[lo:hi], b.Why[lo:hi])
	for v, view := range b.Views {
		h.Write(b.Pixels[v][lo*view.Bytes() : hi*view.Bytes()])
		if b.Plans != nil {
			fmt.Fprintln(h, b.Plans[v][lo:hi])
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// calm are the run's batches, made without broker, server and client.
func calm(t testing.TB, o Options) []*schemas.Batch {
	t.Helper()
	p, err := MakePlan(t.Context(), &o)
	if err != nil {
		t.Fatal(err)
	}
	src, err := pipeline.OpenSource(t.Context(), &schemas.RunInfo{Spec: p.Spec, DataURI: p.Data}, nil, ingest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	maker, err := src.NewMaker()
	if err != nil {
		t.Fatal(err)
	}
	defer maker.Close()
	bs, err := assemble.Batches(t.Context(), &p.Spec, src.Order(), maker, 0, int(p.Spec.Steps()))
	if err != nil {
		t.Fatal(err)
	}
	return bs
}

func (p *peer) ack(step int64) { p.t.Helper(); p.write(numbersFrame(frameAck, step)) }

// done acknowledges a batch and releases its slot.
func (p *peer) done(e event) {
	p.t.Helper()
	p.ack(e.Batch.Step)
	if e.slot >= 0 {
		p.write(numbersFrame(frameRelease, e.slot))
	}
}
