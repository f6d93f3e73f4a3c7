package chaos

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"resslt/cmd/internal/child"
	"resslt/schemas/freeport"

	"resslt/schemas/errs"

	"golang.org/x/sync/errgroup"
)

// restartAfter is how long the service manager waits before it restarts a program that
// ended on its own.
const restartAfter = 500 * time.Millisecond

// farm is a broker, workers and a trainer as processes. The driver is their service
// manager: like systemd and Kubernetes, it restarts a program that ends on its own.
type farm struct {
	layout
	opts     Options
	dir      string
	addr     string // of the broker
	far      *node  // the workers' own nats-server; nil for none
	progress *stepWatch

	workers []*service
	trainer *service

	guests   int  // trainers of other runs that use its workers, and end the scenario when they have ended
	final    bool // do not restart a trainer that ends on its own: the farm ends with it
	cancel   context.CancelCauseFunc
	tasks    *errgroup.Group
	finished chan struct{} // closed when the trainer has ended with code 0

	mu     sync.Mutex
	broker *child.Process   // guarded by mu
	node   []*node          // of a cluster
	all    []*child.Process // every process ever started; guarded by mu
	exits  []*exitError     // of processes that ended on their own; guarded by mu
}

// service is a program that the farm keeps running.
type service struct {
	name  string
	via   *proxy // to the broker, nil for a direct connection
	start func(*service) (*child.Process, error)

	// busy is held while the service is started, stopped or subjected to a fault: a fault
	// and the service manager must not both restart it.
	busy  sync.Mutex
	lives int // guarded by busy

	proc *child.Process // nil before the first start; guarded by farm.mu
	gone bool           // not to be restarted; guarded by farm.mu
}

