package web

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"resslt/cmd/internal/browsertest"
)

// screens are those that the page is looked at on.
var screens = map[string]browsertest.Screen{
	"desk": {Width: 1280}, "desk, dark": {Width: 1280, Dark: true}, "phone": {Width: 380}, "phone, dark": {Width: 380, Dark: true},
}

// The page on every screen: no message on the console, nothing wider than the screen, a name for
// all that can be reached, text that can be read. RESSLT_SCREENSHOTS names a folder for pictures.
func TestPageOnScreens(t *testing.T) {
	b := browsertest.Start(t)
	top := t.TempDir()
	r := begin(t, filepath.Join(top, "quickstart")).steps(300).scored(10).scored(20).scored(30)
	other := begin(t, filepath.Join(top, "sweep", "cells", "tau_t-0.03")).steps(200)
	live, _ := serve(t, Options{Own: &Own{Folder: r.dir, Live: process(t)}})
	book, _ := serve(t, Options{Dirs: []string{top}})
	for view, at := range map[string]string{
		"run":     live.URL(),
		"list":    book.URL(),
		"compare": book.URL() + "compare?run=" + idOf(r.dir) + "&run=" + idOf(other.dir),
	} {
		p := b.Open(t, at, browsertest.Screen{Width: 1280})
		p.Wait(t, "document.querySelectorAll('#view > section').length >= 2 && document.title.includes('resslt')")
		if view != "list" {
			p.Wait(t, "document.querySelectorAll('.chart').length >= 3")
		}
		for name, s := range screens {
			p.Resize(t, s)
			what := view + ", " + name
			var wide string
			p.Eval(t, widest, &wide)
			if wide != "" {
				t.Errorf("%s: wider than the screen: %s", what, wide)
			}
			var faint []string
			p.Eval(t, faintest, &faint)
			for _, f := range faint {
				t.Errorf("%s: too faint: %s", what, f)
			}
			for _, v := range violations(t, p) {
				t.Errorf("%s: axe: %s", what, v)
			}
			if dir := os.Getenv("RESSLT_SCREENSHOTS"); dir != "" {
				p.Screenshot(t, filepath.Join(dir, strings.NewReplacer(", ", "-", " ", "-").Replace(what)+".png"))
			}
		}
		for _, role := range p.Nameless(t) {
			t.Errorf("%s: a %s has no name", view, role)
		}
		for _, line := range p.Console() {
			t.Errorf("%s: on the console: %s", view, line)
		}
		p.Close(t)
	}
}

// widest is what makes the page wider than its screen, "" where nothing does.
const widest = `(() => {
	if (document.documentElement.scrollWidth <= window.innerWidth) return "";
	const out = [...document.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > window.innerWidth + 1 && !e.closest(".scroll, pre"));
	return document.documentElement.scrollWidth + ": " + out.slice(0, 3).map(e => e.outerHTML.slice(0, 120)).join(" | ");
})()`

// faintest lists texts whose contrast is below 4.5 to 1, or 3 to 1 where they are large (WCAG 1.4.3).
const faintest = `(() => {
	const rgb = c => c.match(/[\d.]+/g).map(Number);
	const light = ([r, g, b]) => [r, g, b].map(v => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4).reduce((s, v, i) => s + v * [0.2126, 0.7152, 0.0722][i], 0);
	const ground = e => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor); if (c.length < 4 || c[3] > 0) return c; } return [255, 255, 255]; };
	const out = [];
	for (const e of document.querySelectorAll("body *")) {
		if (![...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()) || e.closest(".unseen, noscript, script, [hidden]")) continue;
		const s = getComputedStyle(e), a = light(rgb(e.closest("svg") ? s.fill : s.color)), b = light(ground(e));
		const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), size = parseFloat(s.fontSize);
		if (ratio < (size >= 24 || size >= 18.7 && s.fontWeight >= 700 ? 3 : 4.5)) out.push(ratio.toFixed(2) + " " + e.tagName + "." + e.getAttribute("class") + " " + e.textContent.trim().slice(0, 40));
	}
	return out.slice(0, 5);
})()`

// violations are what axe-core, in the file that RESSLT_AXE names (make axe), finds wrong.
func violations(t *testing.T, p *browsertest.Page) (out []string) {
	t.Helper()
	file := os.Getenv("RESSLT_AXE")
	if file == "" {
		return nil
	}
	axe, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	p.Eval(t, string(axe)+"; null", nil)
	p.Eval(t, `axe.run(document, { resultTypes: ["violations"] }).then(r => r.violations.map(v => v.id + ": " + v.help + ": " + v.nodes.slice(0, 2).map(n => n.html.slice(0, 200)).join(" | ")))`, &out)
	return out
}

