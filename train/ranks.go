package train

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"resslt/schemas"
	"resslt/schemas/errs"
	"resslt/train/recipe"
	"resslt/train/safetensors"
	"resslt/train/torch"
)

// ranks is how the processes of a group agree between steps. There is one mechanism:
// exchange, by which every rank gets a message of each, in order of rank. The other methods
// read the messages: agree that all can do something, same that all hold equal values,
// distinctGPUs that no two hold one.
//
// Each method is a collective, and does nothing with a nil group: every rank comes to them
// in one order, whatever has happened to it, so that none waits for a message that nobody
// sends. A failure within a step has no such place; there a rank ends, and the others with
// it, by the connections that it drops.
type ranks struct {
	group    *torch.Group
	deferred error // of this rank alone, kept until the next agreement
	lost     bool  // the group has failed: nothing is saved, and the GPU is not waited for
}

// exchange gives every rank's message, of one length.
func (r *ranks) exchange(mine []byte) (all [][]byte, err error) {
	err = torch.Do(func() error {
		all = r.group.Exchange(mine)
		return nil
	})
	if err != nil {
		r.abandon()
	}
	return all, err
}

// abandon ends a group that has failed: what waits on the GPU for the other ranks ends.
func (r *ranks) abandon() {
	r.group.Abort()
	r.lost = r.group != nil
}

// deferError keeps an error that this rank alone may have until the next agreement.
func (r *ranks) deferError(err error) error {
	if r.group == nil {
		return err
	}
	if r.deferred == nil {
		r.deferred = err
	}
	return nil
}

// Messages of agree.
const (
	able byte = iota
	interrupted
	unable
)

// ready reports whether every rank can make the next step, err being why this one cannot:
// all make it, or none does. A deferred error comes first. An interrupt of one rank is
// one of all.
func (r *ranks) ready(ctx context.Context, where string, err error) error {
	if r.group == nil {
		return err
	}
	switch {
	case r.deferred != nil:
		err = r.deferred
	case err == nil:
		err = ctx.Err()
	}
	return r.agree("continue", where, err, ctx.Err() != nil)
}

// agree reports whether every rank can do what is asked for, err being why this one cannot.
func (r *ranks) agree(what, where string, err error, stopped bool) error {
	if r.group == nil {
		return err
	}
	mine := able
	switch {
	case err != nil && stopped:
		mine = interrupted
	case err != nil:
		mine = unable
	}
	all, lost := r.exchange([]byte{mine})
	switch {
	case err != nil:
		return err
	case lost != nil:
		return lost
	}
	rank := func(message byte) int {
		return slices.IndexFunc(all, func(m []byte) bool { return m[0] == message })
	}
	if i := rank(unable); i >= 0 {
		return errs.New("train", where, "see why, then start all of them again with --resume",
			errs.Because(errs.ErrUnavailable, fmt.Sprintf("rank %d cannot %s", i, what)))
	}
	if i := rank(interrupted); i >= 0 {
		return errs.New("train", where, "continue with --resume",
			errs.Because(errs.ErrInterrupted, fmt.Sprintf("rank %d was interrupted, checkpoint written", i)))
	}
	return nil
}

// Messages of verdict. Rank 0's is the one that counts.
const (
	undecided byte = iota
	goOn
	end
)

// verdictEvery is how often rank 0 tells the others that it has not decided yet: so often that
// none of them takes it for one that hangs.
const verdictEvery = 200 * time.Millisecond

// verdict has rank 0 judge, which may take longer than a rank may be silent, while the others
// wait for what it finds. judge runs in a goroutine, and ends when rank 0's ctx does.
func (r *ranks) verdict(ctx context.Context, where string, judge func() (bool, error)) (bool, error) {
	if r.group == nil {
		return judge()
	}
	if r.group.Rank() != 0 {
		for {
			all, lost := r.exchange([]byte{undecided})
			if lost != nil {
				return false, lost
			}
			if all[0][0] != undecided {
				return all[0][0] == end, r.agree("judge its score", where, nil, false)
			}
		}
	}
	mine, decided := undecided, make(chan error, 1)
	go func() {
		stops, err := judge()
		if mine = goOn; stops {
			mine = end
		}
		decided <- err
	}()
	var err, lost error
	for waiting := true; waiting; {
		say := undecided
		select {
		case err = <-decided:
			say, waiting = mine, false
		case <-time.After(verdictEvery):
		}
		if lost == nil {
			_, lost = r.exchange([]byte{say})
		}
	}
	if lost != nil {
		return false, lost
	}
	return mine == end, r.agree("judge its score", where, err, ctx.Err() != nil)
}

