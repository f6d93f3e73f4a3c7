package wire

import (
	"resslt/schemas"

	"github.com/nats-io/nats.go"
)

// ChunkMessage is the message of an encoded chunk of a run whose spec has the given digest.
// Where reason is not empty, it is a tombstone: its body is the reason, so that the digest
// covers it.
func ChunkMessage(run, spec string, step int64, chunk int, body []byte, reason, worker string) *nats.Msg {
	if reason != "" {
		body = []byte(reason)
	}
	m := &nats.Msg{
		Subject: schemas.ChunkSubject(run, step, chunk),
		Data:    body,
		Header: nats.Header{
			schemas.HeaderSpec:   []string{spec},
			schemas.HeaderDigest: []string{Digest(body)},
			schemas.HeaderWorker: []string{worker},
		},
	}
	if reason != "" {
		m.Header.Set(schemas.HeaderTombstone, reason)
	}
	return m
}

// HeldMessage is the message of a chunk whose rows are in a held.Store, to which it has no
// digest: the store compares the rows themselves.
func HeldMessage(run, spec string, step int64, chunk int, worker string) *nats.Msg {
	return &nats.Msg{
		Subject: schemas.ChunkSubject(run, step, chunk),
		Header: nats.Header{
			schemas.HeaderSpec:   []string{spec},
			schemas.HeaderHeld:   []string{"1"},
			schemas.HeaderWorker: []string{worker},
		},
	}
}

// IsHeld reports whether a chunk's rows stayed in the process that made them.
func IsHeld(h nats.Header) bool { return h.Get(schemas.HeaderHeld) != "" }

// ReasonText bounds a text from the wire to one line of 1 KiB.
func ReasonText(b []byte) string {
	out := ""
	for len(b) > 0 && len(out) < 1024 {
		n := min(len(b), schemas.MaxReasonBytes)
		out += ReasonLine(string(b[:n]))
		b = b[n:]
	}
	return out
}
