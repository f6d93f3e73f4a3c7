package serve

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"resslt/batcher/assemble"
	"resslt/batcher/stream"
	"resslt/cmd/internal/cli"
	"resslt/cmd/internal/supply"
	"resslt/schemas"
	"resslt/schemas/errs"
)

const (
	helloWait    = 10 * time.Second // until a client has said who it is
	farewellWait = 2 * time.Second  // for the last frame to be taken
	// prefetch is how many batches are held ready beside those that a client has.
	prefetch = 2
)

// Why a connection ends, beside errors.
var (
	errBye  = errors.New("the client said bye")
	errGone = errors.New("the client is gone")
)

// client is a connection.
type client struct {
	*server
	conn   net.Conn
	frames *frameReader
	hello  *hello
	stream supply.Stream
	flow   *flow
	enc    *encoder
	ring   *ring // nil: batches go through the connection
	lo     int   // first row of a batch

	writing sync.Mutex // held for whole frames
	broken  bool       // a frame was cut off; guarded by writing
}

// handle serves a connection to its end.
func (s *server) handle(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	c := &client{server: s, conn: conn, frames: &frameReader{from: bufio.NewReader(conn)}}
	if !s.enter() {
		c.farewell(&refusal{"busy", errs.New("serve", "", "end some of the clients", errs.Because(errs.ErrUnavailable, fmt.Sprintf("it has %d clients, and takes no more", maxClients)))})
		return
	}
	err := c.serve(ctx)
	s.leave(errors.Is(err, errBye))
	switch {
	case errors.Is(err, errBye), errors.Is(err, errGone):
	case errors.Is(context.Cause(ctx), context.Canceled):
		c.stop()
	default:
		c.farewell(err)
		s.say("client " + c.name() + ": " + cli.Line(err))
	}
}

func (c *client) name() string {
	if c.hello == nil {
		return "unknown"
	}
	return fmt.Sprintf("%.80q", c.hello.trainer())
}

// serve greets the client and hands out batches until the connection ends; the error says why.
func (c *client) serve(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() { _ = c.conn.SetDeadline(time.Now().Add(farewellWait)) })()
	if err := c.greet(); err != nil {
		return err
	}
	give, err := c.take(ctx, c.hello)
	if err != nil {
		return err
	}
	defer give()
	from, err := c.position(ctx)
	if err != nil {
		return err
	}
	return c.consume(ctx, from)
}

// greet reads the hello, and checks it.
func (c *client) greet() error {
	_ = c.conn.SetReadDeadline(time.Now().Add(helloWait)) // fails only on a closed connection
	f, err := c.frames.next()
	if err != nil {
		var r *refusal
		if errors.As(err, &r) {
			return err
		}
		return errGone
	}
	_ = c.conn.SetReadDeadline(time.Time{}) // as above
	h, err := parseHello(f)
	if err != nil {
		return err
	}
	if err := admit(h.Token, c.door.token); err != nil {
		return err
	}
	c.hello = h
	return h.check(&c.plan.Spec, c.digest)
}

// position is the first step that the client wants: the one that it names, or the first that not
// all of its ranks have acknowledged.
func (c *client) position(ctx context.Context) (int64, error) {
	if c.hello.From != fromPosition {
		return c.hello.From, nil
	}
	least := c.plan.Spec.Steps()
	for rank := range c.hello.World {
		at, err := c.supply.Run().Cursor(ctx, assemble.Part{Index: rank}.Trainer(c.hello.Client))
		if errors.Is(err, errs.ErrNotFound) {
			return 0, nil
		}
		if err != nil {
			return 0, err
		}
		least = min(least, at)
	}
	return least, nil
}