// fact is a value that every rank should hold.
type fact struct{ name, value string }

// same compares facts over the ranks; the error wraps errs.ErrMismatch and names the ranks
// that differ from rank 0.
func (r *ranks) same(op string, step int64, hint string, facts []fact) error {
	var mine []byte
	for _, f := range facts {
		sum := sha256.Sum256([]byte(f.value))
		mine = append(mine, sum[:]...)
	}
	all, err := r.exchange(mine)
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
			return errs.New(op, fmt.Sprintf("step %d", step), hint,
				errs.Because(errs.ErrMismatch, fmt.Sprintf("rank %s has another %s than rank 0", strings.Join(differ, ", "), f.name)))
		}
	}
	return nil
}

// sameStart compares what the ranks are about to train, and refuses two on one GPU.
func (r *ranks) sameStart(rec *recipe.Recipe, spec *schemas.RunSpec, step int64, dev torch.Device) error {
	if r.group == nil {
		return nil
	}
	common := *rec
	common.Data, common.Teacher, common.Init, common.Threads = "", "", "", 0 // machines differ
	err := r.same("start training", step, "start all ranks with one recipe, data set, --resume and --out", []fact{
		{"batches", spec.Digest()}, {"recipe", string(common.YAML())}, {"step", fmt.Sprint(step)}, {"libtorch", torchVersion()},
	})
	if err != nil || dev.Type != torch.DeviceCUDA {
		return err
	}
	mine, err := gpuIdentity(dev)
	if err != nil {
		return err
	}
	all, err := r.exchange(mine)
	if err != nil {
		return err
	}
	return distinctGPUs(all)
}

// distinctGPUs refuses two ranks on one GPU.
func distinctGPUs(gpus [][]byte) error {
	for r, gpu := range gpus {
		if first := slices.IndexFunc(gpus, func(g []byte) bool { return slices.Equal(g, gpu) }); first < r {
			return errs.New("start training", fmt.Sprintf("rank %d", r), "start as many ranks as there are GPUs, each with its LOCAL_RANK, and set device=cuda without a number",
				errs.Because(errs.ErrUsage, fmt.Sprintf("it has the GPU of rank %d", first)))
		}
	}
	return nil
}

// sameState compares the states of the ranks' learners.
func (r *ranks) sameState(step int64, state []safetensors.Tensor) error {
	if r.group == nil {
		return nil
	}
	parts := []string{"student", "teacher", "keys", "optimizer", "queue", "objective"}
	facts := make([]fact, len(parts))
	var hashing sync.WaitGroup
	for i, part := range parts {
		hashing.Go(func() { facts[i] = fact{part, digestOf(state, part+".")} })
	}
	hashing.Wait()
	return r.same("train", step, "run all ranks on machines of one type, with one libtorch; the newest checkpoint is sound", facts)
}

// gpuIdentity is a digest of which GPU this is: its machine, which of the machine's the
// process is shown, and its number among those.
func gpuIdentity(dev torch.Device) ([]byte, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, errs.New("start training", "the machine's name", "give the machine a hostname", err)
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %q %q %d", host, os.Getenv("CUDA_VISIBLE_DEVICES"), os.Getenv("NVIDIA_VISIBLE_DEVICES"), dev.Index))
	return sum[:], nil
}

// checkRanks reports whether the recipe's batch divides evenly among the ranks.
func checkRanks(batch, accumulate int, n norms, world int) error {
	if batch%(world*accumulate*n.groups) == 0 {
		return nil
	}
	return errs.New("train", fmt.Sprintf("%d ranks", world), "give a batch_size that their number, times accumulate and bn_groups, divides",
		errs.Because(errs.ErrUsage, fmt.Sprintf("batch_size %d does not divide into %d equal micro-batches on each, with %d groups of batch norm", batch, accumulate, n.groups)))
}

// ownDevice is the GPU of a rank where the recipe says "cuda" without a number: the GPU of
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
