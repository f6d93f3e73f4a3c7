package chaos

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"resslt/schemas/errs"
)

// joint is how a nats-server of the workers' own, without JetStream, is joined to the broker.
type joint string

const (
	leaf    joint = "leaf"    // it is a leaf node of the broker: one connection for all of the workers
	gateway joint = "gateway" // it is a cluster of its own, and with the broker's a super-cluster
)

// domain is the name of the broker's JetStream where it has leaf nodes.
const domain = "hub"

// newFar names the workers' server. It does not start it.
func (f *farm) newFar() (*node, error) { return newNode("far") }

// jointText is what the broker's configuration says of the joint; a cluster has gatewayOf.
func (f *farm) jointText() string {
	if f.remote != leaf {
		return ""
	}
	return fmt.Sprintf("leafnodes { listen: %q }\n", f.far.joint)
}

// gatewayOf is what the configuration of a node of the broker's cluster says of the joint.
func (f *farm) gatewayOf(n *node) string {
	if f.remote != gateway {
		return ""
	}
	return fmt.Sprintf("gateway { name: c\n listen: %q\n gateways: [ { name: far, url: \"nats://%s\" } ] }\n", n.joint, f.far.joint)
}

// startFar starts the workers' server, and waits until it answers.
func (f *farm) startFar(ctx context.Context) error {
	n := f.far
	text := fmt.Sprintf("server_name: %s\nlisten: %q\nmax_payload: 8MB\n", n.name, n.addr)
	switch f.remote {
	case leaf:
		// Requests to JetStream cross a leaf node's connection by the name of a domain alone:
		// the account's default has them named here, and the workers need not know it.
		text += fmt.Sprintf("default_js_domain: { \"$G\": %q }\nleafnodes { remotes: [ { url: \"nats-leaf://%s\" } ]\n reconnect: 1 }\n", domain, n.joint)
	case gateway:
		var urls []string
		for _, other := range f.node {
			urls = append(urls, fmt.Sprintf("\"nats://%s\"", other.joint))
		}
		text += fmt.Sprintf("cluster { name: far\n listen: %q }\ngateway { name: far\n listen: %q\n gateways: [ { name: c, urls: [ %s ] } ] }\n",
			n.route, n.joint, strings.Join(urls, ", "))
	}
	conf := filepath.Join(f.dir, n.name+".conf")
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		return errs.New("write", conf, "choose another --dir", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	n.lives++
	var err error
	if n.proc, err = f.launch("broker-"+n.name, n.lives, f.opts.Server, "-c", conf); err != nil {
		return err
	}
	for {
		if c, err := net.Dial("tcp", n.addr); err == nil {
			return c.Close()
		}
		select {
		case <-n.proc.Done:
			return errs.New("start broker", n.addr, "see "+n.proc.Log, errs.Because(errs.ErrUnavailable, n.proc.LastLine()))
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pollSteps):
		}
	}
}
