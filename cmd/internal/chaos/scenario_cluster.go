package chaos

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"resslt/schemas"
)

var clusterScenarios = []scenario{
	{"node-killed", "three nats-servers, --replicas 3: the one that leads the chunks' stream is killed, and comes back", nodeKilled},
	{"leaders-change", "three nats-servers, --replicas 3: the leaders of all the run's streams step down, three times", leadersChange},
	{"node-stutters", "three nats-servers, --replicas 3: the leader stands still for 0.4 s of every 0.5, as on a slow disk, for 10 s", nodeStutters},
	{"node-cut", "three nats-servers, --replicas 3: a server that does not lead stands still past every time-out, then goes on", nodeCut},
}

func threeNodes(l *layout) {
	l.nodes, l.proxied, l.train = 3, false, []string{"--replicas", "3"}
}

// among plays a run on a cluster: strike gets the leader of the chunks' stream.
func (s *stage) among(ctx context.Context, strike func(context.Context, *farm, *node) error) error {
	return s.play(ctx, threeNodes, func(ctx context.Context, f *farm) error {
		if err := f.reach(ctx, 15); err != nil {
			return err
		}
		leads, err := f.leader(ctx)
		if err != nil {
			return err
		}
		began := time.Now()
		if err := strike(ctx, f, leads); err != nil {
			return err
		}
		if err := f.reach(ctx, 15+3*window); err != nil {
			return err
		}
		s.outcome = fmt.Sprintf("the run goes on; the trainer waits %.1f s at most, equal weights", f.progress.longest(began, time.Now()).Seconds())
		return nil
	})
}

func nodeKilled(ctx context.Context, s *stage) error {
	return s.among(ctx, func(ctx context.Context, f *farm, leads *node) error {
		if err := leads.proc.Kill(); err != nil {
			return err
		}
		if err := f.reach(ctx, 15+2*window); err != nil { // without it
			return err
		}
		return f.startNode(leads)
	})
}

func leadersChange(ctx context.Context, s *stage) error {
	return s.among(ctx, func(ctx context.Context, f *farm, _ *node) error {
		return f.withBroker(ctx, func(js jetstream.JetStream) error {
			for i := range int64(3) {
				for _, stream := range []string{schemas.BatchStream(f.name), schemas.TasksStream(f.name), schemas.CtrlStream(f.name)} {
					if _, err := js.Conn().RequestWithContext(ctx, "$JS.API.STREAM.LEADER.STEPDOWN."+stream, nil); err != nil {
						return err
					}
				}
				if err := f.reach(ctx, 15+(i+1)*window/2); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

func nodeStutters(ctx context.Context, s *stage) error {
	return s.among(ctx, func(ctx context.Context, _ *farm, leads *node) error {
		for range 20 {
			if err := stopFor(ctx, leads, 400*time.Millisecond); err != nil {
				return err
			}
			if err := sleep(ctx, 100*time.Millisecond); err != nil {
				return err
			}
		}
		return nil
	})
}

func nodeCut(ctx context.Context, s *stage) error {
	return s.among(ctx, func(ctx context.Context, f *farm, leads *node) error {
		for _, n := range f.node {
			if n != leads {
				return stopFor(ctx, n, 15*time.Second)
			}
		}
		return nil
	})
}

// stopFor stops a node without ending it.
func stopFor(ctx context.Context, n *node, d time.Duration) error {
	if err := n.proc.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	err := sleep(ctx, d)
	if cerr := n.proc.Signal(syscall.SIGCONT); err == nil {
		err = cerr
	}
	return err
}
