package web

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"resslt/schemas/errs"
)

// A page's parts follow the run's files: only what has changed is sent, and what a resumed run has
// written anew stands in the place of what was there.
func TestRunIsFollowed(t *testing.T) {
	top := t.TempDir()
	r := begin(t, filepath.Join(top, "a")).steps(30)
	s, _ := serve(t, Options{Dirs: []string{top}})
	l := look(t, s, "/run/"+idOf(r.dir))
	l.until("chart-Loss", " at 3;")
	for _, id := range []string{"head", "watch", "curves", "chart-Loss", "chart-Learning rate", "facts"} {
		if l.parts[id] == "" || !slices.Contains(l.order, id) {
			t.Errorf("no part %s in %q", id, l.order)
		}
	}
	if l.parts["neighbours"] != "" {
		t.Error("neighbours before there was a score")
	}
	r.steps(10)
	l.until("chart-Loss", " at 4;")
	if slices.Contains(l.last, "curves") || len(l.last) < 3 {
		t.Errorf("sent again: %q", l.last)
	}
	r.scored(3).scored(4)
	l.until("neighbours", "Not there after epoch 3: 1.")
	l.until("chart-kNN top-1 while training, %", "54 at 4")

	// Resumed at step 10, with other losses from there on.
	raw, err := os.ReadFile(filepath.Join(r.dir, "metrics.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(raw), "\n")
	write(t, filepath.Join(r.dir, "metrics.jsonl"), []byte(strings.Join(lines[:10], "")))
	l.until("chart-Loss", " at 1;")
	status, body, _ := get(t, "http://"+s.Addr()+"/run/"+idOf(r.dir)+"/neighbours?step=30", nil)
	if status != http.StatusOK || !strings.Contains(body, "of their query") || strings.Contains(body, "Not there") {
		t.Errorf("neighbours at step 30: %d %.200s", status, body)
	}
}

// The list has the runs that are there, and those that come.
func TestListAndComparison(t *testing.T) {
	top := t.TempDir()
	a := begin(t, filepath.Join(top, "a")).steps(50)
	s, _ := serve(t, Options{Dirs: []string{top}})
	l := look(t, s, "/")
	l.until("head", "1 found, 0 running")
	b := begin(t, filepath.Join(top, "deeper", "b")).steps(50)
	l.until("runs", "/run/"+idOf(b.dir))
	c := look(t, s, "/compare?run="+idOf(a.dir)+"&run="+idOf(b.dir))
	c.until("chart-Loss", " at 5\"")
	b.steps(10)
	c.until("chart-Loss", " at 6\"")
	if !strings.Contains(c.parts["table-0"], "deeper/b") && !strings.Contains(c.parts["table-0"], ">b<") {
		t.Errorf("the table is %.500s", c.parts["table-0"])
	}
	for query, want := range map[string]string{"": "0 chosen", "?run=" + idOf(a.dir): "1 chosen", "?run=x&run=y": "no such run"} {
		look(t, s, "/compare"+query).until("head", want)
	}
}

// What a process knows of its run is shown beside its files; before those are the run's, alone.
func TestLiveRun(t *testing.T) {
	r := begin(t, filepath.Join(t.TempDir(), "a")).steps(30)
	live := process(t)
	live.now.Begun, live.now.Phase = false, "preparing"
	s, end := serve(t, Options{Own: &Own{Folder: r.dir, Live: live}})
	if status, _, h := get(t, "http://"+s.Addr()+"/", nil); status != http.StatusFound || h.Get("Location") != "/run/"+idOf(r.dir) {
		t.Errorf("/ leads to %d %s", status, h.Get("Location"))
	}
	l := look(t, s, "/run/"+idOf(r.dir))
	l.until("head", "preparing")
	if len(l.order) != 1 {
		t.Errorf("an earlier run's files are shown: %q", l.order)
	}
	live.mu.Lock()
	live.now.Begun, live.now.Phase = true, "training"
	live.mu.Unlock()
	l.until("queue", "ready in the broker")
	l.until("views", "data:image/png")
	for id, want := range map[string]string{"head": "of 200", "queue": "serving", "watch": "notice", "views": "20×20 of 28×28"} {
		if !strings.Contains(l.parts[id], want) {
			t.Errorf("%s lacks %q: %.500s", id, want, l.parts[id])
		}
	}
	if status, body, h := get(t, "http://"+s.Addr()+"/run/"+idOf(r.dir)+"/sheet.png", nil); status != http.StatusOK || h.Get("Content-Type") != "image/png" || !strings.HasPrefix(body, "\x89PNG") {
		t.Errorf("the sheet: %d %s", status, h.Get("Content-Type"))
	}
	// The last event says that it is the end, after what the run has left.
	r.steps(10)
	go end()
	for kind := ""; kind != "end"; {
		if kind = l.next(); kind == "closed" {
			t.Fatal("closed without a word")
		}
	}
	if !strings.Contains(l.parts["chart-Loss"], " at 4;") {
		t.Error("the last lines were not sent")
	}
}

// However many look, a view is rendered once; where nobody looks, not at all.
func TestNobodyLooks(t *testing.T) {
	r := begin(t, filepath.Join(t.TempDir(), "a")).steps(5)
	live := process(t)
	s, _ := serve(t, Options{Own: &Own{Folder: r.dir, Live: live}})
	time.Sleep(1500 * time.Millisecond)
	if n := live.asked.Load(); n != 0 {
		t.Fatalf("asked %d times with nobody looking", n)
	}
	var all []*looker
	for range 5 {
		l := look(t, s, "/run/"+idOf(r.dir))
		l.until("head", "training")
		all = append(all, l)
	}
	began := live.asked.Load()
	time.Sleep(2 * time.Second)
	if n := live.asked.Load() - began; n > 3 {
		t.Errorf("asked %d times in two seconds for five clients", n)
	}
	for _, l := range all {
		l.close()
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		s.feeds.mu.Lock()
		open := len(s.feeds.open)
		s.feeds.mu.Unlock()
		if open == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d feeds are open with nobody looking", open)
		}
	}
}

// A client that takes nothing holds up neither the others nor the server's end.
func TestSlowClient(t *testing.T) {
	r := begin(t, filepath.Join(t.TempDir(), "a")).steps(400)
	s, end := serve(t, Options{Own: &Own{Folder: r.dir, Live: process(t)}})
	slow, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	if err := slow.(*net.TCPConn).SetReadBuffer(1 << 10); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(slow, "GET /events/run/%s HTTP/1.1\r\nHost: localhost\r\n\r\n", idOf(r.dir))
	l := look(t, s, "/run/"+idOf(r.dir))
	for range 3 {
		r.steps(100)
		l.until("chart-Loss", fmt.Sprintf(" at %d;", r.step/10))
	}
	began := time.Now()
	end()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the end took %s", took)
	}
}

