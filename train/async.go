package train

import (
	"time"

	"resslt/schemas/errs"
	"resslt/train/torch"
)

// PendingStep is a step that was given to the device and may not be done yet. Wait frees
// it.
type PendingStep struct {
	sum   tally
	stats bool          // are wanted
	host  *torch.Tensor // the sums, kept; filled when done is behind the device
	done  *torch.Event  // behind the whole step
	group *torch.Group  // whose collectives the step waits for
}

// pollEvery is how often a step on the device is asked whether it is done: waiting for it
// in libtorch takes a core, and does not see that another rank is gone.
const pollEvery = 50 * time.Microsecond

// StepAsync is Step without the wait: the loss stays on the device until Wait, and the
// step moves weights and queue whatever the loss is. On the CPU, where waiting costs
// nothing, only what Wait returns comes late.
//
// The views must stay as they are until Wait has returned.
func (l *Learner) StepAsync(teacher, student []*torch.Tensor, h Hyper) (*PendingStep, error) {
	v, p := views{teacher, student}, &PendingStep{sum: tally{async: true}, stats: h.Stats, group: l.config.Group}
	err := torch.Do(func() error {
		if err := l.checkStep(v, h); err != nil {
			return err
		}
		defer p.sum.free()
		var err error
		torch.ScopeDo(func() {
			l.stream.Inside(func() {
				if err = l.step(v, h, &p.sum); err != nil {
					return
				}
				// libtorch takes pinned memory for it, from a pool.
				p.host = p.sum.device.To(torch.CPU, torch.Float64, true).Keep()
				p.done = torch.NewEvent(l.config.Device, false)
				p.done.Record()
			})
		})
		return err
	})
	if err != nil {
		p.free()
		return nil, err
	}
	return p, nil
}

// Wait waits until the step is done and gives its statistics, zero where Hyper.Stats was
// false. Its error wraps errs.ErrUnavailable where another rank is gone, for which the
// step would wait forever, and errs.ErrDiverged for a loss that is not finite; then this
// step and all since have moved the state to where no checkpoint should be written.
func (p *PendingStep) Wait() (Stats, error) {
	err := torch.Do(func() error {
		if err := passed(p.done, p.group); err != nil {
			return err
		}
		return p.sum.read(p.host.Float64s())
	})
	p.free()
	if err != nil || !p.stats {
		return Stats{}, err
	}
	return p.sum.stats(), nil
}

// passed waits until the device has passed the event, or for the end of another rank. It
// runs inside torch.Do.
func passed(e *torch.Event, g *torch.Group) error {
	for !e.Done() {
		if g.Gone() {
			g.Abort()
			return errs.New("train", "step", "see why the other rank ended, then start all of them again with --resume",
				errs.Because(errs.ErrUnavailable, "another rank is gone"))
		}
		time.Sleep(pollEvery)
	}
	return nil
}

// isDone reports whether Wait would not have to wait.
func (p *PendingStep) isDone() (done bool, err error) {
	err = torch.Do(func() error { done = p.done.Done() || p.group.Gone(); return nil })
	return done, err
}

func (p *PendingStep) free() {
	p.host.Free()
	if p.done != nil {
		quietly(p.done.Free)
	}
}
