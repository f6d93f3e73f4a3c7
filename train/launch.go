package train

import (
	"time"

	"resslt/schemas/errs"
	"resslt/train/torch"
)

// Launched is a step that was given to the device and need not be done. It is
// freed by Wait.
type Launched struct {
	sum  tally
	want bool          // statistics
	late *torch.Tensor // the sums on the host, kept, filled when seen is done; nil where sum has them
	seen *torch.Event  // behind the whole step
	with *torch.Group  // whose collectives the step waits for
}

// lookEvery is how often a step on the device is looked at: waiting for it in libtorch
// takes a core, and hears of no rank that is gone.
const lookEvery = 50 * time.Microsecond

// Launch is Step without the wait: the loss stays on the device until Wait, and the
// step moves weights and queue whatever it is. On the CPU, where waiting costs
// nothing, only what Wait says comes late.
//
// The views must stay as they are until Wait has returned.
func (l *Learner) Launch(teacher, student []*torch.Tensor, h Hyper) (*Launched, error) {
	out := &Launched{sum: tally{late: true}, want: h.Stats, with: l.config.Group}
	err := torch.Do(func() error {
		if err := l.checkViews(teacher, student); err != nil {
			return err
		}
		defer out.sum.free()
		var err error
		torch.ScopeDo(func() {
			l.stream.Inside(func() {
				if err = l.step(teacher, student, h, &out.sum); err != nil {
					return
				}
				out.late = out.sum.device.To(torch.CPU, torch.Float64, true).Keep()
				out.seen = torch.NewEvent(l.config.Device, false)
				out.seen.Record()
			})
		})
		return err
	})
	if err != nil {
		out.free()
		return nil, err
	}
	return out, nil
}

// Wait waits until the step is done and gives its statistics, zero where Hyper.Stats
// was false. Its error wraps errs.ErrUnavailable where another rank is gone, for
// which the step would wait, and errs.ErrDiverged for a loss that is not finite; then
// this step and all since have moved the state to where no checkpoint should be made.
func (s *Launched) Wait() (Stats, error) {
	err := torch.Do(func() error {
		if err := s.done(); err != nil {
			return err
		}
		return s.sum.read(s.late.Float64s())
	})
	s.free()
	if err != nil || !s.want {
		return Stats{}, err
	}
	return s.sum.stats(), nil
}

// done waits for the step, or for the end of another rank.
func (s *Launched) done() error {
	for !s.seen.Done() {
		if s.with.Gone() {
			s.with.Abort()
			return errs.New("train", "step", "see why the other rank ended, then start all of them again with --resume",
				errs.Because(errs.ErrUnavailable, "another rank is gone"))
		}
		time.Sleep(lookEvery)
	}
	return nil
}

func (s *Launched) free() {
	s.late.Free()
	if s.seen != nil {
		quietly(s.seen.Free)
	}
}

// beside runs the teacher's side on a stream of its own, which forks from the
// current one; what it makes may be read after join.
//
// Its tensors' memory goes back to that stream when they are freed, and is taken
// again only behind the next fork, which comes after all that reads them.
func (l *Learner) beside(fn func()) {
	if l.side == nil {
		fn()
		return
	}
	l.forked.Record()
	l.side.With(func() {
		l.forked.Wait()
		l.apart = true
		ended := false
		defer func() {
			if !ended { // where it is captured, the streams have to meet all the same
				quietly(l.met.Record)
			}
		}()
		fn()
		ended = true
		l.met.Record()
	})
}

// join lets the current stream wait for what beside has made.
func (l *Learner) join() {
	if l.apart {
		l.met.Wait()
		l.apart = false
	}
}

// quietly runs what is to be done after a failure, which is the one to be told: a
// device that is lost fails this too.
func quietly(fn func()) { _ = torch.Do(func() error { fn(); return nil }) }

// openStreams makes the step's streams and events. On the CPU they are nothing. A
// graph cannot be captured on the default stream. The teacher has none of its own
// where there is none, nor where ranks exchange statistics in it: collectives have one
// order.
func (l *Learner) openStreams() {
	dev := l.config.Device
	torch.SetDevice(dev)
	l.timers = &timers{device: dev}
	l.stream = torch.NewStream(dev)
	if dev.Type == torch.DeviceCUDA && l.parts.Teacher && l.config.Group == nil {
		l.side = torch.NewStream(dev)
		l.forked, l.met = torch.NewEvent(dev, false), torch.NewEvent(dev, false)
	}
}

// closeStreams frees events and graphs.
func (l *Learner) closeStreams() {
	if l.timers == nil {
		return
	}
	quietly(func() {
		l.graphs.free()
		l.timers.Free()
		l.forked.Free()
		l.met.Free()
	})
}

// Phases gives the mean time of each phase over the given number of steps, those
// since the last call. It waits for the device.
func (l *Learner) Phases(steps int64) (p Phases, err error) {
	err = torch.Do(func() error {
		torch.Synchronize(l.config.Device)
		sum := l.timers.take()
		p = sum.mean(steps)
		return nil
	})
	return p, err
}

// report packs a pass's loss and description into one (1+n) float64 tensor, so that
// reading them is one copy.
func report(loss, description *torch.Tensor) *torch.Tensor {
	wide := func(t *torch.Tensor) *torch.Tensor { return t.Detach().To(t.Device(), torch.Float64, false) }
	v := torch.Reshape(wide(loss), []int64{1})
	if description == nil {
		return v
	}
	return torch.Cat([]*torch.Tensor{v, wide(description)}, 0)
}

// keep adds a pass's report to the sums on the device. Sums are of float64, so that
// they are those that add makes on the host.
func (t *tally) keep(loss, description *torch.Tensor) {
	was := t.device
	t.device = torch.Scope(func() *torch.Tensor {
		v := report(loss, description)
		if was == nil {
			return v
		}
		return torch.Add(was, v, 1)
	}).Keep()
	was.Free()
	t.passes++
}

// read takes the sums that keep has made.
func (t *tally) read(values []float64) error {
	if !finite(values[0]) {
		return diverged(values[0])
	}
	t.loss, t.sums = values[0], values[1:]
	return nil
}

// free releases the sums on the device.
func (t *tally) free() {
	t.device.Free()
	t.device = nil
}
