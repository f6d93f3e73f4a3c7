package memory

import (
	"math"
	"runtime"
	"testing"
	"testing/fstest"

	"resslt/schemas/errs"
	"resslt/schemas/errs/errstest"
)

func TestLimit(t *testing.T) {
	const (
		meminfo = "MemTotal:        2048 kB\nMemFree:  1 kB\n"
		mount2  = "31 23 0:27 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
		mount1  = "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n33 31 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
	)
	for name, tc := range map[string]struct {
		files map[string]string
		want  int64
	}{
		"nothing to read": {nil, math.MaxInt64},
		"a machine":       {map[string]string{"proc/meminfo": meminfo}, 2 << 20},
		"version 2": {map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "0::/a/b\n", "proc/self/mountinfo": mount2, "sys/fs/cgroup/a/cgroup.procs": "",
			"sys/fs/cgroup/a/memory.max": "1000000\n", "sys/fs/cgroup/a/b/memory.max": "max\n",
		}, 1000000},
		"a container": {map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "0::/\n", "proc/self/mountinfo": mount2, "sys/fs/cgroup/memory.max": "500000\n",
		}, 500000},
		"version 1": {map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "3:cpu,cpuacct:/x\n2:memory:/x\n", "proc/self/mountinfo": mount1,
			"sys/fs/cgroup/memory/x/memory.limit_in_bytes": "700000\n", "sys/fs/cgroup/x/memory.max": "1\n",
		}, 700000},
		"no limit": {map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "2:memory:/x\n", "proc/self/mountinfo": mount1,
			"sys/fs/cgroup/memory/x/memory.limit_in_bytes": "9223372036854771712\n",
		}, 2 << 20},
		"nonsense": {map[string]string{"proc/meminfo": "MemTotal: x\nMemTotal:\nMemTotal: 99999999999999999999 kB", "proc/self/cgroup": "\n::\n0\n"}, math.MaxInt64},
	} {
		root := fstest.MapFS{}
		for file, text := range tc.files {
			root[file] = &fstest.MapFile{Data: []byte(text)}
		}
		if got := limit(root); got != tc.want {
			t.Errorf("%s: %d, want %d", name, got, tc.want)
		}
	}
	if n := Limit(); n < 64<<20 || runtime.GOOS == "linux" && n == math.MaxInt64 {
		t.Errorf("this machine has %d bytes", n)
	}
	if err := check("replay", "r", 1<<30, 1<<30, ""); err != nil {
		t.Error(err)
	}
	errstest.Want(t, check("replay", "r", 3<<30, 1<<30, "lower batch_size"), errs.ErrTooLarge, "3.0 GiB", "1.0", "lower batch_size")
}
