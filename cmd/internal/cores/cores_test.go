package cores

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"testing/fstest"
)

// files are a machine's, by path.
func files(m map[string]string) fstest.MapFS {
	out := fstest.MapFS{}
	for name, text := range m {
		out[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return out
}

const (
	mount2 = "31 23 0:27 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
	mount1 = "31 23 0:28 / /sys/fs/cgroup ro - tmpfs tmpfs rw\n32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
)

func TestQuota(t *testing.T) {
	for _, c := range []struct {
		name    string
		files   map[string]string
		allowed int
		want    int
		quota   float64
	}{
		{"no cgroups at all", nil, 8, 8, 0},
		{"version 2, a container of its own namespace", map[string]string{
			"proc/self/mountinfo": mount2, "proc/self/cgroup": "0::/\n",
			"sys/fs/cgroup/cgroup.procs": "", "sys/fs/cgroup/cpu.max": "400000 100000\n",
		}, 64, 4, 4},
		{"version 2, no limit", map[string]string{
			"proc/self/mountinfo": mount2, "proc/self/cgroup": "0::/job\n",
			"sys/fs/cgroup/cgroup.procs": "", "sys/fs/cgroup/job/cgroup.procs": "", "sys/fs/cgroup/job/cpu.max": "max 100000\n",
		}, 16, 16, 0},
		{"version 2, the slice above has less than the unit", map[string]string{
			"proc/self/mountinfo": mount2, "proc/self/cgroup": "0::/user.slice/train.service\n",
			"sys/fs/cgroup/cgroup.procs": "", "sys/fs/cgroup/user.slice/cgroup.procs": "", "sys/fs/cgroup/user.slice/cpu.max": "250000 100000\n",
			"sys/fs/cgroup/user.slice/train.service/cgroup.procs": "", "sys/fs/cgroup/user.slice/train.service/cpu.max": "800000 100000\n",
		}, 32, 3, 2.5},
		{"half a processor", map[string]string{
			"proc/self/mountinfo": mount2, "proc/self/cgroup": "0::/\n",
			"sys/fs/cgroup/cgroup.procs": "", "sys/fs/cgroup/cpu.max": "50000 100000\n",
		}, 4, 1, 0.5},
		{"a quota above the affinity mask", map[string]string{
			"proc/self/mountinfo": mount2, "proc/self/cgroup": "0::/\n",
			"sys/fs/cgroup/cgroup.procs": "", "sys/fs/cgroup/cpu.max": "1600000 100000\n",
		}, 2, 2, 16},
		{"version 1", map[string]string{
			"proc/self/mountinfo": mount1, "proc/self/cgroup": "4:cpu,cpuacct:/docker/ab\n1:name=systemd:/x\n",
			"sys/fs/cgroup/cpu,cpuacct/cgroup.procs": "", "sys/fs/cgroup/cpu,cpuacct/docker/cgroup.procs": "", "sys/fs/cgroup/cpu,cpuacct/docker/ab/cgroup.procs": "",
			"sys/fs/cgroup/cpu,cpuacct/docker/ab/cpu.cfs_quota_us": "300000\n", "sys/fs/cgroup/cpu,cpuacct/docker/ab/cpu.cfs_period_us": "100000\n",
		}, 8, 3, 3},
		{"version 1, no limit", map[string]string{
			"proc/self/mountinfo": mount1, "proc/self/cgroup": "4:cpu,cpuacct:/\n",
			"sys/fs/cgroup/cpu,cpuacct/cgroup.procs":     "",
			"sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n", "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
		}, 8, 8, 0},
		{"version 1 in a container, whose mount is its own part", map[string]string{
			"proc/self/mountinfo": "32 31 0:29 /docker/ab /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n", "proc/self/cgroup": "4:cpu:/docker/ab\n",
			"sys/fs/cgroup/cpu/cgroup.procs": "", "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "200000\n", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
		}, 8, 2, 2},
		{"a path outside of the namespace", map[string]string{
			"proc/self/mountinfo": mount2, "proc/self/cgroup": "0::/../other\n",
			"sys/fs/cgroup/cgroup.procs": "", "sys/fs/cgroup/cpu.max": "100000 100000\n",
		}, 8, 1, 1},
		{"both, the processors under version 1", map[string]string{
			"proc/self/mountinfo": mount1 + "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n", "proc/self/cgroup": "4:cpu,cpuacct:/a\n0::/\n",
			"sys/fs/cgroup/unified/cgroup.procs": "", "sys/fs/cgroup/cpu,cpuacct/cgroup.procs": "", "sys/fs/cgroup/cpu,cpuacct/a/cgroup.procs": "",
			"sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us": "500000\n", "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us": "100000\n",
		}, 8, 5, 5},
		{"nonsense", map[string]string{
			"proc/self/mountinfo": mount2 + "short\n", "proc/self/cgroup": "nothing\n0::/\n",
			"sys/fs/cgroup/cgroup.procs": "", "sys/fs/cgroup/cpu.max": "many 0\n",
		}, 8, 8, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := count(files(c.files), c.allowed)
			if got.Count != c.want || got.Quota != c.quota {
				t.Errorf("%d cores, quota %g; want %d, %g", got.Count, got.Quota, c.want, c.quota)
			}
		})
	}
}

func TestThreads(t *testing.T) {
	eight := Cores{Count: 8, Allowed: 64, Quota: 8}
	for value, want := range map[string]Threads{
		"":       {8, "8 cores (a cgroup's quota of 8 on 64)"},
		"3":      {3, "OMP_NUM_THREADS"},
		" 12 ":   {12, "OMP_NUM_THREADS"}, //nolint:gocritic // the spaces are the case
		"4,2":    {4, "OMP_NUM_THREADS"},
		"0":      {8, "8 cores (a cgroup's quota of 8 on 64)"},
		"plenty": {8, "8 cores (a cgroup's quota of 8 on 64)"},
	} {
		got := For(eight, func(string) (string, bool) { return value, value != "" })
		if got != want {
			t.Errorf("OMP_NUM_THREADS=%q: %+v, want %+v", value, got, want)
		}
	}
	if got := eight.Share(3).Count; got != 2 {
		t.Errorf("a third of 8 cores is %d, want 2", got)
	}
	if got := eight.Share(100).Count; got != 1 {
		t.Errorf("a hundredth of 8 cores is %d, want 1", got)
	}
	for cores, want := range map[int]int{1: 1, 2: 1, 3: 1, 4: 2, 16: 14} {
		c := Cores{Count: cores}
		if gpu, cpu := c.Workers(true), c.Workers(false); gpu != want || cpu != cores {
			t.Errorf("%d cores have %d workers beside a trainer on a GPU, want %d; %d on the CPU", cores, gpu, want, cpu)
		}
	}
	if got := (Cores{Count: 1, Allowed: 1}).String(); got != "1 core" {
		t.Errorf("says %q", got)
	}
}

// TestRealQuota starts a process in a cgroup that may use one processor and a half,
// where this process may make one.
func TestRealQuota(t *testing.T) {
	if os.Getenv("RESSLT_TEST_CORES") != "" {
		fmt.Println(Count(), Here().Quota)
		return
	}
	if runtime.NumCPU() < 2 {
		t.Skip("one processor: a quota of one and a half is none")
	}
	dir, err := limited(150000)
	if err != nil {
		t.Skipf("no cgroup can be made here: %v", err)
	}
	defer os.Remove(dir)
	c := exec.Command("/bin/sh", "-c", `echo $$ > "$0/cgroup.procs" && exec "$@"`, dir, os.Args[0], "-test.run", "^TestRealQuota$", "-test.v=false")
	c.Env = append(os.Environ(), "RESSLT_TEST_CORES=1")
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var n int
	var quota float64
	if _, err := fmt.Sscan(string(out), &n, &quota); err != nil || n != 2 || quota != 1.5 {
		t.Errorf("a process with a quota of 1.5 says %q (%v), want 2 cores by 1.5", out, err)
	}
}

// limited makes a cgroup of that many microseconds in every 100,000, of either version.
func limited(us int) (string, error) {
	var why error
	for _, top := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/cpu"} {
		dir, err := os.MkdirTemp(top, "resslt-test-")
		if err != nil {
			why = errors.Join(why, err)
			continue
		}
		file, text := "cpu.max", fmt.Sprintf("%d 100000", us)
		if filepath.Base(top) == "cpu" {
			file, text = "cpu.cfs_quota_us", strconv.Itoa(us)
		}
		if _, err = os.Stat(filepath.Join(dir, file)); err == nil {
			if err = os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err == nil {
				return dir, nil
			}
		}
		os.Remove(dir)
		why = errors.Join(why, err)
	}
	return "", why
}