// newFarm prepares a farm; nothing runs yet.
func newFarm(o Options, l layout) (*farm, error) {
	f := &farm{layout: l, opts: o, dir: filepath.Join(o.Dir, l.name), finished: make(chan struct{})}
	if err := os.MkdirAll(f.out(), 0o755); err != nil {
		return nil, errs.New("make folder", f.dir, "choose another --dir", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	if f.store == "" {
		f.store = filepath.Join(f.dir, "store")
	}
	// A restarted broker keeps the port, as its clients expect.
	var err error
	if f.on != nil {
		f.addr = f.on.addr
	} else if f.addr, err = freeport.Addr(); err != nil {
		return nil, err
	}
	if f.behind != nil {
		_, port, _ := strings.Cut(f.addr, ":")
		f.addr = net.JoinHostPort(f.behind.host, port)
	}
	if f.remote != "" {
		if f.far, err = f.newFar(); err != nil {
			return nil, err
		}
	}
	f.progress = newStepWatch(filepath.Join(f.out(), "metrics.jsonl"))
	f.trainer = &service{name: "trainer", start: f.launchTrainer}
	for i := range l.workers {
		f.workers = append(f.workers, &service{name: fmt.Sprintf("worker-%d", i), start: f.launchWorker})
	}
	for _, s := range f.services() {
		if !l.proxied {
			break
		}
		if s.via, err = newProxy(f.addr); err != nil {
			f.closeProxies()
			return nil, err
		}
	}
	return f, nil
}

// out is the trainer's folder.
func (f *farm) out() string { return filepath.Join(f.dir, "out") }

// begin starts the broker, the workers and their monitors. The returned context ends with
// the farm's first failure, which is its cause. The caller must call end.
func (f *farm) begin(ctx context.Context) (context.Context, error) {
	ctx, f.cancel = context.WithCancelCause(ctx)
	f.tasks, ctx = errgroup.WithContext(ctx)
	watch := func(what func(context.Context) error) {
		f.tasks.Go(func() error {
			err := what(ctx)
			if err != nil {
				f.cancel(err)
			}
			return err
		})
	}
	watch(f.progress.follow)
	watch(f.tend)
	watch(f.guard)
	if f.on == nil {
		if err := f.startBroker(ctx); err != nil {
			return ctx, err
		}
	}
	if f.far != nil {
		if err := f.startFar(ctx); err != nil {
			return ctx, err
		}
	}
	for _, w := range f.workers {
		if err := f.startNew(w); err != nil {
			return ctx, err
		}
	}
	return ctx, nil
}

// end stops and joins everything. It returns the first failure.
func (f *farm) end() error {
	f.cancel(nil)
	err := f.tasks.Wait()
	f.mu.Lock()
	all := f.all
	f.mu.Unlock()
	for _, p := range all {
		if kerr := p.Kill(); err == nil {
			err = kerr
		}
	}
	f.closeProxies()
	return err
}

func (f *farm) closeProxies() {
	for _, s := range f.services() {
		if s.via != nil {
			_ = s.via.close() // at the end a listener that fails to close does no harm
		}
	}
}

// startBroker starts nats-server on the farm's store, and waits until it answers.
func (f *farm) startBroker(ctx context.Context) error {
	if f.nodes > 0 {
		return f.startCluster(ctx)
	}
	conf := filepath.Join(f.dir, "nats.conf")
	memory := f.memory
	if memory == "" {
		memory = "256MB"
	}
	secured := ""
	if f.keys != "" {
		// Includes are relative to the configuration's folder.
		rel, err := filepath.Rel(f.dir, f.keys)
		if err != nil {
			return errs.New("find keys", f.keys, "name an absolute --dir", errs.BecauseErr(errs.ErrUsage, err))
		}
		secured = fmt.Sprintf("include %q\ninclude %q\n", filepath.Join(rel, "tls.conf"), filepath.Join(rel, "accounts.conf"))
	}
	text := fmt.Sprintf("listen: %q\nmax_payload: 8MB\njetstream { store_dir: %q\n max_memory_store: %s\n%s }\n%s%s", f.addr, f.store, memory, f.server, secured, f.jointText())
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		return errs.New("write", conf, "choose another --dir", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	p, err := f.launch("broker", len(f.livesOf("broker."))+1, f.opts.Server, "-c", conf)
	if err != nil {
		return err
	}
	f.mu.Lock()
	f.broker = p
	f.mu.Unlock()
	for {
		if c, err := net.Dial("tcp", f.addr); err == nil {
			return c.Close()
		}
		select {
		case <-p.Done:
			return errs.New("start broker", f.addr, "see "+p.Log, errs.Because(errs.ErrUnavailable, p.LastLine()))
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pollSteps):
		}
	}
}

func (f *farm) livesOf(prefix string) []*child.Process {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []*child.Process
	for _, p := range f.all {
		if strings.HasPrefix(p.Name, prefix) {
			out = append(out, p)
		}
	}
	return out
}

// launch starts a program and registers the process.
func (f *farm) launch(name string, life int, program string, args ...string) (*child.Process, error) {
	var env []string
	if f.opts.Shim != "" {
		env = append(env, "RESSLT_TORCH="+f.opts.Shim)
	}
	p, err := child.Start(f.dir, fmt.Sprintf("%s.%d", name, life), program, env, args...)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all = append(f.all, p)
	return p, nil
}

func (f *farm) url(s *service) string {
	if f.far != nil && s != f.trainer {
		return "nats://" + f.far.addr
	}
	if f.nodes > 0 {
		return f.clusterURL()
	}
	scheme, addr := "nats://", f.addr
	if f.keys != "" {
		scheme = "tls://"
	}
	if s.via != nil {
		addr = s.via.addr()
	}
	return scheme + addr
}

// at has the flags for a service's connection to the broker, with its credentials.
func (f *farm) at(s *service) []string {
	args := []string{"--nats", f.url(s)}
	if f.login != nil {
		args = append(args, f.login(s.name)...)
	}
	return args
}

func (f *farm) launchWorker(s *service) (*child.Process, error) {
	program := f.program
	if program == "" {
		program = filepath.Join(f.opts.Bin, "augmentd")
	}
	args := append(f.at(s), "--workers", "1", "--grace", "2s", "--cache", filepath.Join(f.opts.Dir, "index"))
	if f.behind != nil {
		program, args = f.behind.inside(program, args...)
	}
	return f.launch(s.name, s.lives, program, args...)
}

// launchTrainer resumes if there is a checkpoint, as a service manager's command would:
// the first start has none.
func (f *farm) launchTrainer(s *service) (*child.Process, error) {
	args := append([]string{
		"train", "--run", f.name, "--out", f.out(),
		"--window", fmt.Sprint(f.window), "--ack-wait", f.ackWait.String(), "--lease", lease.String(),
	}, f.recipe(f.opts.Data)...)
	if f.brokerTimeout != 0 {
		args = append(args, "--broker-timeout", f.brokerTimeout.String())
	}
	if f.stallTimeout != 0 {
		args = append(args, "--stall-timeout", f.stallTimeout.String())
	}
	args = append(append(args, f.at(s)...), f.train...)
	if saved, err := filepath.Glob(filepath.Join(f.out(), "checkpoints", "step-*.json")); err == nil && len(saved) > 0 {
		args = append(args, "--resume")
	}
	return f.launch(s.name, s.lives, filepath.Join(f.opts.Bin, "resslt"), args...)
}

// up starts a service, which is restarted from then on. The caller holds s.busy.
func (f *farm) up(s *service) error {
	s.lives++
	p, err := s.start(s)
	if err == nil {
		f.set(s, p)
	}
	return err
}

// startNew is up for a service's first start.
func (f *farm) startNew(s *service) error {
	s.busy.Lock()
	defer s.busy.Unlock()
	return f.up(s)
}

func (f *farm) set(s *service, p *child.Process) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s.proc = p
}

// leave stops the restarting of a service.
func (f *farm) leave(s *service) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s.gone = true
}

