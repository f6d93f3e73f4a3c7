package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"resslt/batcher/runs"
	"resslt/batcher/stream"
	"resslt/cmd/internal/cli"
	"resslt/cmd/internal/cores"
	"resslt/cmd/internal/serve"
	"resslt/cmd/internal/supply"
	"resslt/schemas/errs"
)

func newServeCommand() *cobra.Command {
	o := serve.Options{Workers: cores.Count(), BatchSize: 256, MaxShared: 4 << 30}
	var splits []string
	var mean, std, shared string
	c := &cobra.Command{
		Use:   "serve --data URI --policy P --listen ADDRESS",
		Short: "hand batches to a training loop of your own, in Python or anything that reads Arrow",
		Long: `serve is a run without a trainer: it plans, heals and assembles the batches, and hands them
to clients, whole, through a Unix socket and shared memory, or through TCP. Workers of this
process make the batches, or those of a farm with --nats. Clients acknowledge the steps that they
have used; one that was killed goes on where it stopped. Clients of several names each get the
whole stream; the ranks of one client each get their rows.

When clients can connect, one line of JSON on standard output says where. docs/wire.md has the
protocol; the Python package resslt speaks it.`,
		Example: `  resslt serve --data folder:photos --policy imagenet --batch-size 256 --listen unix:/tmp/resslt/photos.sock
  resslt serve --nats nats://broker:4222 --run paired --recipe imagenet --listen tls:0.0.0.0:7070 --listen-cert c.pem --listen-key k.pem`,
		RunE: func(c *cobra.Command, _ []string) error {
			var err error
			if o.Mean, err = parseThree("--mean", mean); err != nil {
				return err
			}
			if o.Std, err = parseThree("--std", std); err != nil {
				return err
			}
			if shared != "" {
				if o.MaxShared, err = parseBytes("--max-shm", shared); err != nil {
					return err
				}
			}
			o.Set = append(o.Set, splits...)
			o.Given, o.Farm = c.Flags().Changed, o.Broker.URL != "" || os.Getenv("NATS_URL") != ""
			o.Token = os.Getenv("RESSLT_TOKEN")
			o.Stdin, o.Stdout, o.Stderr = c.InOrStdin(), c.OutOrStdout(), c.ErrOrStderr()
			if err := serve.Run(c.Context(), o); err != nil || !cli.WasInterrupted(c.Context()) {
				return err
			}
			return errs.New("serve", o.Listen, "start it again: clients go on where they stopped", errs.ErrInterrupted)
		},
	}
	p := c.Flags()
	p.StringVar(&o.Recipe, "recipe", "", "take what is served from an embedded recipe or a YAML `file`")
	data := cli.RegisterData(p, &o.Data, "data `URI`: "+schemeList())
	p.StringArrayVar(&o.Set, "set", nil, "override a recipe field, `key=value`; may be repeated")
	data.RegisterRecipeSplit(p, &splits)
	p.StringVar(&o.Policy, "policy", "", "augmentation `policy`: a preset, or a path ending in .yaml")
	p.IntVar(&o.ImageSize, "image-size", 0, "side of the views in pixels (default the policy's)")
	p.IntVar(&o.BatchSize, "batch-size", o.BatchSize, "images of a batch, over all ranks")
	p.Uint64Var(&o.Seed, "seed", 0, "of the order and of the augmentation")
	p.Int64Var(&o.Epochs, "epochs", 0, "epochs of the run; 0 is a run without end")
	p.StringVar(&o.Order, "order", "global", "of the samples: global, or blocked:shards=8,window=16384")
	p.StringVar(&mean, "mean", "", "`R,G,B` that clients normalise with, of pixels from 0 to 1 (default the data set's where a recipe has it, else ImageNet's)")
	p.StringVar(&std, "std", "", "`R,G,B`, as --mean")

	p.StringVar(&o.Listen, "listen", "", "`address` for clients: unix:PATH, tcp:127.0.0.1:PORT, or tls:HOST:PORT with a certificate")
	p.StringVar(&o.TokenFile, "listen-token-file", "", "`file` with the token that clients give; $RESSLT_TOKEN (default over TCP: one is made)")
	p.StringVar(&o.CertFile, "listen-cert", "", "PEM `file` of this server's certificate")
	p.StringVar(&o.KeyFile, "listen-key", "", "PEM `file` of the certificate's key")
	p.BoolVar(&o.WithParent, "with-parent", false, "end when standard input does: with the process that started this one")
	p.BoolVar(&o.Once, "once", false, "end when the last client has left, after one has")
	p.BoolVar(&o.NoPlans, "no-plans", false, "leave the plans, what was drawn for each view, out of the batches")
	p.StringVar(&shared, "max-shm", "4G", "`bytes` of memory shared with clients, over all of them; 0 for none")

	o.Broker.Register(p, "")
	p.StringVar(&o.Run, "run", "", "`name` of the run in the farm's broker (default: one is made, and the run deleted at the end)")
	p.IntVar(&o.Workers, "workers", o.Workers, "images rendered at once in this process, without --nats")
	p.Int64Var(&o.Window, "window", 0, "`steps` that workers may be ahead (default as many as fit 512 MiB, 5 to 64)")
	p.StringVar((*string)(&o.Storage), "storage", string(runs.StorageMemory), "where the broker keeps the batches that are not taken yet: memory or file")
	cli.Choices(p, storages, "storage")
	registerSharing(p, &o.Priority, &o.MaxWorkers)
	p.DurationVar(&o.Lease, "lease", stream.DefaultLeaseTerm, "how long a client of another server of this run may be silent before ours go on without it")
	p.DurationVar(&o.AckWait, "ack-wait", runs.DefaultAckWait, "how long a worker may be silent before its task is given to another")
	p.DurationVar(&o.BrokerTimeout, "broker-timeout", stream.DefaultBrokerTimeout, "how long the broker may be away before clients get an error")
	p.DurationVar(&o.SleepAfter, "sleep-after", runs.DefaultSleepAfter, "how long the broker keeps the batches of a run without a client")
	p.DurationVar(&o.StallTimeout, "stall-timeout", stream.DefaultStallTimeout, "how long a client waits for a batch before it gets an error")
	p.DurationVar(&o.StoreTimeout, "store-timeout", supply.DefaultStoreTimeout, "how long the data's store may be away before this process's worker ends")
	return c
}

// parseThree reads three numbers, none of "".
func parseThree(flag, s string) ([]float64, error) {
	if s == "" {
		return nil, nil
	}
	var out []float64
	for _, part := range strings.Split(s, ",") {
		x, err := strconv.ParseFloat(strings.TrimSpace(part), 64)
		if err != nil {
			return nil, errs.New("", flag+" "+s, "give three numbers: R,G,B", errs.Because(errs.ErrUsage, fmt.Sprintf("%.40q is no number", part)))
		}
		out = append(out, x)
	}
	return out, nil
}

// parseBytes reads a number of bytes, with k, M or G for powers of 1024.
func parseBytes(flag, s string) (int64, error) {
	digits, shift := s, 0
	for i, unit := range []string{"k", "M", "G"} {
		if d, ok := strings.CutSuffix(s, unit); ok {
			digits, shift = d, 10*(i+1)
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 0 || n > 1<<40>>shift {
		return 0, errs.New("", flag+" "+s, "give bytes, such as 512M or 4G", errs.Because(errs.ErrUsage, "it is no number of bytes up to 1 TiB"))
	}
	return n << shift, nil
}