// What a person does: follow charts as they grow, read one by the keyboard, look at a plan, go back
// an epoch, pause.
func TestPageIsUsed(t *testing.T) {
	b := browsertest.Start(t)
	r := begin(t, filepath.Join(t.TempDir(), "a")).steps(30).scored(1).scored(2)
	s, _ := serve(t, Options{Own: &Own{Folder: r.dir, Live: process(t)}})
	p := b.Open(t, s.URL(), browsertest.Screen{Width: 1280})
	const points = `JSON.parse(document.querySelector("[data-part=chart-Loss] .chart")?.dataset.chart ?? '{"curves":[{"x":[]}]}').curves[0].x.length`
	p.Wait(t, points+" === 30")

	// By the keyboard: the last point's values, which stay while the chart grows.
	p.Eval(t, `document.querySelector("[data-part=chart-Loss] .chart").focus()`, nil)
	p.Press(t, "End")
	p.Wait(t, `document.getElementById("chart-status").textContent.includes("at epoch 3")`)
	p.Press(t, "ArrowLeft")
	p.Wait(t, `document.getElementById("chart-status").textContent.includes("at epoch 2.9")`)
	r.steps(10)
	p.Wait(t, points+" === 40")
	p.Wait(t, `document.activeElement.matches("[data-part=chart-Loss] .chart") && document.querySelector("[data-part=chart-Loss] .legend b").textContent.includes("at epoch 2.9")`)

	// A plan is shown where its view is reached.
	p.Eval(t, `document.querySelectorAll(".view")[1].focus()`, nil)
	p.Wait(t, `document.querySelector(".plan").textContent.includes("20×20 of 28×28")`)

	// Neighbours after the score before; a new score leaves that choice alone.
	p.Wait(t, `document.querySelector("#near").textContent.includes("Not there after epoch 1: 1.")`)
	p.Eval(t, `document.getElementById("near-at").focus()`, nil)
	p.Press(t, "ArrowLeft")
	p.Wait(t, `!document.querySelector("#near").textContent.includes("Not there") && document.querySelector(".slider output").textContent === "1"`)
	r.scored(3)
	p.Wait(t, `document.getElementById("near-at").max === "2"`)
	p.Wait(t, `document.getElementById("near-at").value === "0" && document.querySelector(".slider output").textContent === "1" && !document.querySelector("#near").textContent.includes("Not there") && document.activeElement.id === "near-at"`)
	p.Press(t, "End")
	p.Wait(t, `document.querySelector("#near").textContent.includes("Not there after epoch 2: 1.")`)

	// Paused, nothing changes and no place is taken; then all has.
	p.Eval(t, `document.getElementById("pause").click()`, nil)
	p.Wait(t, `document.getElementById("state").textContent === "paused"`)
	for len(s.streams) > 0 {
		p.Wait(t, "true")
	}
	r.steps(5)
	var n int
	p.Eval(t, `new Promise(done => setTimeout(() => done(`+points+`), 1500))`, &n)
	if n != 40 {
		t.Errorf("%d points while paused", n)
	}
	p.Eval(t, `document.getElementById("pause").click()`, nil)
	p.Wait(t, points+" === 45")
	if lines := p.Console(); len(lines) > 0 {
		t.Errorf("on the console: %q", lines)
	}
}

// A server that is killed and comes again is found again by the page, which goes on; one that ends
// says so.
func TestPageReconnects(t *testing.T) {
	b := browsertest.Start(t)
	r := begin(t, filepath.Join(t.TempDir(), "a")).steps(10)
	own := &Own{Folder: r.dir, Live: process(t)}
	s, _ := serve(t, Options{Own: own})
	p := b.Open(t, s.URL(), browsertest.Screen{Width: 1280})
	p.Wait(t, `document.querySelectorAll(".chart").length > 3 && document.getElementById("state").dataset.live === "yes"`)
	addr := s.Addr()
	s.http.Close() // as by kill -9: without a word
	p.Wait(t, `document.getElementById("state").textContent.includes("lost")`)
	r.steps(7)
	again, end := serve(t, Options{Addr: addr, Own: own})
	p.Wait(t, `JSON.parse(document.querySelector("[data-part=chart-Loss] .chart").dataset.chart).curves[0].x.length === 17`)
	var charts int
	p.Eval(t, `document.querySelectorAll("[data-part='chart-Loss']").length`, &charts)
	if charts != 1 || again.Addr() != addr {
		t.Errorf("%d charts of the loss", charts)
	}
	end()
	p.Wait(t, `document.getElementById("state").textContent.includes("has ended") && document.querySelectorAll(".chart").length > 3`)
}

// With a token: the address that is printed leads in, and no other.
func TestPageWithToken(t *testing.T) {
	b := browsertest.Start(t)
	r := begin(t, filepath.Join(t.TempDir(), "a")).steps(10)
	s, _ := serve(t, Options{Own: &Own{Folder: r.dir, Live: process(t)}, Token: "a token+of/mine"})
	bare, _, _ := strings.Cut(s.URL(), "#")
	p := b.Open(t, bare, browsertest.Screen{Width: 380})
	p.Wait(t, `!document.getElementById("login").hidden && document.activeElement.id === "token"`)
	if lines := p.Nameless(t); len(lines) > 0 {
		t.Errorf("without a name: %q", lines)
	}
	type_ := func(text string) {
		p.Eval(t, fmt.Sprintf(`{ const i = document.getElementById("token"); i.value = %q; i.form.requestSubmit(); }`, text), nil)
	}
	type_("wrong")
	p.Wait(t, `document.getElementById("state").textContent === "that is not the token"`)
	type_("a token+of/mine")
	p.Wait(t, `document.querySelectorAll(".chart").length > 3 && document.getElementById("login").hidden`)
	p.Close(t)

	q := b.Open(t, s.URL(), browsertest.Screen{Width: 1280})
	q.Wait(t, `document.querySelectorAll(".chart").length > 3 && location.hash === ""`)
	if lines := q.Console(); len(lines) > 0 {
		t.Errorf("on the console: %q", lines)
	}
}
