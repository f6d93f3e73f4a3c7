package train

import (
	"context"
	"fmt"
	"time"

	"resslt/schemas"
	"resslt/schemas/errs"
	"resslt/train/recipe"
	"resslt/train/torch"
)

// prefetcher brings batches from the stream to the device, through a ring of slots:
//
//	free ─► reader: Stream.Next, pixels into the slot's host buffers ─► ready
//	     ─► next: copies to the device begin, those of later steps too ─► the step
//	     ─► release, when the step's loss has been read ─► free
//
// The reader is a goroutine of its own where batches are prefetched, else next does its
// work. It never asks for a step after the last. A batch that it has taken and nobody
// trained on is lost with the process and nothing else: a run that resumes opens its
// stream at the checkpoint's step, from where the batches are produced again.
//
// Host buffers are pinned where the device is a GPU, and the copies run on a stream of
// their own. On the CPU the step reads the host buffers.
type prefetcher struct {
	stream Stream
	device torch.Device
	timers *timers
	ahead  int
	step   int64 // that the reader asks for next; the reader's
	steps  int64 // of the run

	slots  []*slot
	free   chan *slot    // room for all
	ready  chan *slot    // in order of step; closed by the reader at its end
	staged []*slot       // whose copies have begun, oldest first
	copies *torch.Stream // to the device

	failed error // why the reader ended; read after ready is closed
	broken bool  // the device failed in next: it is not waited for any more
	stop   context.CancelFunc
}

// slot holds one batch. It has one owner at a time: reader, loop or free.
type slot struct {
	batch  *schemas.Batch // not released until its loss has been read, so that it can be kept
	host   []*torch.HostBuffer
	device []*torch.Tensor // (B,S,S,3) uint8 on the device, one a view
	views  views           // of device, by network
	copied *torch.Event    // behind the copies to the device
	took   time.Duration   // of filling host
}

// newPrefetcher makes a ring for a learner's batches of rows samples, from the given step
// on: ahead batches are prefetched, and behind may be held when another is asked for. The
// caller closes it. ctx bounds the reader.
func newPrefetcher(ctx context.Context, l *Learner, stream Stream, spec *schemas.RunSpec, rows int, from int64, ahead, behind int) (*prefetcher, error) {
	p := &prefetcher{stream: stream, device: l.config.Device, timers: l.timers, ahead: ahead, step: from, steps: spec.Steps(), stop: func() {}}
	n := ahead + 1 + behind
	p.free, p.ready = make(chan *slot, n), make(chan *slot, n)
	err := torch.Do(func() error {
		p.copies = torch.NewStream(p.device)
		for range n {
			s := &slot{}
			p.slots = append(p.slots, s)
			p.free <- s
			if err := p.allocate(s, l.config, spec.Views, int64(rows)); err != nil {
				return err
			}
		}
		// The buffers come from the default stream's memory, on which work that has just
		// freed it may still run; the copies have a stream of their own.
		torch.Synchronize(p.device)
		return nil
	})
	if err != nil {
		p.drop(true)
		return nil, err
	}
	if ahead > 0 {
		ctx, p.stop = context.WithCancel(ctx)
		go p.read(ctx) // joined by close
	}
	return p, nil
}

// allocate gives a slot its buffers.
func (p *prefetcher) allocate(s *slot, c Config, views []schemas.ViewSpec, rows int64) error {
	gpu := p.device.Type == torch.DeviceCUDA
	s.copied = torch.NewEvent(p.device, false)
	for _, v := range views {
		host := torch.NewHostBuffer(rows*int64(v.Bytes()), gpu)
		s.host = append(s.host, host)
		size := int64(v.Size)
		x := torch.Reshape(host.Tensor, []int64{rows, size, size, 3})
		if gpu {
			x = torch.Empty(x.Shape(), torch.Uint8, p.device)
		}
		s.device = append(s.device, x.Keep())
	}
	teacher, student, err := recipe.Sides(c.Objective, c.Crops, views)
	for _, i := range teacher {
		s.views.teacher = append(s.views.teacher, s.device[i])
	}
	for _, i := range student {
		s.views.student = append(s.views.student, s.device[i])
	}
	return err
}

// read fills slots until the last step, an error or the end of ctx.
func (p *prefetcher) read(ctx context.Context) {
	defer close(p.ready)
	for p.step < p.steps {
		select {
		case s := <-p.free:
			if p.failed = p.fill(ctx, s); p.failed != nil {
				p.free <- s // there is room for all
				return
			}
			p.ready <- s
		case <-ctx.Done():
			p.failed = ctx.Err()
			return
		}
	}
}

