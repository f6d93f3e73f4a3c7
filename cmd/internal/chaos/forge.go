package chaos

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"resslt/schemas"
	"resslt/schemas/errs"
)

// forge replaces a stored chunk by one with other bytes, and issues its task again.
func forge(ctx context.Context, f *farm) error {
	fail := func(err error) error {
		return errs.New("forge chunk of", f.name, "", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	nc, err := nats.Connect("nats://" + f.addr)
	if err != nil {
		return fail(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return fail(err)
	}
	tasks := make(chan *nats.Msg, 256)
	sub, err := nc.ChanSubscribe(schemas.AllTasks(f.name), tasks)
	if err != nil {
		return fail(err)
	}
	defer func() { _ = sub.Unsubscribe() }() // the connection is closed with it
	batches, err := js.Stream(ctx, schemas.BatchStream(f.name))
	if err != nil {
		return fail(err)
	}
	for {
		var task *nats.Msg
		select {
		case task = <-tasks:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		run, step, chunk, err := schemas.ParseStepSubject(task.Subject)
		if err != nil {
			return fail(err)
		}
		done, err := replace(ctx, js, batches, schemas.ChunkSubject(run, step, chunk))
		if err != nil {
			return fail(err)
		}
		if !done {
			continue // already consumed
		}
		again := nats.NewMsg(task.Subject)
		again.Data = task.Data
		for _, key := range []string{schemas.HeaderSpec, schemas.HeaderDigest} {
			if v := task.Header.Get(key); v != "" {
				again.Header.Set(key, v)
			}
		}
		if _, err := js.PublishMsg(ctx, again); err != nil {
			return fail(err)
		}
		f.opts.Log(fmt.Sprintf("%s: forged %s", f.name, again.Subject))
		return nil
	}
}

// replace waits briefly for a chunk and replaces it by one with a changed pixel and a
// matching digest.
func replace(ctx context.Context, js jetstream.JetStream, s jetstream.Stream, subject string) (bool, error) {
	for range 200 {
		have, err := s.GetLastMsgForSubject(ctx, subject)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			if err := sleep(ctx, pollSteps); err != nil {
				return false, err
			}
			continue
		}
		if err != nil {
			return false, err
		}
		if err := s.DeleteMsg(ctx, have.Sequence); err != nil {
			return false, nil // consumed just now
		}
		m := &nats.Msg{Subject: subject, Header: have.Header, Data: append([]byte(nil), have.Data...)}
		m.Data[len(m.Data)/2] ^= 1
		sum := sha256.Sum256(m.Data)
		m.Header.Set(schemas.HeaderDigest, hex.EncodeToString(sum[:]))
		pctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		_, err = js.PublishMsg(pctx, m, jetstream.WithExpectLastSequencePerSubject(0))
		return err == nil, err
	}
	return false, nil
}
