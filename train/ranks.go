package train

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"slices"
	"strings"

	"resslt/schemas/errs"
	"resslt/train/torch"
)

// What the ranks of a group tell each other between steps. Each of these methods is a
// collective of the loop's, and does nothing where it trains alone: every rank comes to
// them in one order, whatever has happened to it, so that none waits for a word that
// nobody says. A step's own failure has no such place; there a rank ends, and the
// others with it, by the connections that it drops.

// Words that a rank says before a step.
const (
	goOn byte = iota
	interrupted
	failed
)

// checkRanks says whether the recipe's batch falls evenly on the ranks.
func checkRanks(batch, accumulate int, n norms, world int) error {
	if batch%(world*accumulate*n.groups) == 0 {
		return nil
	}
	return errs.New("train", fmt.Sprintf("%d ranks", world), "give a batch_size that their number, times accumulate and bn_groups, divides",
		errs.Because(errs.ErrUsage, fmt.Sprintf("batch_size %d does not fall into %d equal micro-batches on each, with %d groups of batch norm", batch, accumulate, n.groups)))
}

// ownDevice is the GPU of a rank where the recipe says "cuda" and no more: the one of
// the rank's number on its machine, or the only one that the process is shown.
func ownDevice(dev torch.Device, recipe string, localRank int) torch.Device {
	if dev.Type != torch.DeviceCUDA || strings.Contains(recipe, ":") {
		return dev
	}
	if info, err := torch.Info(); err != nil || len(info.CUDA) != 1 {
		dev.Index = localRank
	}
	return dev
}

// exchange gives every rank's bytes; a lost group's state is not saved.
func (l *loop) exchange(mine []byte) (all [][]byte, err error) {
	err = torch.Do(func() error {
		all = l.Group.Exchange(mine)
		return nil
	})
	if err != nil {
		l.torn = true
		l.abandon()
	}
	return all, err
}

// abandon gives up a group that has failed: what waits on the GPU for the others ends,
// and nobody waits for the GPU.
func (l *loop) abandon() {
	l.Group.Abort()
	if l.Group != nil && l.feed != nil {
		l.feed.broken = true
	}
}

// carry keeps an error that one rank alone may have until the next agreement.
func (l *loop) carry(err error) error {
	if l.Group == nil {
		return err
	}
	if l.carried == nil {
		l.carried = err
	}
	return nil
}

// agree says whether this rank can make the next step, err being why it cannot, and
// hears the others: all make it, or none does. An interrupt of one is one of all.
func (l *loop) agree(ctx context.Context, err error) error {
	if l.Group == nil {
		return err
	}
	switch {
	case l.carried != nil:
		err = l.carried
	case err == nil:
		err = ctx.Err()
	}
	word := goOn
	switch {
	case err != nil && ctx.Err() != nil:
		word = interrupted
	case err != nil:
		word = failed
	}
	all, lost := l.exchange([]byte{word})
	switch {
	case err != nil:
		return err
	case lost != nil:
		return lost
	}
	where := fmt.Sprintf("step %d of %d", l.step, l.Spec.Steps())
	for rank, said := range all {
		if said[0] == failed {
			return errs.New("train", where, "see why, then start all of them again with --resume",
				errs.Because(errs.ErrUnavailable, fmt.Sprintf("rank %d cannot go on", rank)))
		}
	}
	for rank, said := range all {
		if said[0] == interrupted {
			return errs.New("train", where, "go on with --resume", errs.Because(errs.ErrInterrupted, fmt.Sprintf("rank %d was, checkpoint written", rank)))
		}
	}
	return nil
}

// sameStart holds what the ranks are about to train against each other.
func (l *loop) sameStart() error {
	if l.Group == nil {
		return nil
	}
	r := *l.Recipe
	r.Data, r.Threads = "", 0 // machines differ
	err := l.same("start training", "start all ranks with one recipe, data set, --resume and --out", []fact{
		{"batches", l.Spec.Digest()}, {"recipe", string(r.YAML())}, {"step", fmt.Sprint(l.step)}, {"libtorch", torchVersion()},
	})
	if err != nil || l.learner.config.Device.Type != torch.DeviceCUDA {
		return err
	}
	place, err := placeOf(l.learner.config.Device)
	if err != nil {
		return err
	}
	all, err := l.exchange(place)
	if err != nil {
		return err
	}
	return oneEach(all)
}

// placeOf is a digest of where a GPU is: its machine, which of the machine's the process
// is shown, and its number among those.
func placeOf(dev torch.Device) ([]byte, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, errs.New("start training", "the machine's name", "give the machine a hostname", err)
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %q %q %d", host, os.Getenv("CUDA_VISIBLE_DEVICES"), os.Getenv("NVIDIA_VISIBLE_DEVICES"), dev.Index))
	return sum[:], nil
}

// oneEach refuses two ranks in one place.
func oneEach(places [][]byte) error {
	for r, place := range places {
		if first := slices.IndexFunc(places, func(p []byte) bool { return slices.Equal(p, place) }); first < r {
			return errs.New("start training", fmt.Sprintf("rank %d", r), "start as many ranks as there are GPUs, each with its LOCAL_RANK, and set device=cuda without a number",
				errs.Because(errs.ErrUsage, fmt.Sprintf("it has the GPU of rank %d", first)))
		}
	}
	return nil
}

// sameState holds the ranks' states against each other.
func (l *loop) sameState() error {
	if l.Group == nil {
		return nil
	}
	tensors, err := HostTensors(l.learner.State())
	if err != nil {
		return err
	}
	var facts []fact
	for _, part := range []string{"student", "teacher", "optimizer", "queue"} {
		facts = append(facts, fact{part, digestOf(tensors, part+".")})
	}
	return l.same("train", "run all ranks on machines of one type, with one libtorch; the newest checkpoint is sound", facts)
}

// fact is what every rank should have alike.
type fact struct{ name, value string }

// same compares facts over the ranks; the error wraps errs.ErrMismatch and names
// the ranks that differ from rank 0.
func (l *loop) same(op, hint string, facts []fact) error {
	var mine []byte
	for _, f := range facts {
		sum := sha256.Sum256([]byte(f.value))
		mine = append(mine, sum[:]...)
	}
	all, err := l.exchange(mine)
	if err != nil {
		return err
	}
	for i, f := range facts {
		at := func(r int) []byte { return all[r][i*sha256.Size : (i+1)*sha256.Size] }
		var differ []string
		for r := range all {
			if !slices.Equal(at(r), at(0)) {
				differ = append(differ, fmt.Sprint(r))
			}
		}
		if differ != nil {
			return errs.New(op, fmt.Sprintf("step %d", l.step), hint,
				errs.Because(errs.ErrMismatch, fmt.Sprintf("rank %s has another %s than rank 0", strings.Join(differ, ", "), f.name)))
		}
	}
	return nil
}

// written tells whether rank 0 could write, err being why not; the others wait for it.
func (l *loop) written(err error) error {
	if l.Group == nil {
		return err
	}
	word := goOn
	if err != nil {
		word = failed
	}
	all, lost := l.exchange([]byte{word})
	switch {
	case err != nil:
		return err
	case lost != nil:
		return lost
	case all[0][0] == failed:
		return errs.New("train", fmt.Sprintf("step %d", l.step), "see why, then start all of them again with --resume",
			errs.Because(errs.ErrUnavailable, "rank 0 cannot save"))
	}
	return nil
}
