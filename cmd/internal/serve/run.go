package serve

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"resslt/batcher/broker"
	"resslt/batcher/runs"
	"resslt/cmd/internal/observe"
	"resslt/cmd/internal/supply"
	"resslt/cmd/internal/version"
	"resslt/schemas/errs"
)

// Ready is the line that a server prints when clients can connect.
type Ready struct {
	Listen    string `json:"listen"`
	TokenFile string `json:"token_file"`
	Protocol  int    `json:"protocol"`
	Version   string `json:"version"`
	Run       string `json:"run"`
	Digest    string `json:"digest"`
	Steps     int64  `json:"steps"`
	PID       int    `json:"pid"`
}

// Run serves until ctx ends, which is no error, or the batches do: the worker of this process
// has failed.
func Run(ctx context.Context, o Options) (err error) {
	if err := o.validate(); err != nil {
		return err
	}
	o.applyDefaults()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	if o.WithParent {
		go func() { // ends with the process: a read of standard input cannot be interrupted
			_, _ = io.Copy(io.Discard, o.Stdin)
			stop()
		}()
	}
	// The door first: what is wrong with it shows before an hour of indexing.
	d, err := openDoor(ctx, &o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	p, err := MakePlan(ctx, &o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	say := func(line string) { fmt.Fprintln(o.Stderr, line) }
	say(p.Opened)
	s, end, err := openSupply(ctx, &o, p, say)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	return serveAt(ctx, &o, d, p, s)
}

// Serve serves what is open already, as Run does: only what Options says of the door is read.
func Serve(ctx context.Context, o Options, p *Plan, s supply.Supply) (err error) {
	o.applyDefaults()
	d, err := openDoor(ctx, &o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	return serveAt(ctx, &o, d, p, s)
}

func serveAt(ctx context.Context, o *Options, d *door, p *Plan, s supply.Supply) error {
	say := func(line string) { fmt.Fprintln(o.Stderr, line) }
	srv := &server{opts: o, plan: p, supply: s, door: d, say: say, version: version.Number(), clients: map[string]*claim{}, worlds: map[string]*world{}}
	if err := srv.prepare(); err != nil {
		return err
	}
	if err := json.NewEncoder(o.Stdout).Encode(srv.ready()); err != nil {
		return errs.New("print", "the ready line", "keep standard output open", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	return srv.serve(ctx)
}

// openSupply opens the run, and gives what ends it.
func openSupply(ctx context.Context, o *Options, p *Plan, say func(string)) (supply.Supply, func() error, error) {
	if !o.Farm {
		e, err := supply.OpenEmbedded(ctx, supply.EmbeddedOptions{
			Name: "resslt serve", Spec: p.Spec, Run: o.RunOptions(p), Workers: o.Workers, StoreTimeout: o.StoreTimeout,
			Registry: observe.NewRegistry(), Print: say, Data: p.Source(),
		})
		if err != nil {
			return nil, nil, err
		}
		return e, e.Close, nil
	}
	if err := p.Close(); err != nil { // the farm's workers read them
		return nil, nil, err
	}
	_, js, err := o.Broker.Connect(ctx, "resslt serve", broker.RoleTrainer, say)
	if err != nil {
		return nil, nil, err
	}
	name, made := o.Run, o.Run == ""
	if made {
		name = "serve-" + strings.ToLower(rand.Text()[:10])
	}
	f, err := supply.OpenFarm(ctx, js, name, p.Spec, o.RunOptions(p))
	if err != nil {
		js.Conn().Close()
		return nil, nil, err
	}
	return f, func() error {
		var err error
		if made {
			err = deleteRun(f.Run())
		}
		return errors.Join(err, f.Close())
	}, nil
}

// deleteWait bounds how long a run that was made for this server takes to be deleted.
const deleteWait = 10 * time.Second

// deleteRun deletes a run that nobody else knows of.
func deleteRun(run *runs.Run) error {
	ctx, cancel := context.WithTimeout(context.Background(), deleteWait)
	defer cancel()
	err := runs.Delete(ctx, run.JetStream(), run.Name)
	if errors.Is(err, errs.ErrNotFound) {
		return nil
	}
	return err
}

// ready is the line for the parent.
func (s *server) ready() Ready {
	return Ready{
		Listen: s.door.address, TokenFile: s.door.tokenFile, Protocol: Version, Version: s.version,
		Run: s.supply.Run().Name, Digest: s.digest, Steps: s.plan.Spec.Steps(), PID: os.Getpid(),
	}
}
