package session

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"

	"resslt/batcher/assemble"
	"resslt/cmd/internal/cores"
	"resslt/train"
)

func TestGroupOfOne(t *testing.T) {
	g := newGroup(&Options{})
	if g.Rank != 0 || g.part() != (assemble.Part{}) || g.cores() != cores.Here() {
		t.Errorf("rank %d, part %+v, %v", g.Rank, g.part(), g.cores())
	}
	bad := errors.New("no run")
	if gone, err := g.join(t.Context(), "cpu", nil); gone || err != nil {
		t.Errorf("join: %v, %v", gone, err)
	}
	if err := g.announce(bad); !errors.Is(err, bad) {
		t.Errorf("announce: %v", err)
	}
	if err := g.leave(); err != nil {
		t.Error(err)
	}
	g.free()
}

func TestGroupHasParts(t *testing.T) {
	g := newGroup(&Options{Rendezvous: &train.Rendezvous{Rank: 1, World: 4, LocalRank: 1, LocalWorld: 2}})
	if g.part() != (assemble.Part{Index: 1, Of: 4}) || g.cores().Count != max(1, cores.Count()/2) {
		t.Errorf("part %+v, %v", g.part(), g.cores())
	}
}

// A rank other than 0 names itself before every line, and prints no result.
func TestConsoleOfRank(t *testing.T) {
	o := smoke(t, "", "")
	var text bytes.Buffer
	o.Stderr = &text
	c, err := newConsole(&o)
	if err != nil {
		t.Fatal(err)
	}
	r := c.ofRank(3)
	r.interject("one\ntwo")
	r.warn(errors.New("three"))
	fmt.Fprint(r.stdout, "a result")
	if want := "rank 3: one\nrank 3: two\nrank 3: warning: three\n"; text.String() != want || r.stdout != io.Discard {
		t.Errorf("%q, want %q", text.String(), want)
	}
}
