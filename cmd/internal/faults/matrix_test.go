package faults

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"resslt/ingest/store"
	"resslt/ingest/store/storetest"
	"resslt/schemas"
	"resslt/schemas/errs"
)

// whole reports whether all of the matrix is asked for (make faults).
func whole() bool { return os.Getenv("RESSLT_FAULTS") == "all" }

// moments are when a fault is met: after some reads have gone well.
var moments = []struct {
	name string
	when storetest.When
}{
	{"once", storetest.Once(storetest.Read, 5)},
	{"every third time", storetest.When{Op: storetest.Read, First: 5, Every: 3}},
	{"from then on", storetest.From(storetest.Read, 5)},
}

// remote is a server that files are put into.
type remote interface {
	Put(key string, data []byte) string
	Inject(part string, f *storetest.Fault, when storetest.When)
	Hits(part string) int
}

// quick tries again without long pauses. Nothing is cached: every sample is a request. A
// connection counts as stalled after a time that other faults do not take on any machine.
func quick(fault string) store.Options {
	o := store.Options{CacheBytes: -1, Attempts: 4, Pause: 2 * time.Millisecond}
	if fault == "body stalls" {
		o.Patience = time.Second
	}
	return o
}

// columns are the formats that each place can have; a web server lists no folder.
var columns = []struct{ format, place string }{
	{"wds", "https"}, {"parquet", "https"}, {"folder", "s3"}, {"wds", "s3"}, {"parquet", "s3"},
}

// TestServers is the matrix of S3 and web servers.
func TestServers(t *testing.T) {
	places := map[string]remote{"https": storetest.StartWeb(t, true), "s3": storetest.Start(t)}
	var head []string
	calm := map[string][]string{}
	for _, c := range columns {
		head = append(head, c.format+" "+c.place)
		j := &job{uri: put(t, places[c.place], "calm", c.format), cacheDir: t.TempDir(), store: quick("")}
		o := j.run(t.Context(), t.TempDir())
		if o.err != nil || o.replaced > 0 || len(o.batches) != 2*images/8 {
			t.Fatalf("the calm run of %s %s: %d batches, %d replaced, %v", c.format, c.place, len(o.batches), o.replaced, o.err)
		}
		calm[c.format] = o.batches
	}
	table := newTable(t, "Servers: once, every third time, from then on", head)
	for n, f := range storetest.Faults() {
		for k, c := range columns {
			if !whole() && (n+k)%11 != 0 {
				continue
			}
			for m, moment := range moments {
				if !whole() && m == 1 {
					continue
				}
				t.Run(strings.Join([]string{f.Name, c.format, c.place, moment.name}, "/"), func(t *testing.T) {
					t.Parallel()
					srv, part := places[c.place], fmt.Sprintf("cell-%d-%d-%d", n, k, m)
					j := &job{uri: put(t, srv, part, c.format), cacheDir: t.TempDir(), store: quick(f.Name)}
					j.armed = func() { srv.Inject(part, &f, moment.when) }
					o := j.run(t.Context(), t.TempDir())
					if srv.Hits(part) == 0 {
						t.Error("no fault was met")
					}
					mustRecover := m == 0 || f.Harmless
					table.set(f.Name, c.format+" "+c.place, m, verdict(t, o, calm[c.format], mustRecover))
				})
			}
		}
	}
}

// put writes a data set into a server, and gives its URI.
func put(t *testing.T, srv remote, part, format string) string {
	t.Helper()
	root := ""
	for name, b := range formats[format].write(t) {
		root = strings.TrimSuffix(srv.Put(part+"/"+name, b), "/"+name)
	}
	return format + ":" + root + "/" + formats[format].place
}

// verdict says what a run with a fault did: the batches of the calm run, or a stop with a
// line. Anything else is an error of the test.
func verdict(t *testing.T, o outcome, calm []string, mustRecover bool) string {
	t.Helper()
	if o.replaced > 0 {
		t.Errorf("%d samples replaced", o.replaced)
	}
	if n := min(len(o.batches), len(calm)); !slices.Equal(o.batches[:n], calm[:n]) {
		t.Error("other batches than the calm run's")
	}
	if o.err == nil {
		if len(o.batches) != len(calm) {
			t.Errorf("%d batches of %d", len(o.batches), len(calm))
		}
		return "same"
	}
	if mustRecover {
		t.Errorf("it stopped: %v", o.err)
	}
	text := o.err.Error()
	if strings.Contains(text, "\n") || !strings.Contains(text, "read sample ") && !strings.Contains(text, "read footer ") || strings.Count(text, "(hint: ") != 1 {
		t.Errorf("not a line with place and hint: %q", text)
	}
	if schemas.AsBadSample(o.err) != nil {
		t.Errorf("a bad sample: %v", o.err)
	}
	return "stops"
}

// diskFault is a fault of a local disk: of calls, or of files.
type diskFault struct {
	name   string
	err    error                           // of a Disk's calls
	op     storetest.Op                    // of them
	change func(t *testing.T, path string) // of every file
}

