package link_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"resslt/batcher/internal/link"
	"resslt/batcher/internal/rig"
)

// The last message of every subject, in order, whatever the broker can do and however many
// they are; and what a sender writes into its message cannot end the answer or move it.
func TestLatest(t *testing.T) {
	rig.EachBroker(t, func(t *testing.T, b *rig.Broker) {
		nc, js := b.Connect(t)
		for _, direct := range []bool{true, false} {
			for _, n := range []int{0, 1, 40, 1500} {
				t.Run(fmt.Sprintf("direct=%v/%d", direct, n), func(t *testing.T) {
					name := fmt.Sprintf("S%v%d", direct, n)
					s, err := js.CreateStream(t.Context(), jetstream.StreamConfig{
						Name: name, Subjects: []string{name + ".>"}, Storage: jetstream.MemoryStorage, MaxMsgsPerSubject: 1, AllowDirect: direct,
					})
					if err != nil {
						t.Fatal(err)
					}
					for range 2 { // the second replaces the first
						for i := range n {
							m := &nats.Msg{Subject: fmt.Sprintf("%s.w.%d", name, i), Header: nats.Header{}}
							m.Header.Set("Status", "204")
							m.Header.Set(jetstream.SequenceHeader, "999999")
							m.Header.Set(jetstream.SubjectHeader, "another")
							if err := nc.PublishMsg(m); err != nil {
								t.Fatal(err)
							}
						}
					}
					if _, err := js.Publish(t.Context(), name+".other", []byte("x")); err != nil {
						t.Fatal(err)
					}
					sent := nc.Stats().OutMsgs
					got, err := link.Latest(t.Context(), js, name, name+".w.*", name+".none.*")
					if err != nil {
						t.Fatal(err)
					}
					asked := nc.Stats().OutMsgs - sent
					if len(got) != n {
						t.Fatalf("%d messages of %d", len(got), n)
					}
					for i, m := range got {
						if want := fmt.Sprintf("%s.w.%d", name, i); m.Subject != want || m.Sequence != uint64(n+i+1) || m.Time.IsZero() {
							t.Fatalf("message %d is %s, sequence %d of %v", i, m.Subject, m.Sequence, m.Time)
						}
					}
					if direct && b.Name != "nats-server" && n <= 1000 && asked != 1 {
						t.Errorf("%d messages sent, to ask for %d", asked, n)
					}
					if _, err := s.Info(t.Context()); err != nil {
						t.Error(err)
					}
				})
			}
		}
		if b.Name == "in-process" {
			large(t, js)
		}
		if _, err := link.Latest(t.Context(), js, "NONE", "a.*"); !errors.Is(err, jetstream.ErrStreamNotFound) {
			t.Errorf("of no stream: %v", err)
		}
	})
}

// large: the broker ends an answer at 64 MiB, and gives the rest when asked again.
func large(t *testing.T, js jetstream.JetStream) {
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: "L", Subjects: []string{"L.*"}, Storage: jetstream.MemoryStorage, MaxMsgsPerSubject: 1, AllowDirect: true,
	}); err != nil {
		t.Fatal(err)
	}
	for i := range 12 {
		if _, err := js.Publish(t.Context(), fmt.Sprintf("L.%d", i), make([]byte, 7<<20)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := link.Latest(t.Context(), js, "L", "L.*")
	if err != nil || len(got) != 12 {
		t.Errorf("%d messages of 12 large ones, %v", len(got), err)
	}
}
