package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	batchbroker "resslt/batcher/broker"
	"resslt/batcher/record"
	"resslt/batcher/runs"
	"resslt/cmd/internal/broker"
	"resslt/cmd/internal/cores"
	"resslt/cmd/internal/pipeline"
	"resslt/schemas/errs"
	"resslt/train"
	"resslt/train/torch"
)

// trainOptions are the flags of resslt train.
type trainOptions struct {
	sessionFlags
	transportFlags
	broker  broker.Flags
	run     string
	fresh   bool
	replay  string
	workers int

	groupTimeout time.Duration
}

func newTrainCommand() *cobra.Command {
	o := trainOptions{workers: cores.Count()}
	c := &cobra.Command{
		Use:   "train --nats URL --run NAME",
		Short: "train from a broker, the batches made by augmentd workers elsewhere, or from a record",
		Long: `train consumes a run's batches from a broker. With --replay it takes them from a record:

  stream:RUN      chunks that the broker keeps (train --record stream, record import)
  pixels:FOLDER   views in files (--record pixels, record export); needs no broker and no data
  log:FOLDER      a recipe log: made again from the data by its plans, by workers in this
                  process, or those of the farm where --run is given, each chunk held
                  against the log's digest
  FOLDER          its pixels where it has any, else its log

The weights come out the same. A record fixes what the batches are made of; what only the
trainer uses (temperatures, queue, network, learning rate) may be another.

Started by torchrun, srun or a PyTorchJob, the processes train one model together: each takes
its rows of every batch, rank 0 writes what is written.`,
		Example: `  nats-server -c deploy/nats/dev.conf
  augmentd --nats nats://127.0.0.1:4222
  resslt train --nats nats://127.0.0.1:4222 --run first --recipe quickstart
  resslt train --nats nats://127.0.0.1:4222 --run first --recipe quickstart --trainer sharper --set tau_t=0.03 --out runs/sharper
  resslt train --replay runs/quickstart --out runs/again --set tau_t=0.05
  torchrun --no-python --nproc-per-node 8 resslt train --nats nats://broker:4222 --run big --recipe imagenet --set device=cuda`,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.checkAudit(nil); err != nil {
				return err
			}
			if err := o.findRanks(); err != nil {
				return err
			}
			if o.replay != "" {
				return o.trainReplay(c)
			}
			return o.trainFarm(c, nil)
		},
	}
	o.sessionFlags.register(c)
	o.transportFlags.register(c)
	p := c.Flags()
	o.broker.Register(p, broker.DefaultURL)
	p.DurationVar(&o.groupTimeout, "group-timeout", torch.DefaultGroupTimeout, "with several processes: how long one may be silent before the others stop")
	p.StringVar(&o.run, "run", "", "`name` of the run in the broker (default: the recipe's)")
	p.BoolVar(&o.fresh, "fresh", false, "delete what the broker holds under the run's name, then begin")
	p.StringVar(&o.replay, "replay", "", "train on recorded batches: stream:RUN, pixels:FOLDER, log:FOLDER or FOLDER")
	p.IntVar(&o.workers, "workers", o.workers, "with --replay log: images rendered at once in this process")
	return c
}

// connect reaches the broker as a trainer.
func (o *trainOptions) connect(c *cobra.Command) (jetstream.JetStream, func(), error) {
	stderr := o.ranks.voice(c.ErrOrStderr())
	nc, js, err := o.broker.Connect(c.Context(), "resslt train", batchbroker.RoleTrainer, func(what string) { fmt.Fprintln(stderr, "\n"+what) })
	if err != nil {
		return nil, nil, err
	}
	return js, nc.Close, nil
}

// trainFarm trains on batches that the farm makes; from, if not nil, is the log that they
// are held against.
func (o *trainOptions) trainFarm(c *cobra.Command, from *replay) error {
	ctx := c.Context()
	s, err := openSession(ctx, c, o.sessionFlags, from)
	if err != nil {
		return err
	}
	defer s.close()
	s.limits = o.transportFlags
	if !o.fresh { // the broker may hold more of what the worker made
		if err := refused(s.out); err != nil {
			return err
		}
	}
	if o.run == "" {
		o.run = s.recipe.Name
	}
	if s.trained() && s.ranks.follows() {
		return nil
	}
	if s.trained() && !s.recording.stream {
		return s.evaluateOnly(ctx)
	}
	js, closeBroker, err := o.connect(c)
	if err != nil {
		return err
	}
	defer closeBroker()
	if s.trained() && !o.fresh {
		if sealed, err := isSealed(ctx, js, o.run); err != nil {
			return err
		} else if sealed {
			return s.evaluateOnly(ctx)
		}
	}
	if !s.trained() {
		if err := s.join(ctx); err != nil || s.trained() {
			return err
		}
	}
	var r *runs.Run
	err = s.ranks.inTurn("run "+o.run, func() error {
		if o.fresh && !s.ranks.follows() {
			if err := runs.Delete(ctx, js, o.run); err != nil && !errors.Is(err, errs.ErrNotFound) {
				return err
			}
		}
		r, err = s.open(ctx, js, o.run)
		return err
	})
	if err != nil {
		return err
	}
	res, err := s.train(ctx, r, "the farm: an augmentd must be running that can reach "+s.recipe.Data)
	if err != nil || s.ranks.follows() {
		return err
	}
	workers, err := r.Workers(ctx)
	if err != nil {
		res.Learner.Free()
		return err
	}
	for _, b := range workers { // their beats outlive them: of the whole run
		res.Summary.ChunksRedelivered += b.Redelivered
	}
	return s.conclude(ctx, res)
}

