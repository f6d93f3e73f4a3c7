package train

import "resslt/train/torch"

// teacherStream is a CUDA stream for the teacher's side, which then overlaps with the
// student's forward pass. In CUDA's terms it forks from the step's stream and joins it. A
// nil one has no effect: it is nil on the CPU, without a teacher, and where ranks exchange
// statistics in the teacher's forward pass, since collectives have one order.
type teacherStream struct {
	stream       *torch.Stream
	fork, joined *torch.Event // where it leaves the step's stream, and its own end
	open         bool         // it has left the step's stream and not come back
}

func newTeacherStream(device torch.Device) *teacherStream {
	return &teacherStream{
		stream: torch.NewStream(device),
		fork:   torch.NewEvent(device, false), joined: torch.NewEvent(device, false),
	}
}

// run runs fn's work on the teacher's stream, behind what the current stream has now. What
// it makes may be read after join.
//
// Its tensors' memory goes back to that stream when they are freed, and is used again only
// behind the next fork, which comes after all that reads them.
func (s *teacherStream) run(fn func()) {
	if s == nil {
		fn()
		return
	}
	s.fork.Record()
	s.stream.With(func() {
		s.fork.Wait()
		s.open = true
		ended := false
		defer func() {
			if !ended { // where the step is captured, the streams have to join all the same
				quietly(s.joined.Record)
			}
		}()
		fn()
		ended = true
		s.joined.Record()
	})
}

// join lets the current stream wait for what run has put into the teacher's.
func (s *teacherStream) join() {
	if s != nil && s.open {
		s.joined.Wait()
		s.open = false
	}
}

// free releases the events.
func (s *teacherStream) free() {
	if s != nil {
		s.fork.Free()
		s.joined.Free()
	}
}

// quietly runs what has to be done after a failure, which is the one to report: a device
// that is lost fails this too.
func quietly(fn func()) { _ = torch.Do(func() error { fn(); return nil }) }
