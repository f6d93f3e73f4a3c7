package farmsim

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"resslt/batcher/broker"
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
	if o.Server != "" {
		conf := filepath.Join(o.Dir, "nats.conf")
		text := fmt.Sprintf("listen: %q\nmax_payload: 8MB\nmax_pending: 256MB\nwrite_deadline: \"30s\"\nauthorization { token: %q }\njetstream { store_dir: %q\n max_memory_store: 8GB\n max_file_store: 8GB }\n",
			addr, token, store)
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
			return p, "nats://" + addr, c.Close()
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