// There are only so many places, and one who goes makes room.
func TestPlacesAreBounded(t *testing.T) {
	r := begin(t, filepath.Join(t.TempDir(), "a")).steps(2)
	s, _ := serve(t, Options{Own: &Own{Folder: r.dir, Live: process(t)}})
	var all []*looker
	for range mostStreams {
		all = append(all, look(t, s, "/run/"+idOf(r.dir)))
	}
	url := "http://" + s.Addr() + "/events/run/" + idOf(r.dir)
	if status, body, _ := get(t, url, nil); status != http.StatusServiceUnavailable || !strings.Contains(body, "open already") {
		t.Errorf("one too many: %d %s", status, body)
	}
	all[0].close()
	for deadline := time.Now().Add(10 * time.Second); len(s.streams) == mostStreams; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nobody's place is free")
		}
	}
	look(t, s, "/run/"+idOf(r.dir)).until("head", "training")
}

// Names from recipes, workers and files are shown as text.
func TestNamesAreEscaped(t *testing.T) {
	top := t.TempDir()
	r := begin(t, filepath.Join(top, "<b>a")).steps(10).scored(1)
	s, _ := serve(t, Options{Own: &Own{Folder: r.dir, Live: process(t)}})
	l := look(t, s, "/run/"+idOf(r.dir))
	l.until("views", "sample 1000")
	list, _ := serve(t, Options{Dirs: []string{top}})
	k := look(t, list, "/")
	k.until("runs", idOf(r.dir))
	for _, of := range []*looker{l, k} {
		for id, html := range of.parts {
			if strings.Contains(html, "<img src=x") || strings.Contains(html, "<b>a") || strings.Contains(html, `"'&"`) {
				t.Errorf("%s: %.800s", id, html)
			}
		}
	}
	if !strings.Contains(l.parts["queue"], "&lt;img") {
		t.Error("the worker's name is not there")
	}
}

func TestListenRefuses(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	for _, c := range []struct {
		o    Options
		want error
		says string
	}{
		{Options{Addr: "8080", Dirs: []string{"."}}, errs.ErrUsage, "--web"},
		{Options{Addr: busy.Addr().String(), Dirs: []string{"."}}, errs.ErrUnavailable, "another address"},
		{Options{Addr: ":0", Dirs: []string{"/none"}}, errs.ErrNotFound, "/none"},
	} {
		if _, err := Listen(c.o); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q %q: %v", c.o.Addr, c.o.Dirs, err)
		}
	}
}

// What a page costs the process each second: a look at a run of 10,000 logged steps that has one more.
func BenchmarkLook(b *testing.B) {
	for _, n := range []int{100, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			r := begin(b, filepath.Join(b.TempDir(), "a")).steps(n)
			s, err := newShelf(&Options{Own: &Own{Folder: r.dir, Live: process(b)}})
			if err != nil {
				b.Fatal(err)
			}
			v := newRunView(s, idOf(r.dir), false)
			for b.Loop() {
				r.steps(1)
				v.look(b.Context())
			}
		})
	}
}
