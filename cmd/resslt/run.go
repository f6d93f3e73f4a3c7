package main

import (
	"github.com/spf13/cobra"

	"resslt/cmd/internal/session"
	"resslt/cmd/internal/supply"
)

func newRunCommand() *cobra.Command {
	f := sessionFlags{Options: session.Options{Embedded: true}}
	c := &cobra.Command{
		Use:   "run",
		Short: "pre-train and evaluate in one process: workers, broker and trainer together",
		Example: `  resslt run --recipe quickstart
  resslt run --recipe quickstart --data folder:my/images --set image_size=32 --out runs/own
  resslt run --recipe smoke --record pixels --out runs/pixels
  resslt run --recipe cifar10 --data cifar10:data/cifar10 --out runs/c10 --resume
  resslt run --recipe quickstart --init runs/quickstart --set freeze=[stem,layer1] --out runs/on
  resslt run --recipe quickstart --dry-run
  resslt run --recipe cifar10 --listen 127.0.0.1:4222     # augmentd workers may help`,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := session.RefuseRanks("resslt run"); err != nil {
				return err
			}
			return f.run(c)
		},
	}
	f.register(c)
	c.Flags().IntVar(&f.Workers, "workers", 0, "images rendered at once (default one a core; two fewer where the trainer is on a GPU)")
	c.Flags().StringVar(&f.Listen, "listen", "", "`address` where the broker accepts augmentd workers of other processes; its token is NATS_TOKEN where that is set, else a new one (default: none)")
	c.Flags().DurationVar(&f.StoreTimeout, "store-timeout", supply.DefaultStoreTimeout, "how long the data's store may be away before the run saves and stops")
	return c
}