// consume opens the client's stream and hands it out.
func (c *client) consume(ctx context.Context, from int64) (err error) {
	lo, hi := c.hello.part().Rows(c.plan.Spec.BatchSize)
	c.lo, c.enc = lo, &encoder{layout: newLayout(c.plan.Spec.Views, hi-lo)}
	if int64(c.enc.most) > maxFrame {
		return errs.New("serve", fmt.Sprintf("batches of up to %d bytes", c.enc.most), "lower the batch size, or have more ranks",
			errs.Because(errs.ErrTooLarge, fmt.Sprintf("a frame has at most %d", int64(maxFrame))))
	}
	if err := c.openRing(); err != nil {
		return err
	}
	if c.ring != nil {
		bytes := int64(len(c.ring.memory))
		defer func() { // after the stream, which assembles in it
			err = errors.Join(err, c.ring.close())
			c.unreserve(bytes)
		}()
	}
	o := stream.Options{
		From: from, Trainer: c.hello.trainer(), Part: c.hello.part(), LeaseTerm: c.opts.Lease, Prefetch: prefetch,
		BrokerTimeout: c.opts.BrokerTimeout, StallTimeout: c.opts.StallTimeout, Acked: true, Plans: !c.opts.NoPlans,
	}
	if c.ring != nil {
		o.Room = c.ring
	}
	if c.stream, err = c.supply.Open(ctx, o); err != nil {
		return err
	}
	defer func() {
		if cerr := c.stream.Close(); cerr != nil {
			c.say("client " + c.name() + ": " + cli.Line(cerr))
		}
	}()
	c.flow = newFlow(from)
	if err := c.welcome(from, lo, hi); err != nil {
		return errGone
	}
	ctx, end := context.WithCancelCause(ctx)
	defer context.AfterFunc(ctx, func() { _ = c.conn.SetWriteDeadline(time.Now().Add(farewellWait)) })()
	listening := make(chan struct{})
	go func() {
		defer close(listening)
		end(c.listen())
	}()
	err = c.send(ctx, from)
	if err == nil { // all is sent: the rest is the client's
		<-ctx.Done()
		err = context.Cause(ctx)
	}
	wait := time.Duration(0)
	if errors.Is(err, errGone) {
		wait = farewellWait // it has closed, perhaps with a bye that is still to be read
	}
	_ = c.conn.SetReadDeadline(time.Now().Add(wait)) // listen returns
	<-listening
	if errors.Is(err, errGone) {
		err = context.Cause(ctx)
	}
	return err
}

// openRing makes a ring where the client can take one and there is room for it.
func (c *client) openRing() error {
	if _, ok := c.conn.(*net.UnixConn); !ok || !c.hello.Shared {
		return nil
	}
	each := slotBytes(c.enc.layout)
	n := c.reserve(each, int(c.hello.Credits)+extraSlots)
	if n == 0 {
		return nil
	}
	ring, err := openRing(c.enc.layout, n)
	if err != nil {
		c.unreserve(each * int64(n))
		if errors.Is(err, errs.ErrUnsupported) {
			return nil
		}
		return err
	}
	c.ring = ring
	return nil
}

// welcome sends the welcome, with the ring, and the schema.
func (c *client) welcome(from int64, lo, hi int) error {
	p := c.plan
	w := welcome{
		Protocol: Version, Version: c.version, Run: c.supply.Run().Name, Digest: c.digest, Spec: p.Spec, PolicyName: p.PolicyName,
		Steps: p.Spec.Steps(), StepsPerEpoch: p.Spec.StepsPerEpoch, Epochs: p.epochs(), BatchSize: p.Spec.BatchSize, Rows: [2]int{lo, hi},
		From: from, Views: p.Spec.Views, Mean: p.Mean, Std: p.Std, Classes: p.Names, NumClasses: p.Classes,
		Samples: p.Spec.Dataset.Samples, Engine: p.Spec.Engine, MaxFrame: max(maxFirstFrames, int64(c.enc.most)),
	}
	if r := c.ring; r != nil {
		w.Shared = &sharedMemory{Bytes: int64(len(r.memory)), Slots: r.slots(), SlotBytes: int64(r.each)}
	}
	f, err := jsonFrame(frameWelcome, w)
	if err != nil {
		return err
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	if c.ring != nil {
		if err := sendFile(c.conn.(*net.UnixConn), f[:headerBytes], c.ring.file); err != nil {
			return err
		}
		f = f[headerBytes:]
	}
	if _, err := c.conn.Write(f); err != nil {
		return err
	}
	_, err = c.conn.Write(append(header(frameSchema, len(c.schema)), c.schema...))
	return err
}

// listen reads what the client sends, until it leaves or sends what it must not.
func (c *client) listen() error {
	for {
		f, err := c.frames.next()
		if err != nil {
			var r *refusal
			if errors.As(err, &r) {
				return err
			}
			return errGone
		}
		switch f.kind {
		case frameAck:
			step, err := f.number()
			if err == nil {
				err = c.flow.ack(step)
			}
			if err != nil {
				return err
			}
			c.stream.Done(step + 1)
		case frameRelease:
			slot, err := f.number()
			if err != nil {
				return err
			}
			if c.ring == nil || !c.ring.release(slot) {
				return protocolError("a release of slot %d, which it does not hold", slot)
			}
		case frameBye:
			return errBye
		default:
			return protocolError("a second hello")
		}
	}
}

// send hands out batches from a step on, then says that it was the last.
func (c *client) send(ctx context.Context, from int64) error {
	credits := min(c.hello.Credits, c.supply.Run().Window())
	spec := &c.plan.Spec
	for step := from; step < spec.Steps(); step++ {
		if err := c.flow.await(ctx, credits); err != nil {
			return err
		}
		b, err := c.next(ctx, step)
		if err != nil {
			return err
		}
		c.flow.send() // before the client can acknowledge it
		if err := c.sendBatch(ctx, b); err != nil {
			return err
		}
		if (step+1)%spec.StepsPerEpoch == 0 {
			if err := c.event(map[string]any{"event": "epoch", "epoch": step / spec.StepsPerEpoch}); err != nil {
				return err
			}
		}
	}
	return c.event(map[string]any{"event": "end"})
}

// next waits for a batch, and tells the client that it does.
func (c *client) next(ctx context.Context, step int64) (*schemas.Batch, error) {
	began, told := time.Now(), make(chan struct{})
	ticking, stop := context.WithCancel(ctx)
	go func() {
		defer close(told)
		t := time.NewTicker(c.opts.Waiting)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				why := c.stream.Lacks(ticking)
				// Where it cannot be written, the reader finds out.
				_ = c.event(map[string]any{"event": "waiting", "step": step, "seconds": int(time.Since(began).Seconds()), "why": why})
			case <-ticking.Done():
				return
			}
		}
	}()
	b, err := c.stream.Next(ctx)
	stop()
	<-told
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return b, err
}

