package chaos

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"resslt/batcher/broker"
	"resslt/cmd/internal/child"
	"resslt/schemas"
	"resslt/schemas/errs"
	"resslt/schemas/freeport"
)

// node is one nats-server of several.
type node struct {
	name, addr string
	route      string // for servers of its cluster
	joint      string // for servers of other clusters, or for leaf nodes
	lives      int
	proc       *child.Process
}

func newNode(name string) (*node, error) {
	n := &node{name: name}
	for _, addr := range []*string{&n.addr, &n.route, &n.joint} {
		var err error
		if *addr, err = freeport.Addr(); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// startCluster starts every node, and waits until they have chosen a leader.
func (f *farm) startCluster(ctx context.Context) error {
	for i := range f.nodes {
		n, err := newNode(fmt.Sprintf("n%d", i))
		if err != nil {
			return err
		}
		f.node = append(f.node, n)
	}
	for _, n := range f.node {
		if err := f.startNode(n); err != nil {
			return err
		}
	}
	f.mu.Lock()
	f.broker = f.node[0].proc
	f.mu.Unlock()
	return f.until(ctx, "the cluster has no leader", func() (bool, error) {
		cctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		nc, js, err := broker.Connect(cctx, broker.ConnectOptions{URL: f.clusterURL(), Name: "chaos"})
		if err != nil {
			return false, nil
		}
		defer nc.Close()
		_, err = js.Stream(cctx, "none")
		return strings.Contains(fmt.Sprint(err), "not found"), nil
	})
}

// startNode starts a node on its store.
func (f *farm) startNode(n *node) error {
	var routes []string
	for _, other := range f.node {
		routes = append(routes, fmt.Sprintf("\"nats://%s\"", other.route))
	}
	conf := filepath.Join(f.dir, n.name+".conf")
	text := fmt.Sprintf("server_name: %s\nlisten: %q\nmax_payload: 8MB\njetstream { store_dir: %q\n max_memory_store: 256MB\n max_file_store: 1GB }\ncluster { name: c\n listen: %q\n routes: [ %s ] }\n%s",
		n.name, n.addr, filepath.Join(f.dir, "store-"+n.name), n.route, strings.Join(routes, ", "), f.gatewayOf(n))
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		return errs.New("write", conf, "choose another --dir", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	n.lives++
	p, err := f.launch("broker-"+n.name, n.lives, f.opts.Server, "-c", conf)
	n.proc = p
	return err
}

func (f *farm) clusterURL() string {
	var urls []string
	for _, n := range f.node {
		urls = append(urls, "nats://"+n.addr)
	}
	return strings.Join(urls, ",")
}

// withBroker connects to the broker or the cluster, directly, for as long as do takes.
func (f *farm) withBroker(ctx context.Context, do func(jetstream.JetStream) error) error {
	url := "nats://" + f.addr
	if f.nodes > 0 {
		url = f.clusterURL()
	}
	nc, js, err := broker.Connect(ctx, broker.ConnectOptions{URL: url, Name: "chaos"})
	if err != nil {
		return err
	}
	defer nc.Close()
	return do(js)
}

// leader is the node that leads the chunks' stream.
func (f *farm) leader(ctx context.Context) (leads *node, err error) {
	err = f.withBroker(ctx, func(js jetstream.JetStream) error {
		s, err := js.Stream(ctx, schemas.BatchStream(f.name))
		if err != nil {
			return err
		}
		info := s.CachedInfo()
		if info.Cluster == nil || len(info.Cluster.Replicas) != f.nodes-1 {
			return wrongf("the chunks are in %v, want %d copies", info.Cluster, f.nodes)
		}
		for _, n := range f.node {
			if n.name == info.Cluster.Leader {
				leads = n
			}
		}
		return nil
	})
	if err == nil && leads == nil {
		err = wrongf("the chunks' stream has no leader")
	}
	return leads, err
}
