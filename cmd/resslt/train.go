package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"resslt/batcher"
	"resslt/cmd/internal/broker"
	"resslt/schemas"
)

func newTrainCommand() *cobra.Command {
	var f sessionFlags
	var at broker.Flags
	var run string
	var fresh bool
	var limits transportFlags
	c := &cobra.Command{
		Use:   "train --nats URL --run NAME",
		Short: "train from a broker, the batches made by augmentd workers elsewhere",
		Example: `  nats-server -c deploy/nats/dev.conf
  augmentd --nats nats://127.0.0.1:4222
  resslt train --nats nats://127.0.0.1:4222 --run first --recipe quickstart
  resslt train --nats nats://127.0.0.1:4222 --run first --recipe quickstart --trainer sharper --set tau_t=0.03 --out runs/sharper`,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx := c.Context()
			s, err := openSession(ctx, c, f)
			if err != nil {
				return err
			}
			defer s.close()
			s.limits = limits
			if run == "" {
				run = s.recipe.Name
			}
			nc, js, err := at.Connect(ctx, "resslt train", batcher.RoleTrainer, func(what string) { fmt.Fprintln(s.stderr, "\n"+what) })
			if err != nil {
				return err
			}
			defer nc.Close()
			if fresh {
				if err := batcher.DeleteRun(ctx, js, run); err != nil && !errors.Is(err, schemas.ErrNotFound) {
					return err
				}
			}
			r, err := s.open(ctx, js, run)
			if err != nil {
				return err
			}
			before, err := r.Workers(ctx)
			if err != nil {
				return err
			}
			res, err := s.train(ctx, r, "the farm: an augmentd must be running that can reach "+s.recipe.Data)
			if err != nil {
				return err
			}
			after, err := r.Workers(ctx)
			if err != nil {
				res.Learner.Free()
				return err
			}
			for _, b := range batcher.BeatsSince(before, after) {
				res.Summary.ChunksRedelivered += b.Redelivered
			}
			return s.conclude(ctx, res)
		},
	}
	f.register(c)
	limits.register(c)
	p := c.Flags()
	at.Register(p, broker.DefaultURL)
	p.StringVar(&run, "run", "", "`name` of the run in the broker (default: the recipe's)")
	p.BoolVar(&fresh, "fresh", false, "delete what the broker holds under the run's name, then begin")
	return c
}