// sendBatch hands a batch to the client, and releases it: at once, or when the client releases
// its slot.
func (c *client) sendBatch(ctx context.Context, b *schemas.Batch) error {
	if c.ring == nil {
		defer b.Release()
		parts, n := c.enc.parts(b, c.lo)
		return c.write(ctx, append(net.Buffers{header(frameBatch, n)}, parts...))
	}
	slot, copied := c.ring.slotOf(b.Pixels), false
	if slot < 0 {
		// Assembled elsewhere: a loop holds its last batch while it asks for the next, so that to
		// wait for the spare, which may be that batch's, could be without end.
		if slot, copied = c.ring.takeSpare(); !copied {
			defer b.Release()
			parts, n := c.enc.parts(b, c.lo)
			return c.write(ctx, append(net.Buffers{header(frameBatch, n)}, parts...))
		}
	}
	n := c.enc.into(c.ring.slot(slot), b, c.lo, copied)
	step := b.Step
	if copied {
		b.Release()
		b = nil
	}
	c.ring.hand(slot, b)
	return c.write(ctx, net.Buffers{numbersFrame(frameSlot, step, int64(slot), int64(slot)*int64(c.ring.each), int64(n))})
}

// write writes a whole frame. Where the client does not read, it waits; what ends the wait is
// the connection's end, or the server's.
func (c *client) write(ctx context.Context, parts net.Buffers) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	if c.broken {
		return errGone
	}
	if _, err := parts.WriteTo(c.conn); err != nil {
		c.broken = true
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return errGone
	}
	return nil
}

// event tells the client what happened.
func (c *client) event(what map[string]any) error {
	f, err := jsonFrame(frameEvent, what)
	if err != nil {
		return err
	}
	return c.write(context.Background(), net.Buffers{f})
}

// stop tells the client that the server ends. What cannot be written it sees as an end.
func (c *client) stop() {
	_ = c.conn.SetDeadline(time.Now().Add(farewellWait)) // fails only on a closed connection
	_ = c.event(map[string]any{"event": "stopping", "text": "the server was asked to stop; connect again when it is back"})
}

// farewell sends an error as the connection's last frame, and waits a moment until the client has
// taken it: bytes of the client's that nobody has read would have the system drop it.
func (c *client) farewell(err error) {
	_ = c.conn.SetDeadline(time.Now().Add(farewellWait)) // as below
	f, jerr := jsonFrame(frameError, describe(err))
	if jerr != nil {
		return
	}
	if c.write(context.Background(), net.Buffers{f}) != nil {
		return
	}
	if half, ok := c.conn.(interface{ CloseWrite() error }); ok {
		if half.CloseWrite() == nil {
			_, _ = io.CopyN(io.Discard, c.conn, maxClientFrame) // until the client closes
		}
	}
}