var diskFaults = []diskFault{
	{name: "input/output error", err: syscall.EIO, op: storetest.Read},
	{name: "stale file handle", err: syscall.ESTALE, op: storetest.Read},
	{name: "no permission", err: syscall.EACCES, op: storetest.Open},
	{name: "gone", err: syscall.ENOENT, op: storetest.Open},
	{name: "input/output error, opening", err: syscall.EIO, op: storetest.Open},
	{name: "truncated", change: func(t *testing.T, path string) { must(t, os.Truncate(path, 700)) }},
	{name: "removed", change: func(t *testing.T, path string) { must(t, os.Remove(path)) }},
	{name: "other bytes", change: func(t *testing.T, path string) { zero(t, path) }},
	{name: "other bytes, same time", change: func(t *testing.T, path string) { zero(t, path); age(t, path) }},
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

// zero overwrites a file in place.
func zero(t *testing.T, path string) {
	t.Helper()
	info, err := os.Stat(path)
	must(t, err)
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	must(t, err)
	_, err = f.Write(bytes.Repeat([]byte{0}, int(info.Size())))
	must(t, errors.Join(err, f.Close()))
}

// TestDisks is the matrix of local disks.
func TestDisks(t *testing.T) {
	names := []string{"folder", "wds", "parquet"}
	calm := map[string][]string{}
	for _, format := range names {
		j, _ := local(t, format)
		o := j.run(t.Context(), t.TempDir())
		if o.err != nil || o.replaced > 0 {
			t.Fatalf("the calm run of %s: %d replaced, %v", format, o.replaced, o.err)
		}
		calm[format] = o.batches
	}
	table := newTable(t, "Disks: once, every third time, from then on", names)
	for n, f := range diskFaults {
		for k, format := range names {
			if !whole() && (n+k)%5 != 0 {
				continue
			}
			for m, moment := range moments {
				if f.change != nil && m < 2 {
					table.set(f.name, format, m, "") // files do not change back
					continue
				}
				if !whole() && m == 1 {
					continue
				}
				t.Run(strings.Join([]string{f.name, format, moment.name}, "/"), func(t *testing.T) {
					t.Parallel()
					j, dir := local(t, format)
					disk := &storetest.Disk{Part: dir}
					j.store.Disk = disk
					when := moment.when
					if when.Op = f.op; f.op == storetest.Open && format != "folder" {
						when.First = 0 // a shard is opened once
					}
					j.armed = func() {
						if f.change == nil {
							disk.Arm(f.err, when)
							return
						}
						must(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
							if err == nil && !d.IsDir() {
								f.change(t, path)
							}
							return err
						}))
					}
					o := j.run(t.Context(), t.TempDir())
					table.set(f.name, format, m, verdict(t, o, calm[format], m == 0))
					if m == 2 && f.op != storetest.Open && o.err == nil && format != "parquet" {
						t.Error("it did not stop")
					}
					if errors.Is(o.err, context.DeadlineExceeded) || errors.Is(o.err, errs.ErrUsage) {
						t.Errorf("it stopped for something else: %v", o.err)
					}
				})
			}
		}
	}
}

// local is a job of a data set on a disk, and its folder.
func local(t *testing.T, format string) (*job, string) {
	t.Helper()
	dir := t.TempDir()
	writeFiles(t, dir, formats[format].write(t))
	return &job{uri: format + ":" + filepath.Join(dir, formats[format].place), cacheDir: t.TempDir(), store: quick("")}, dir
}

// table is a part of the matrix, printed when its test has ended.
type table struct {
	title string
	head  []string

	mu    sync.Mutex
	rows  []string                        // in order; guarded by mu
	cells map[string]map[string][3]string // by row and column, of each moment; guarded by mu
}

func newTable(t *testing.T, title string, head []string) *table {
	tab := &table{title: title, head: head, cells: map[string]map[string][3]string{}}
	t.Cleanup(func() {
		text := tab.text()
		t.Log("\n" + text)
		if path := os.Getenv("RESSLT_FAULTS_TABLE"); path != "" {
			f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
			if err == nil {
				_, err = f.WriteString(text + "\n")
				err = errors.Join(err, f.Close())
			}
			must(t, err)
		}
	})
	return tab
}

func (tab *table) set(row, column string, moment int, verdict string) {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	if tab.cells[row] == nil {
		tab.rows, tab.cells[row] = append(tab.rows, row), map[string][3]string{}
	}
	c := tab.cells[row][column]
	c[moment] = verdict
	tab.cells[row][column] = c
}

// text is the table in Markdown.
func (tab *table) text() string {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "| %s | %s |\n|%s\n", tab.title, strings.Join(tab.head, " | "), strings.Repeat(" --- |", len(tab.head)+1))
	slices.Sort(tab.rows)
	for _, row := range tab.rows {
		fmt.Fprintf(&b, "| %s |", row)
		for _, column := range tab.head {
			c := tab.cells[row][column]
			said := slices.DeleteFunc(c[:], func(s string) bool { return s == "" })
			fmt.Fprintf(&b, " %s |", strings.Join(said, ", "))
		}
		b.WriteString("\n")
	}
	return b.String()
}
