package main

import (
	"bufio"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"resslt/cmd/internal/browsertest"
)

// address is the page's, as it is printed.
var address = regexp.MustCompile(`http://127\.0\.0\.1:\d+/`)

// addressIn reads lines up to the one with the page's address, and hands on what follows.
func addressIn(t *testing.T, from io.Reader) string {
	t.Helper()
	for in := bufio.NewScanner(from); in.Scan(); {
		if at := address.FindString(in.Text()); at != "" {
			go func() { _, _ = io.Copy(io.Discard, from) }() // until the process ends
			return at
		}
	}
	t.Fatal("no address was printed")
	return ""
}

// A run is watched from its beginning to its end, by two pages: charts grow, the views of its steps,
// its worker and its queue are there, and so are the neighbours. Its weights are those of a run that
// nobody has watched.
func TestWeb(t *testing.T) {
	needTorch(t)
	needData(t)
	plain := undisturbed(t)
	b := browsertest.Start(t)
	dir := t.TempDir()
	c := command(t, "resslt", quick(dir, "--web", ":0", "--set", "knn_every=1")...)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	c.Stderr = w
	start(t, c)
	w.Close()
	at := addressIn(t, r)
	hurry := hold(t, c)
	pages := []*browsertest.Page{b.Open(t, at, browsertest.Screen{Width: 1280}), b.Open(t, at, browsertest.Screen{Width: 380, Dark: true})}
	for _, p := range pages {
		// What it has shown at any time, for the run is short.
		p.Eval(t, `window.seen = new Set(); new MutationObserver(() => {
			const chart = document.querySelector("[data-part=chart-Loss] .chart");
			if (chart) seen.add("points " + JSON.parse(chart.dataset.chart).curves[0].x.length);
			for (const id of ["queue", "views", "neighbours"]) if (document.querySelector("[data-part=" + id + "]")?.textContent) seen.add(id);
			if (document.querySelector("[data-part=queue] td")?.textContent === "embedded") seen.add("worker");
		}).observe(document.documentElement, { childList: true, subtree: true }); null`, nil)
	}
	for _, p := range pages {
		p.Wait(t, `[...seen].filter(s => s.startsWith("points")).length > 1 || document.getElementById("state").textContent.includes("has ended")`)
	}
	hurry()
	if o := c.end(); o.code != 0 {
		t.Fatalf("exit %d: %s", o.code, o.stderr)
	} else {
		sameWeights(t, "watched", printed(t, o), plain)
	}
	for i, p := range pages {
		p.Wait(t, `document.getElementById("state").textContent.includes("has ended")`)
		var seen []string
		p.Eval(t, "[...seen].sort()", &seen)
		all, grew := strings.Join(seen, " "), 0
		for _, s := range seen {
			if strings.HasPrefix(s, "points ") {
				grew++
			}
		}
		if grew < 2 || !strings.Contains(all, "points 20") || !strings.Contains(all, "queue") || !strings.Contains(all, "neighbours") {
			t.Errorf("page %d has shown %q", i, seen)
		}
		for _, line := range p.Console() {
			t.Errorf("page %d: on the console: %s", i, line)
		}
	}

	// Then `resslt web` shows it further, to whoever asks, until it is stopped.
	web := command(t, "resslt", "web", filepath.Dir(dir))
	if r, w, err = os.Pipe(); err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	web.Stdout = w
	start(t, web)
	w.Close()
	p := b.Open(t, addressIn(t, r), browsertest.Screen{Width: 1280})
	p.Wait(t, `document.querySelectorAll("tbody tr").length === 1 && document.querySelector("tbody").textContent.includes("ended")`)
	p.Eval(t, `document.querySelector("tbody a").click()`, nil)
	p.Wait(t, `document.querySelectorAll(".chart").length > 5 && document.body.textContent.includes("kNN top-1")`)
	// A step's views are made again from the log, and are those that were trained on or none.
	p.Eval(t, `document.getElementById("recall-step").value = "3"; document.getElementById("recall-show").click()`, nil)
	p.Wait(t, `document.querySelectorAll("#recalled .view img").length === 8 && document.getElementById("recalled").textContent.includes("step 3")`)
	p.Eval(t, `document.querySelectorAll(".view")[1].focus()`, nil)
	p.Wait(t, `document.querySelector(".plan").textContent.includes("crop")`)
	if dir := os.Getenv("RESSLT_SCREENSHOTS"); dir != "" {
		p.Screenshot(t, filepath.Join(dir, "real.png"))
		p.Resize(t, browsertest.Screen{Width: 380, Dark: true})
		p.Screenshot(t, filepath.Join(dir, "real-phone-dark.png"))
	}
	if err := web.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if o := web.end(); o.code != 0 {
		t.Errorf("exit %d: %s", o.code, o.stderr)
	}
	p.Wait(t, `document.getElementById("state").textContent.includes("has ended")`)
}

// hold lets a process run a fifth of the time, so that a browser keeps up with so short a run
// however busy the machine is, until hurry is called.
func hold(t *testing.T, c *program) (hurry func()) {
	t.Helper()
	stop, done := make(chan struct{}), make(chan struct{})
	signal := func(s syscall.Signal, then time.Duration) {
		_ = c.Process.Signal(s) // it may have ended
		select {
		case <-stop:
		case <-time.After(then):
		}
	}
	go func() {
		defer close(done)
		for {
			signal(syscall.SIGSTOP, 80*time.Millisecond)
			signal(syscall.SIGCONT, 20*time.Millisecond)
			select {
			case <-stop:
				return
			default:
			}
		}
	}()
	hurry = sync.OnceFunc(func() { close(stop); <-done })
	t.Cleanup(hurry)
	return hurry
}
