package worker

import (
	"context"
	"testing"

	"resslt/batcher/internal/fixture"
	"resslt/batcher/produce"
	"resslt/batcher/runs"
	"resslt/batcher/wire"
	"resslt/schemas"
)

// slowSource is a source whose first maker takes until told to close.
type slowSource struct {
	release chan struct{}
	events  chan string
	makers  int
}

func (s *slowSource) Order() wire.Order { return nil }
func (s *slowSource) Close() error      { s.events <- "source"; return nil }
func (s *slowSource) NewMaker() (produce.Maker, error) {
	s.makers++
	return &slowMaker{s, s.makers == 1}, nil
}

type slowMaker struct {
	s    *slowSource
	slow bool
}

func (m *slowMaker) Make(context.Context, wire.TaskRow, [][]byte, [][]byte) (produce.Made, error) {
	return produce.Made{}, nil
}

func (m *slowMaker) Close() error {
	if m.slow {
		<-m.s.release
	}
	m.s.events <- "maker"
	return nil
}

// A source is closed after the last of its makers, in whatever order benches come back, and
// however long a maker takes; and it is closed once.
func TestSourceClosesAfterItsMakers(t *testing.T) {
	for _, tc := range []struct {
		name  string
		early []int // benches that are put back before the data are closed
		late  []int // and after
	}{
		{"both are at work", nil, []int{0, 1}},
		{"the slow one is free", []int{0}, []int{1}},
		{"the slow one is at work", []int{1}, []int{0}},
		{"both are free", []int{0, 1}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w, err := New(nil, Options{Open: func(context.Context, *schemas.RunInfo) (produce.Source, error) { return nil, nil }})
			if err != nil {
				t.Fatal(err)
			}
			src := &slowSource{release: make(chan struct{}), events: make(chan string, 8)}
			bh := newBulkhead("r")
			bh.run = &runs.Run{Name: "r", Info: schemas.RunInfo{Spec: fixture.Spec()}}
			ws := newWorkshop(w, bh, src)
			var benches []*bench
			for range 2 {
				b, err := ws.take()
				if err != nil {
					t.Fatal(err)
				}
				benches = append(benches, b)
			}
			for _, i := range tc.early {
				ws.put(benches[i])
			}
			ws.close()
			for _, i := range tc.late {
				ws.put(benches[i])
			}
			if len(tc.early) < 2 { // else one goroutine closes both, the slow one first
				if got := <-src.events; got != "maker" {
					t.Errorf("the %s was closed first", got)
				}
			}
			ws.close() // a second time changes nothing
			close(src.release)
			if n := w.crew.wait(hangWait); n != 0 {
				t.Fatalf("%d goroutines are left", n)
			}
			close(src.events)
			last := ""
			count := 0
			for got := range src.events {
				last = got
				count++
			}
			want := 2
			if len(tc.early) == 2 {
				want = 3
			}
			if last != "source" || count != want {
				t.Errorf("%d closings at the end, the last of the %s", count, last)
			}
		})
	}
}
