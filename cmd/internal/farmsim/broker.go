package farmsim

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"resslt/batcher/broker"
	"resslt/cmd/internal/access"
	"resslt/cmd/internal/child"
	"resslt/schemas/errs"
	"resslt/schemas/freeport"
)

// startBroker starts the broker as a process of its own, on the cores that it may use, and waits
// until it answers.
func (o *Options) startBroker(ctx context.Context) (*child.Process, string, error) {
	addr, err := freeport.Addr()
	if err != nil {
		return nil, "", err
	}
	store := filepath.Join(o.Dir, "store")
	command := []string{o.Program, "broker", "--listen", addr, "--store", store, "--token", token}
	url := "nats://" + addr
	if o.Server != "" {
		conf := filepath.Join(o.Dir, "nats.conf")
		who := fmt.Sprintf("authorization { token: %q }\n", token)
		if o.Keys != "" {
			if err := access.Keys(access.KeyOptions{Dir: o.Keys, Tenants: []string{tenant}, Quota: access.Quota{Memory: 8 << 30, Store: 8 << 30, Streams: 1 << 20, Consumers: 1 << 20}}); err != nil {
				return nil, "", err
			}
			who = fmt.Sprintf("include %q\ninclude %q\n", "keys/tls.conf", "keys/accounts.conf")
			url = "tls://" + addr
		}
		text := fmt.Sprintf("listen: %q\nmax_payload: 8MB\nmax_pending: 256MB\nwrite_deadline: \"30s\"\n%sjetstream { store_dir: %q\n max_memory_store: 8GB\n max_file_store: 8GB }\n",
			addr, who, store)
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			return nil, "", errs.New("write", conf, "choose another --dir", errs.BecauseErr(errs.ErrUnavailable, err))
		}
		command = []string{o.Server, "-c", conf}
	}
	if o.Cores != "" {
		command = append([]string{"taskset", "-c", o.Cores}, command...)
	}
	p, err := child.Start(o.Dir, "broker", command[0], nil, command[1:]...)
	if err != nil {
		return nil, "", err
	}
	for {
		if c, err := net.DialTimeout("tcp", addr, time.Second); err == nil {
			return p, url, c.Close()
		}
		select {
		case <-p.Done:
			return nil, "", errs.New("start broker", addr, "see "+p.Log, errs.Because(errs.ErrUnavailable, p.LastLine()))
		case <-ctx.Done():
			return nil, "", context.Cause(ctx)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// tenant is the account that everybody is in.
const tenant = "sim"

// login is how a role connects: by its nkey and over TLS where there are keys, by a token else.
func login(url, keys string, role broker.Role) broker.ConnectOptions {
	o := broker.ConnectOptions{URL: url, Name: "farmsim " + string(role)}
	if keys == "" {
		o.Token = token
		return o
	}
	o.Role, o.CA, o.NKey = role, filepath.Join(keys, "ca.pem"), filepath.Join(keys, tenant, string(role)+".nk")
	return o
}

// token is no secret: the broker listens on the loopback address while a simulation lasts.
const token = "farmsim"

// ServeBroker runs the embedded broker until ctx ends.
func ServeBroker(ctx context.Context, listen, store, token string) error {
	b, err := broker.Start(broker.Options{StoreDir: store, Listen: listen, Token: token, MaxMemory: 8 << 30, MaxStore: 8 << 30})
	if err != nil {
		return err
	}
	<-ctx.Done()
	return b.Close()
}
