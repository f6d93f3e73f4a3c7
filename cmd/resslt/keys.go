package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"resslt/cmd/internal/access"
)

func newKeysCommand() *cobra.Command {
	var o access.KeyOptions
	var roles bool
	const gib = 1 << 30
	var memory, store int64
	var readers []string
	c := &cobra.Command{
		Use:   "keys --dir DIR --tenant NAME",
		Short: "make certificates, nkeys, credentials and the broker's configuration for them",
		Long: `keys makes what a locked-down broker and its clients need: an authority of its own,
certificates, an account for each tenant with a quota, and a user for each role
(worker, trainer, observer, owner) with the permissions of that role alone: trainer and
owner in that account, the others in accounts that reach it by them. A reader (--reader)
reads one run and holds one lease. Keys and tenants
that are in DIR stay: run it again to add a tenant, or to renew the certificates. deploy/nats/farm.conf includes what it writes.`,
		Example: `  resslt keys --dir deploy/nats/keys --tenant vision --tenant speech --host farm.example
  resslt keys --dir deploy/nats/keys --tenant vision --reader first/loader   # for a training loop of one's own
  nats-server -c deploy/nats/farm.conf
  augmentd --nats tls://farm.example:4222 --tls-ca keys/ca.pem --nkey keys/vision/worker.nk`,
		RunE: func(c *cobra.Command, _ []string) error {
			if roles {
				_, err := fmt.Fprint(c.OutOrStdout(), access.RolesConf())
				return err
			}
			for _, r := range readers {
				run, name, _ := strings.Cut(r, "/")
				o.Readers = append(o.Readers, access.Reader{Run: run, Name: name})
			}
			o.Quota.Memory, o.Quota.Store = memory*gib, store*gib
			return access.Keys(o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.Dir, "dir", "", "`folder` to write; keys that are there stay")
	f.StringVar(&o.At, "at", "", "the folder's `path` as the broker sees it (default: --dir, absolute)")
	f.StringArrayVar(&o.Tenants, "tenant", nil, "`name` of an account; may be repeated")
	f.StringArrayVar(&readers, "reader", nil, "`RUN/NAME`: a key that reads that run of the tenants, and holds a lease on it as the trainer NAME; may be repeated (docs/wire.md)")
	f.StringArrayVar(&o.Hosts, "host", nil, "`name` or address of the broker, for its certificate; may be repeated (default localhost, 127.0.0.1)")
	f.BoolVar(&o.Mutual, "mutual", false, "have the broker require a certificate of clients, too")
	f.DurationVar(&o.Valid, "valid", 0, "how long certificates are valid (default a year)")
	f.Int64Var(&memory, "max-memory", 0, "`GiB` of memory store a tenant (default 8)")
	f.Int64Var(&store, "max-store", 0, "`GiB` of file store a tenant (default 100)")
	f.IntVar(&o.Quota.Connections, "max-connections", 0, "connections of a tenant's workers, and as many of its trainers and of its observers (default 1024)")
	f.IntVar(&o.Quota.Streams, "max-streams", 0, "streams a tenant; a run has four, one that has ended or sleeps one (default 1024)")
	f.BoolVar(&roles, "roles", false, "print only the permissions of the roles")
	return c
}
