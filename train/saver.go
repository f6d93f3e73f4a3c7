package train

import "resslt/train/safetensors"

// saver writes a run's checkpoints while the next steps are made, one at a time:
//
//	host.begin  the state after a step begins to be copied to the host (hostcopy.go). A
//	            checkpoint that is still being written is waited for: it has the memory
//	write       once the step's loss is known: a goroutine writes tensors, then JSON
//	ended       gives the goroutine's error, and waits for it if asked to
//
// What was promised of a checkpoint holds: it appears whole or not at all, an older one is
// removed when it is there, and what listens to Options.Saving has been told before. Nothing
// else depends on when it is there: a stream counts a step as consumed when it hands its
// batch out, and makes the batches behind the newest checkpoint again for a run that resumes.
type saver struct {
	host    hostCopy
	writing chan error // gives the error of the write in progress, once; nil where there is none
	failed  error      // of the newest checkpoint: it could not be written, or not begun
}

// write begins to write the copy by store; ended joins it.
func (s *saver) write(store func([]safetensors.Tensor) error) {
	done := make(chan error, 1)
	s.writing, s.failed = done, nil
	go func() { done <- store(s.host.tensors) }()
}

// ended gives the error of a checkpoint whose writing has ended since it was asked last, nil
// for none. With wait, it waits for the one that is being written.
func (s *saver) ended(wait bool) error {
	if s.writing == nil {
		return nil
	}
	if wait {
		s.failed = <-s.writing
	} else {
		select {
		case s.failed = <-s.writing:
		default:
			return nil
		}
	}
	s.writing = nil
	return s.failed
}