func (f *farm) procOf(s *service) *child.Process {
	f.mu.Lock()
	defer f.mu.Unlock()
	return s.proc
}

func (f *farm) isGone(s *service) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return s.gone
}

func (f *farm) services() []*service { return append([]*service{f.trainer}, f.workers...) }

// tend restarts services that end on their own, until the trainer is done.
func (f *farm) tend(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(20 * time.Millisecond):
		}
		for _, s := range f.services() {
			if !s.busy.TryLock() {
				continue // a fault is in progress
			}
			err := f.tendOne(ctx, s)
			s.busy.Unlock()
			if err != nil {
				return err
			}
		}
	}
}

// tendOne restarts a service that has ended on its own. The caller holds s.busy.
func (f *farm) tendOne(ctx context.Context, s *service) error {
	p := f.procOf(s)
	if p == nil || p.Alive() || f.isGone(s) {
		return nil
	}
	if s == f.trainer && p.Code() == 0 {
		f.leave(s)
		close(f.finished)
		return nil
	}
	exit := &exitError{name: p.Name, code: p.Code(), line: p.LastLine(), log: p.Log}
	f.mu.Lock()
	f.exits = append(f.exits, exit)
	f.mu.Unlock()
	// A program without its broker may end, with code 1 and ErrUnavailable. Any other end
	// is a failure of the farm.
	if s == f.trainer && f.final || exit.code != 1 || !strings.Contains(exit.line, errs.ErrUnavailable.Error()) {
		return exit
	}
	f.opts.Log(fmt.Sprintf("%s ended on its own and is restarted: %s", p.Name, exit.line))
	if sleep(ctx, restartAfter) != nil {
		return nil //nolint:nilerr // the scenario is over
	}
	return f.up(s)
}

// exitError is the exit of a program that ended on its own.
type exitError struct {
	name string
	code int
	line string // last line of standard error
	log  string
}

func (e *exitError) Error() string {
	return fmt.Sprintf("%s ended with code %d: %s (log: %s)", e.name, e.code, e.line, e.log)
}

// sleep waits for d or the end of ctx, whose cause it returns.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// await waits until a step event is accepted, or the trainer is done.
func (f *farm) await(ctx context.Context, until func(stepEvent) bool) (stepEvent, error) {
	for {
		e, changed := f.progress.last()
		if e.step > 0 && until(e) {
			return e, nil
		}
		select {
		case <-changed:
		case <-f.finished:
			e, _ := f.progress.last()
			return e, nil
		case <-ctx.Done():
			return stepEvent{}, context.Cause(ctx)
		}
	}
}
