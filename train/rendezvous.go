package train

import (
	"fmt"
	"strconv"
	"time"

	"resslt/schemas/errs"
	"resslt/train/torch"
)

// Rendezvous is a process's position in a group, and where the group meets.
type Rendezvous struct {
	Rank, World           int
	LocalRank, LocalWorld int // of those on this machine
	Addr                  string
	Port                  int
	// Serve says that this process holds the store: rank 0 does, unless torchrun's agent has
	// one already.
	Serve  bool
	Prefix string // of the group's keys
}

// defaultPort is torchrun's, where MASTER_PORT is not set.
const defaultPort = 29500

// FromEnvironment reads the variables that torchrun sets, and that Kubeflow's
// PyTorchJob and Slurm's scripts set as it does:
//
//	RANK, WORLD_SIZE              this process among all
//	LOCAL_RANK, LOCAL_WORLD_SIZE  among those of this machine; default 0 of 1
//	MASTER_ADDR, MASTER_PORT      where rank 0 can be reached; port 29500
//
// Under srun, SLURM_PROCID, SLURM_NTASKS, SLURM_LOCALID and SLURM_NTASKS_PER_NODE stand
// in for the first four where MASTER_ADDR is set and RANK is not. It gives nil for a
// process by itself: none of them set, or a world of one. lookup is os.LookupEnv. Errors
// wrap errs.ErrUsage and name the variable.
func FromEnvironment(lookup func(string) (string, bool)) (*Rendezvous, error) {
	e := environment{lookup: lookup}
	r := &Rendezvous{LocalWorld: 1, Port: defaultPort, Prefix: "resslt"}
	addr, hasAddr := lookup("MASTER_ADDR")
	switch {
	case e.has("RANK") || e.has("WORLD_SIZE"):
		e.number("WORLD_SIZE", &r.World, 1)
		e.number("RANK", &r.Rank, 0)
		e.optional("LOCAL_RANK", &r.LocalRank, 0)
		e.optional("LOCAL_WORLD_SIZE", &r.LocalWorld, 1)
	case hasAddr && e.has("SLURM_PROCID"):
		e.number("SLURM_NTASKS", &r.World, 1)
		e.number("SLURM_PROCID", &r.Rank, 0)
		e.optional("SLURM_LOCALID", &r.LocalRank, 0)
		e.optional("SLURM_NTASKS_PER_NODE", &r.LocalWorld, 1)
	default:
		return nil, nil
	}
	e.optional("MASTER_PORT", &r.Port, 1)
	switch {
	case e.err != nil:
		return nil, e.err
	case r.Rank >= r.World:
		return nil, badVariable("RANK", fmt.Sprintf("is %d of a world of %d, which counts from 0", r.Rank, r.World))
	case r.World == 1:
		return nil, nil
	case !hasAddr || addr == "":
		return nil, badVariable("MASTER_ADDR", "is not set")
	case r.Port > 65535:
		return nil, badVariable("MASTER_PORT", fmt.Sprintf("is %d", r.Port))
	}
	r.Addr, r.Serve = addr, r.Rank == 0
	if agent, _ := lookup("TORCHELASTIC_USE_AGENT_STORE"); agent == "True" || agent == "true" || agent == "1" {
		r.Serve = false
	}
	// A group that torchrun starts again meets at the store of the one before.
	if n, ok := lookup("TORCHELASTIC_RESTART_COUNT"); ok {
		r.Prefix += "/attempt " + n
	}
	return r, nil
}

// Join waits for the other ranks, and gives the group, whose collectives are for tensors of
// dev besides the CPU's. The caller leaves or frees it. timeout is how long a rank may be
// silent, from now on; 0 is torch.DefaultGroupTimeout.
func (r *Rendezvous) Join(dev torch.Device, timeout time.Duration) (*torch.Group, error) {
	return torch.JoinGroup(torch.GroupOptions{
		Rank: r.Rank, World: r.World, Host: r.Addr, Port: r.Port, Serve: r.Serve, Prefix: r.Prefix, Device: dev, Timeout: timeout,
	})
}

// environment reads variables until one is wrong.
type environment struct {
	lookup func(string) (string, bool)
	err    error
}

func (e *environment) has(name string) bool {
	_, ok := e.lookup(name)
	return ok
}

// number reads a variable that must be there.
func (e *environment) number(name string, into *int, least int) {
	if !e.has(name) && e.err == nil {
		e.err = badVariable(name, "is not set")
	}
	e.optional(name, into, least)
}

// optional leaves a default where the variable is not there.
func (e *environment) optional(name string, into *int, least int) {
	text, ok := e.lookup(name)
	if !ok || e.err != nil {
		return
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least {
		e.err = badVariable(name, fmt.Sprintf("is %q, not a number from %d on", text, least))
		return
	}
	*into = n
}

func badVariable(name, why string) error {
	return errs.New("several processes", name, "start them by torchrun, srun or a PyTorchJob, or unset RANK and WORLD_SIZE to train alone",
		errs.Because(errs.ErrUsage, why))
}
