package session

import (
	"context"
	"fmt"
	"time"

	"resslt/batcher/assemble"
	"resslt/cmd/internal/cores"
	"resslt/schemas/errs"
	"resslt/train"
	"resslt/train/torch"
)

// group is the processes that train one model together: World of them, of which this is Rank.
// A process by itself is a group of one, for which join and leave do nothing.
type group struct {
	train.Rendezvous
	timeout time.Duration // how long a rank may be silent
	torch   *torch.Group  // nil before join, and of one process
}

func newGroup(o *Options) *group {
	if o.Rendezvous == nil {
		return &group{Rendezvous: train.Rendezvous{World: 1, LocalWorld: 1}}
	}
	return &group{Rendezvous: *o.Rendezvous, timeout: o.GroupTimeout}
}

// cores is this rank's share of the machine's.
func (g *group) cores() cores.Cores { return cores.Here().Share(g.LocalWorld) }

// part is this rank's rows of a batch.
func (g *group) part() assemble.Part {
	if g.World == 1 {
		return assemble.Part{}
	}
	return assemble.Part{Index: g.Rank, Of: g.World}
}

// lookEvery is how often a rank that waits for the others checks whether the run is trained.
const lookEvery = 10 * time.Second

// join waits for the other ranks. It stops waiting, with true, when trained, which may
// be nil, reports that there is nothing left to train: rank 0 does not come then.
func (g *group) join(ctx context.Context, device string, trained func() bool) (done bool, err error) {
	if g.World == 1 {
		return false, nil
	}
	dev, err := torch.ParseDevice(device)
	if err != nil {
		return false, err
	}
	type result struct {
		group *torch.Group
		err   error
	}
	joined := make(chan result, 1)
	go func() { // libtorch's wait cannot be interrupted: it ends with the process if not before
		g, err := g.Join(dev, g.timeout)
		joined <- result{g, err}
	}()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		select {
		case r := <-joined:
			g.torch = r.group
			return false, r.err
		case <-ctx.Done():
			return false, errs.New("join group", fmt.Sprintf("%s:%d", g.Addr, g.Port), "start all of them again",
				errs.Because(errs.ErrInterrupted, fmt.Sprintf("rank %d of %d was waiting for the others", g.Rank, g.World)))
		case <-look.C:
			if trained != nil && trained() {
				return true, nil
			}
		}
	}
}

// announce tells the other ranks whether rank 0 has opened the run, and gives its error.
func (g *group) announce(opened error) error {
	if g.torch == nil {
		return opened
	}
	failed := []byte{0}
	if opened != nil {
		failed[0] = 1
	}
	lost := torch.Do(func() error { g.torch.Exchange(failed); return nil })
	if opened != nil {
		return opened
	}
	return lost
}

// await waits for rank 0's announcement.
func (g *group) await(what string) error {
	var all [][]byte
	if err := torch.Do(func() error { all = g.torch.Exchange([]byte{0}); return nil }); err != nil {
		return err
	}
	if all[0][0] != 0 {
		return errs.New("train", what, "see rank 0's error, then start all of them again", errs.Because(errs.ErrUnavailable, "rank 0 could not open it"))
	}
	return nil
}

// options gives the group to the training loop.
func (g *group) options(o train.Options) train.Options {
	if g.torch != nil {
		o.Group, o.LocalRank = g.torch, g.LocalRank
		o.Keep = nil // a rank has its own rows of a batch alone
	}
	return o
}

// leave ends the group in agreement with the others. free just ends it: the others notice that
// the connections are gone.
func (g *group) leave() error { return g.torch.Leave() }
func (g *group) free()        { g.torch.Free() }
