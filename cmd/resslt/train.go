package main

import (
	"os"

	"github.com/spf13/cobra"

	"resslt/cmd/internal/access"
	"resslt/cmd/internal/cores"
	"resslt/cmd/internal/session"
	"resslt/train"
	"resslt/train/torch"
)

func newTrainCommand() *cobra.Command {
	f := sessionFlags{Options: session.Options{Workers: cores.Count()}}
	c := &cobra.Command{
		Use:   "train --nats URL --run NAME",
		Short: "train from a broker, the batches made by augmentd workers elsewhere, or from a recording",
		Long: `train consumes a run's batches from a broker. With --replay it takes them from a recording:

  stream:RUN      chunks that the broker keeps (train --record stream, record import)
  pixels:FOLDER   views in files (--record pixels, record export); needs no broker and no data
  log:FOLDER      a recipe log: its batches are made again from the data, by workers in this
                  process, or those of the farm where --run is given, and each chunk is
                  checked against the log's digest
  FOLDER          its pixels where it has any, else its log

The weights come out the same. A recording fixes what the batches are made of; what only the
trainer uses (temperatures, queue, network, learning rate) may differ.

Started by torchrun, srun or a PyTorchJob, the processes train one model together: each takes
its rows of every batch, and rank 0 writes the files.`,
		Example: `  nats-server -c deploy/nats/dev.conf
  augmentd --nats nats://127.0.0.1:4222
  resslt train --nats nats://127.0.0.1:4222 --run first --recipe quickstart
  resslt train --nats nats://127.0.0.1:4222 --run first --recipe quickstart --trainer sharper --set tau_t=0.03 --out runs/sharper
  resslt train --replay runs/quickstart --out runs/again --set tau_t=0.05
  torchrun --no-python --nproc-per-node 8 resslt train --nats nats://broker:4222 --run big --recipe imagenet --set device=cuda`,
		RunE: func(c *cobra.Command, _ []string) (err error) {
			if f.Rendezvous, err = train.FromEnvironment(os.LookupEnv); err != nil {
				return err
			}
			return f.run(c)
		},
	}
	f.register(c)
	f.registerTransport(c)
	p := c.Flags()
	f.Broker.Register(p, access.DefaultURL)
	p.DurationVar(&f.GroupTimeout, "group-timeout", torch.DefaultGroupTimeout, "with several processes: how long one may be silent before the others stop")
	p.StringVar(&f.Run, "run", "", "`name` of the run in the broker (default: the recipe's)")
	p.BoolVar(&f.Fresh, "fresh", false, "delete what the broker holds under the run's name, then begin")
	p.StringVar(&f.Replay, "replay", "", "train on recorded batches: stream:RUN, pixels:FOLDER, log:FOLDER or FOLDER")
	p.IntVar(&f.Workers, "workers", f.Workers, "with --replay log: images rendered at once in this process")
	return c
}
