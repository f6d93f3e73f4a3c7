package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"sync/atomic"
	"syscall"
)

// cost is what reading took.
type cost struct {
	CPU       float64 // seconds
	Allocated float64 // bytes
	Objects   float64
	Read      float64 // bytes
	Calls     float64
	Peak      float64 // bytes, resident
}

// counter counts what is read of a file.
type counter struct {
	r     io.ReaderAt
	bytes atomic.Int64
	calls atomic.Int64
}

func (c *counter) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.r.ReadAt(p, off)
	c.bytes.Add(int64(n))
	c.calls.Add(1)
	return n, err
}

// measure is the cost of do.
func measure(c *counter, do func() error) (cost, error) {
	var a, b runtime.MemStats
	var u, v syscall.Rusage
	runtime.ReadMemStats(&a)
	read, calls := c.bytes.Load(), c.calls.Load()
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return cost{}, err
	}
	if err := do(); err != nil {
		return cost{}, err
	}
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &v); err != nil {
		return cost{}, err
	}
	runtime.ReadMemStats(&b)
	seconds := func(u *syscall.Rusage) float64 {
		return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
	}
	return cost{
		CPU:       seconds(&v) - seconds(&u),
		Allocated: float64(b.TotalAlloc - a.TotalAlloc),
		Objects:   float64(b.Mallocs - a.Mallocs),
		Read:      float64(c.bytes.Load() - read),
		Calls:     float64(c.calls.Load() - calls),
		Peak:      float64(v.Maxrss) * 1024,
	}, nil
}

const imageColumn = "image" // of prepare.py's big files

func openCounted(l library, path string) (*counter, reader, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	c := &counter{r: f}
	r, err := l.open(c, info.Size(), imageColumn)
	return c, r, err
}

// scanCost prints the cost of a full scan in which each value's ends are looked at.
func scanCost(l library, path string) error {
	c, r, err := openCounted(l, path)
	if err != nil {
		return err
	}
	var rows, sum int
	m, err := measure(c, func() error {
		return r.scan(func(v []byte) {
			rows++
			sum += int(v[0]) + int(v[len(v)-1])
		})
	})
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, rows, sum)
	return json.NewEncoder(os.Stdout).Encode([]cost{m})
}

// rowCost prints the cost of each of 50 random rows, of an open file whose index is there.
func rowCost(l library, path string) error {
	c, r, err := openCounted(l, path)
	if err != nil {
		return err
	}
	var ends [][2]byte
	if err := r.scan(func(v []byte) { ends = append(ends, [2]byte{v[0], v[len(v)-1]}) }); err != nil {
		return err
	}
	random := rand.New(rand.NewPCG(1, 1))
	var out []cost
	for range 50 {
		i := random.IntN(len(ends))
		var v []byte
		m, err := measure(c, func() (err error) {
			v, err = r.row(int64(i))
			return err
		})
		if err != nil {
			return err
		}
		if [2]byte{v[0], v[len(v)-1]} != ends[i] {
			return fmt.Errorf("row %d: another value than the scan's", i)
		}
		out = append(out, m)
	}
	return json.NewEncoder(os.Stdout).Encode(out)
}

// costs prints a table, each number the median: of runs for scans, of 50 rows for rows.
// Runs alternate between the libraries.
func costs(runs int, files []string) error {
	fmt.Println("file | library | what | CPU s | MB allocated | objects | MB read | reads | peak MB")
	for _, path := range files {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		all := map[string][]cost{}
		for range runs {
			for _, l := range libraries {
				for _, verb := range []string{"one-scan", "one-rows"} {
					out, err := exec.Command(os.Args[0], verb, l.name, path).Output()
					if err != nil {
						return fmt.Errorf("%s %s %s: %w", verb, l.name, path, err)
					}
					var m []cost
					if err := json.Unmarshal(out, &m); err != nil {
						return err
					}
					all[l.name+" "+verb] = append(all[l.name+" "+verb], m...)
				}
			}
		}
		for _, l := range libraries {
			for _, verb := range []string{"one-scan", "one-rows"} {
				m := all[l.name+" "+verb]
				fmt.Printf("%s | %s | %s, n=%d | %.4f (%.2f s/GB) | %.3f | %.0f | %.3f | %.0f | %.0f\n", info.Name(), l.name, verb, len(m),
					median(m, func(c cost) float64 { return c.CPU }), median(m, func(c cost) float64 { return c.CPU })/float64(info.Size())*1e9,
					median(m, func(c cost) float64 { return c.Allocated })/1e6, median(m, func(c cost) float64 { return c.Objects }),
					median(m, func(c cost) float64 { return c.Read })/1e6, median(m, func(c cost) float64 { return c.Calls }),
					median(m, func(c cost) float64 { return c.Peak })/1e6)
			}
		}
	}
	return nil
}

func median(m []cost, of func(cost) float64) float64 {
	var v []float64
	for _, c := range m {
		v = append(v, of(c))
	}
	slices.Sort(v)
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}
