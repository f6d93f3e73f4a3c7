package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"resslt/batcher/assemble"
	"resslt/cmd/internal/cores"
	"resslt/schemas/errs"
	"resslt/train"
	"resslt/train/torch"
)

// ranks is this process's place among several that train one model; nil is one alone.
// Rank 0 is a session as any other, which takes its rows of the batches; the others
// follow: they train, keep nothing, and say what is wrong where they are.
type ranks struct {
	at      *train.Rendezvous
	timeout time.Duration // how long a rank may be silent
	group   *torch.Group  // set by join
}

// refuseRanks is for verbs that are of one process.
func refuseRanks(verb string) error {
	at, err := train.FromEnvironment(os.LookupEnv)
	if err != nil || at == nil {
		return err
	}
	return errs.New("", verb, "start `resslt train` so, with a broker and workers beside it (docs/parallel.md), or unset WORLD_SIZE, RANK and MASTER_ADDR",
		errs.Because(errs.ErrUsage, fmt.Sprintf("it is one process, and this is rank %d of %d", at.Rank, at.World)))
}

// follows says whether this process is a rank other than 0.
func (r *ranks) follows() bool { return r != nil && r.at.Rank > 0 }

// cores is how many of the machine's are for one rank of it.
func (r *ranks) cores() cores.Cores {
	if r == nil {
		return cores.Here()
	}
	return cores.Here().Share(r.at.LocalWorld)
}

// trainer is the name of this rank's trainer in the run.
func (r *ranks) trainer(name string) string {
	if !r.follows() {
		return name
	}
	return fmt.Sprintf("%s-rank%d", name, r.at.Rank)
}

// part is this rank's rows of a batch.
func (r *ranks) part() assemble.Part {
	if r == nil {
		return assemble.Part{}
	}
	return assemble.Part{Index: r.at.Rank, Of: r.at.World}
}

// lookEvery is how often a rank that waits for the others looks whether there is
// anything left to train.
const lookEvery = 10 * time.Second

// join waits for the others. It may find meanwhile that the run is trained: shared folders
// show files late, and rank 0, which has seen the last checkpoint, evaluates and does not
// come.
func (s *session) join(ctx context.Context) error {
	r := s.ranks
	if r == nil {
		return nil
	}
	dev, err := torch.ParseDevice(s.recipe.Device)
	if err != nil {
		return err
	}
	type joined struct {
		group *torch.Group
		err   error
	}
	came := make(chan joined, 1)
	go func() { // libtorch waits as long as it will: where this does not, it ends with the process
		g, err := r.at.Join(dev, r.timeout)
		came <- joined{g, err}
	}()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		select {
		case j := <-came:
			r.group = j.group
			return j.err
		case <-ctx.Done():
			return errs.New("join group", fmt.Sprintf("%s:%d", r.at.Addr, r.at.Port), "start all of them again",
				errs.Because(errs.ErrInterrupted, fmt.Sprintf("rank %d of %d was waiting for the others", r.at.Rank, r.at.World)))
		case <-look.C:
		}
		if !r.follows() || s.resume == nil {
			continue
		}
		// What cannot be read now may be later.
		if c, _, err := train.LatestCheckpoint(train.CheckpointDir(s.out)); err == nil && c.Step >= s.spec.Steps() {
			s.resume = c
			return nil
		}
	}
}

// of gives the group to the loop.
func (r *ranks) of(o train.Options) train.Options {
	if r != nil {
		o.Group, o.LocalRank = r.group, r.at.LocalRank
	}
	if o.Group != nil {
		o.Keep = nil // what it would keep is not the batch
	}
	return o
}

// leave ends the group in good order.
func (r *ranks) leave() error {
	if r == nil {
		return nil
	}
	return r.group.Leave()
}

// free ends it without a word; the others hear of it by the connections.
func (r *ranks) free() {
	if r != nil {
		r.group.Free()
	}
}

// inTurn runs fn on rank 0, and on the others once it has gone well there.
func (r *ranks) inTurn(what string, fn func() error) error {
	if r == nil || r.group == nil {
		return fn()
	}
	var err error
	if !r.follows() {
		err = fn()
	}
	word := []byte{0}
	if err != nil {
		word[0] = 1
	}
	var all [][]byte
	lost := torch.Do(func() error { all = r.group.Exchange(word); return nil })
	switch {
	case err != nil:
		return err
	case lost != nil:
		return lost
	case all[0][0] != 0:
		return errs.New("train", what, "see why, then start all of them again", errs.Because(errs.ErrUnavailable, "rank 0 could not open it"))
	case r.follows():
		return fn()
	}
	return nil
}

// follow trains on the stream as a rank other than 0, and closes it.
func (s *session) follow(ctx context.Context, stream feed) (err error) {
	defer func() {
		if err != nil {
			s.ranks.free()
		}
		err = errors.Join(err, stream.Close())
	}()
	res, err := train.Run(ctx, s.ranks.of(train.Options{
		Recipe: s.recipe, Spec: &s.spec, Stream: stream, Out: s.out, Resume: s.resume, Notice: s.notice,
	}))
	if err != nil {
		return err
	}
	res.Learner.Free()
	return s.ranks.leave()
}

// voice is where this rank writes what people should read.
func (r *ranks) voice(to io.Writer) io.Writer {
	if !r.follows() {
		return to
	}
	return byRank{r.at.Rank, to}
}

// byRank puts the rank before each line that is written.
type byRank struct {
	rank int
	to   io.Writer
}

func (w byRank) Write(p []byte) (int, error) {
	for line := range bytes.Lines(bytes.TrimLeft(p, "\n")) {
		if _, err := fmt.Fprintf(w.to, "rank %d: %s", w.rank, line); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// findRanks reads the environment.
func (o *trainOptions) findRanks() error {
	at, err := train.FromEnvironment(os.LookupEnv)
	if err != nil || at == nil {
		return err
	}
	if o.groupTimeout < time.Second {
		return errs.New("", "--group-timeout", "give a second or more", errs.ErrUsage)
	}
	o.ranks = &ranks{at: at, timeout: o.groupTimeout}
	return nil
}
