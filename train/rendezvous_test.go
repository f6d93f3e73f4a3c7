package train

import (
	"errors"
	"strings"
	"testing"

	"resslt/schemas/errs"
)

// TestFromEnvironment reads what torchrun, a PyTorchJob and srun set, and refuses the
// rest by the variable's name.
func TestFromEnvironment(t *testing.T) {
	for _, c := range []struct {
		name, env string
		want      *Rendezvous
		wrong     string // the variable at fault
	}{
		{name: "nothing", env: "PATH=/bin"},
		{name: "a world of one", env: "RANK=0 WORLD_SIZE=1"},
		{name: "an address alone", env: "MASTER_ADDR=a"},
		{
			name: "bare", env: "RANK=1 WORLD_SIZE=2 MASTER_ADDR=a",
			want: &Rendezvous{Rank: 1, World: 2, LocalWorld: 1, Addr: "a", Port: 29500, Prefix: "resslt"},
		},
		{
			name: "rank 0 serves", env: "RANK=0 WORLD_SIZE=2 MASTER_ADDR=a MASTER_PORT=7",
			want: &Rendezvous{World: 2, LocalWorld: 1, Addr: "a", Port: 7, Serve: true, Prefix: "resslt"},
		},
		{
			name: "torchrun", env: "RANK=0 WORLD_SIZE=4 LOCAL_RANK=0 LOCAL_WORLD_SIZE=2 MASTER_ADDR=a MASTER_PORT=7 TORCHELASTIC_USE_AGENT_STORE=True TORCHELASTIC_RESTART_COUNT=3",
			want: &Rendezvous{World: 4, LocalWorld: 2, Addr: "a", Port: 7, Prefix: "resslt/attempt 3"},
		},
		{
			name: "srun", env: "SLURM_PROCID=5 SLURM_NTASKS=8 SLURM_LOCALID=1 SLURM_NTASKS_PER_NODE=4 MASTER_ADDR=a",
			want: &Rendezvous{Rank: 5, World: 8, LocalRank: 1, LocalWorld: 4, Addr: "a", Port: 29500, Prefix: "resslt"},
		},
		{name: "srun, not asked to", env: "SLURM_PROCID=5 SLURM_NTASKS=8"},
		{name: "no rank", env: "WORLD_SIZE=2 MASTER_ADDR=a", wrong: "RANK"},
		{name: "no world", env: "RANK=0 MASTER_ADDR=a", wrong: "WORLD_SIZE"},
		{name: "no address", env: "RANK=0 WORLD_SIZE=2", wrong: "MASTER_ADDR"},
		{name: "no number", env: "RANK=one WORLD_SIZE=2 MASTER_ADDR=a", wrong: "RANK"},
		{name: "outside", env: "RANK=2 WORLD_SIZE=2 MASTER_ADDR=a", wrong: "RANK"},
		{name: "no port", env: "RANK=0 WORLD_SIZE=2 MASTER_ADDR=a MASTER_PORT=70000", wrong: "MASTER_PORT"},
		{name: "no local rank", env: "RANK=0 WORLD_SIZE=2 MASTER_ADDR=a LOCAL_RANK=-1", wrong: "LOCAL_RANK"},
	} {
		vars := map[string]string{}
		for _, v := range strings.Fields(c.env) {
			name, value, _ := strings.Cut(v, "=")
			vars[name] = value
		}
		got, err := FromEnvironment(func(name string) (string, bool) { v, ok := vars[name]; return v, ok })
		switch {
		case c.wrong != "":
			if !errors.Is(err, errs.ErrUsage) || !strings.Contains(err.Error(), " "+c.wrong+":") || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: %v", c.name, err)
			}
		case err != nil:
			t.Errorf("%s: %v", c.name, err)
		case (got == nil) != (c.want == nil) || got != nil && *got != *c.want:
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}