// isSealed says whether the run is a recording that is done.
func isSealed(ctx context.Context, js jetstream.JetStream, name string) (bool, error) {
	run, err := runs.Lookup(ctx, js, name)
	if errors.Is(err, errs.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	stored, err := run.Stored(ctx)
	if errors.Is(err, errs.ErrNotFound) {
		return false, nil
	}
	return err == nil && stored.Sealed(), err
}

// trainReplay trains on recorded batches.
func (o *trainOptions) trainReplay(c *cobra.Command) (err error) {
	kind, place, err := parseReplay(o.replay)
	if err != nil {
		return err
	}
	if o.record == "stream" {
		return errs.New("", "--record stream", "record pixels, or `resslt record import`", errs.Because(errs.ErrUsage, "a replay has no stream of its own"))
	}
	ctx := c.Context()
	var (
		from *replay
		js   jetstream.JetStream // of a replayed stream alone
	)
	if kind == "stream" {
		var closeBroker func()
		if js, closeBroker, err = o.connect(c); err != nil {
			return err
		}
		defer closeBroker()
		if from, err = openStored(ctx, js, place); err != nil {
			return err
		}
	} else {
		if from, err = openReplay(kind, place); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, from.close()) }()
		if path := filepath.Join(place, "recipe.yaml"); !c.Flags().Changed("recipe") && isFile(path) {
			o.recipe = path // the recorded run's own
		}
	}
	if err := o.checkAudit(from); err != nil {
		return err
	}
	if from.log && c.Flags().Changed("run") {
		return o.trainFarm(c, from)
	}
	if from.log && o.ranks != nil {
		return errs.New("", "--replay "+o.replay, "give --run, so that the farm's workers make the batches, or replay pixels",
			errs.Because(errs.ErrUsage, fmt.Sprintf("each of %d processes would make all of the log's batches again", o.ranks.at.World)))
	}
	s, err := openSession(ctx, c, o.sessionFlags, from)
	if err != nil {
		return err
	}
	defer s.close()
	s.limits = o.transportFlags
	if s.trained() {
		if s.ranks.follows() {
			return nil
		}
		return s.evaluateOnly(ctx)
	}
	if err := s.join(ctx); err != nil || s.trained() {
		return err
	}
	if js != nil {
		s.monitor.broker(js)
	}
	var res *train.Result
	if from.log {
		if !c.Flags().Changed("data") {
			s.recipe.Data = from.run.DataURI
		}
		res, _, err = s.trainEmbedded(ctx, o.workers, "")
	} else {
		res, err = s.trainRecorded(ctx, o.replay)
	}
	if err != nil || s.ranks.follows() {
		return err
	}
	return s.conclude(ctx, res)
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// openStored opens what the broker keeps of a run.
func openStored(ctx context.Context, js jetstream.JetStream, name string) (*replay, error) {
	run, err := runs.Lookup(ctx, js, name)
	if err != nil {
		return nil, err
	}
	stored, err := run.Stored(ctx)
	if err != nil {
		return nil, err
	}
	return &replay{run: run.Info, stored: stored}, nil
}

// trainRecorded trains on chunks that are read.
func (s *session) trainRecorded(ctx context.Context, what string) (*train.Result, error) {
	order, err := pipeline.Order(&s.spec)
	if err != nil {
		return nil, err
	}
	from := s.from()
	rec := s.newRecord(order)
	if s.ranks.follows() {
		stream, err := record.ReplayPart(s.replay.source(), from, s.ranks.part(), nil)
		if err != nil {
			return nil, err
		}
		return nil, s.follow(ctx, stream)
	}
	stream, err := record.ReplayPart(s.replay.source(), from, s.ranks.part(), s.recorder(rec))
	if err != nil {
		return nil, err
	}
	return s.consume(ctx, stream, rec, from, what, func(context.Context) error { return nil })
}