// fill takes the next batch from the stream into the slot's host buffers.
func (p *prefetcher) fill(ctx context.Context, s *slot) error {
	b, err := p.stream.Next(ctx)
	if err != nil {
		return err
	}
	wrong := func(why, hint string) error {
		b.Release()
		return errs.New("train", fmt.Sprintf("step %d", p.step), hint, errs.Because(errs.ErrMismatch, why))
	}
	if b.Step != p.step {
		return wrong(fmt.Sprintf("the stream gave step %d", b.Step), "report this: a stream must keep the order")
	}
	if len(b.Pixels) != len(s.host) {
		return wrong(fmt.Sprintf("the batch has %d views, its run %d", len(b.Pixels), len(s.host)), "report this: a stream must give its run's batches")
	}
	began := time.Now()
	for v, px := range b.Pixels {
		if len(px) != len(s.host[v].Bytes) {
			return wrong(fmt.Sprintf("view %d of the batch has %d bytes, its run's has %d", v, len(px), len(s.host[v].Bytes)), "report this: a stream must give its run's batches")
		}
		copy(s.host[v].Bytes, px)
	}
	s.batch, s.took = b, time.Since(began)
	p.step++
	return nil
}

// next gives the next step's slot, whose pixels are being copied to the device; the
// default stream waits for them. The copies of all later slots that are ready begin too.
// The caller releases the slot. wait is the time for which no batch was ready.
func (p *prefetcher) next(ctx context.Context) (s *slot, wait time.Duration, err error) {
	began := time.Now()
	var fresh []*slot
	if p.ahead == 0 {
		s := <-p.free // the loop holds fewer than there are
		if err := p.fill(ctx, s); err != nil {
			p.free <- s
			return nil, 0, err
		}
		fresh = []*slot{s}
		wait = time.Since(began) - s.took
	} else {
		if fresh, err = p.take(ctx); err != nil {
			return nil, 0, err
		}
		wait = time.Since(began)
	}
	err = torch.Do(func() error {
		p.timers.add(phaseWait, wait)
		for _, s := range fresh {
			p.stage(s)
		}
		s, p.staged = p.staged[0], p.staged[1:]
		s.copied.Wait()
		return nil
	})
	p.broken = err != nil
	return s, wait, err
}

// starved reports whether next would have to wait for a batch. Without a reader nobody
// knows before next has asked.
func (p *prefetcher) starved() bool { return p.ahead > 0 && len(p.staged)+len(p.ready) == 0 }

// take gives the filled slots that are ready; where none is staged it waits for one.
func (p *prefetcher) take(ctx context.Context) (fresh []*slot, err error) {
	for {
		select {
		case s, open := <-p.ready:
			if open {
				fresh = append(fresh, s)
				continue
			}
			if len(p.staged)+len(fresh) == 0 {
				return nil, p.failed
			}
			return fresh, nil
		default:
		}
		if len(p.staged)+len(fresh) > 0 {
			return fresh, nil
		}
		select {
		case s, open := <-p.ready:
			if !open {
				return nil, p.failed
			}
			fresh = append(fresh, s)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// stage begins the copies of a slot to the device. release's caller has waited for whatever
// read its views before.
func (p *prefetcher) stage(s *slot) {
	p.staged = append(p.staged, s)
	if p.device.Type == torch.DeviceCPU {
		p.timers.add(phaseCopy, s.took)
		return
	}
	p.copies.With(func() {
		p.timers.span(phaseCopy, func() {
			torch.ScopeDo(func() {
				for v, x := range s.device {
					torch.Copy_(x, torch.Reshape(s.host[v].Tensor, x.Shape()), true)
				}
			})
		})
		s.copied.Record()
	})
}

// release returns a slot whose step is done, and its batch to the stream.
func (p *prefetcher) release(s *slot) {
	s.batch.Release()
	s.batch = nil
	p.free <- s // there is room for all
}

// close ends the reader and frees the ring, with the batches that it holds. It waits for
// the device to be done with them, unless wait is false: a device may itself be waiting for
// a rank that is gone.
func (p *prefetcher) close(wait bool) {
	p.stop()
	if p.ahead > 0 {
		for range p.ready { // until the reader has closed it
		}
	}
	p.drop(wait)
}

func (p *prefetcher) drop(wait bool) {
	if wait && !p.broken {
		quietly(func() { torch.Synchronize(p.device) })
	}
	for _, s := range p.slots {
		if s.batch != nil {
			s.batch.Release()
			s.batch = nil
		}
		for _, x := range s.device {
			x.Free()
		}
		for _, h := range s.host {
			h.Free()
		}
		quietly(s.copied.Free)
	}
}
