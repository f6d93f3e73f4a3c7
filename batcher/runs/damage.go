package runs

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go/jetstream"

	"resslt/schemas"
)

// DropDamaged deletes a stream that lists messages which it cannot give: the first
// one, or that of subject. It reports whether it did; whoever needs the stream creates it
// again.
//
// After bits flipped in a block of its file store, nats-server 2.9 continues to write
// to that block: it counts and lists what it takes, and finds none of it again. All
// that a run's streams hold can be produced again, so that nothing is lost with them
// that is not lost already.
func (r *Run) DropDamaged(ctx context.Context, name, subject string) (bool, error) {
	damaged, err := r.Damaged(ctx, name, subject)
	if err == nil && damaged {
		err = r.js.DeleteStream(ctx, name)
	}
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return false, nil
	}
	return damaged && err == nil, err
}

// Damaged reports whether the stream lists messages that it cannot give. It looks twice: what is removed between two requests is listed no longer. The
// first message is looked at where messages are small.
func (r *Run) Damaged(ctx context.Context, name, subject string) (bool, error) {
	s, err := r.js.Stream(ctx, name)
	if err != nil {
		return false, err
	}
	unread := func(err error) (bool, error) {
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return true, nil
		}
		return false, err
	}
	var suspect uint64 // sequence by which the first look found the stream wanting
	for range 2 {
		info, err := s.Info(ctx, jetstream.WithSubjectFilter(subject))
		if err != nil {
			return false, err
		}
		st, found := info.State, uint64(0)
		if st.Subjects[subject] > 0 {
			_, err := s.GetLastMsgForSubject(ctx, subject)
			bad, err := unread(err)
			if err != nil {
				return false, err
			}
			if bad {
				found = st.LastSeq
			}
		}
		if found == 0 && st.Msgs > 0 && name != schemas.BatchStream(r.Name) {
			_, err := s.GetMsg(ctx, st.FirstSeq)
			bad, err := unread(err)
			if err != nil {
				return false, err
			}
			if bad {
				found = st.FirstSeq
			}
		}
		if found == 0 || found == suspect {
			return found != 0, nil
		}
		suspect = found
	}
	return false, nil
}
