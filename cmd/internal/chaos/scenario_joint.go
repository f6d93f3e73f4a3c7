package chaos

import (
	"context"
	"fmt"
	"time"
)

var jointScenarios = []scenario{
	{"leaf-node", "the workers are behind a leaf node, which is killed and comes back", leafNode},
	{"super-cluster", "three nats-servers, --replicas 3, and the workers in a cluster of their own, joined by gateways; their server is killed and comes back", superCluster},
}

func leafNode(ctx context.Context, s *stage) error {
	return s.joined(ctx, func(l *layout) { l.proxied, l.remote, l.server = false, leaf, "domain: "+domain })
}

func superCluster(ctx context.Context, s *stage) error {
	return s.joined(ctx, func(l *layout) { threeNodes(l); l.remote = gateway })
}

// joined plays a run whose workers have a server of their own, and kills that.
func (s *stage) joined(ctx context.Context, change func(*layout)) error {
	return s.play(ctx, change, func(ctx context.Context, f *farm) error {
		if err := f.reach(ctx, 15); err != nil {
			return err
		}
		began := time.Now()
		if err := f.far.proc.Kill(); err != nil {
			return err
		}
		if err := sleep(ctx, 2*ackWait); err != nil { // tasks that were out are given to nobody meanwhile
			return err
		}
		if err := f.startFar(ctx); err != nil {
			return err
		}
		up := time.Now()
		if err := f.reach(ctx, 15+3*window); err != nil {
			return err
		}
		s.outcome = fmt.Sprintf("the run goes on, and waits %.1f s at most from the kill, the server being away for %.1f s of them; equal weights",
			f.progress.longest(began, time.Now()).Seconds(), up.Sub(began).Seconds())
		return nil
	})
}
