package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func file(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func has(t *testing.T, path string, texts ...string) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range texts {
		if !strings.Contains(string(raw), text) {
			t.Errorf("%s has no %q:\n%s", path, text, raw)
		}
	}
}

// Links lead to the pages of the site: those of the repository, and one for each file and folder
// that has none.
func TestStage(t *testing.T) {
	root, out := t.TempDir(), filepath.Join(t.TempDir(), "pages")
	file(t, filepath.Join(root, "README.md"), "# R\n\n[a](docs/a.md#x) [l](LICENSE) ![f](docs/f.svg) `[c](no.md)` [h](https://x.y/z)\n\n```sh\n[d](no.md)\n```\n")
	file(t, filepath.Join(root, "LICENSE"), "do as ``` you like\n")
	file(t, filepath.Join(root, "docs/f.svg"), "<svg/>")
	file(t, filepath.Join(root, "docs/a.md"), "# A\n* [X](#x)\n<!-- block: not run, it takes hours -->\n## X\n[home,\nsweet](../README.md#r) [d](../deploy/x) [p](../p/doc.go) [n](../n.ipynb) [x](#x)\n")
	file(t, filepath.Join(root, "deploy/x/y.conf"), "listen: 1\n")
	file(t, filepath.Join(root, "p/doc.go"), "// Package p is.\n//\n//\ta\npackage p\n")
	file(t, filepath.Join(root, "n.ipynb"), `{"cells": [{"cell_type": "markdown", "source": ["# Title\n", "text"]}, {"cell_type": "code", "source": ["x = 1"]}]}`)
	if err := stage(root, out); err != nil {
		t.Fatal(err)
	}
	has(t, filepath.Join(out, "index.md"), "[a](docs/a.md#x) [l](LICENSE.md) ![f](docs/f.svg) `[c](no.md)` [h](https://x.y/z)", "[d](no.md)")
	has(t, filepath.Join(out, "docs/a.md"), "# A\n## X\n", "sweet](../index.md#r) [d](../deploy/x/index.md) [p](../p/doc.go.md) [n](../n.ipynb.md) [x](#x)")
	has(t, filepath.Join(out, "docs/f.svg"), "<svg/>")
	has(t, filepath.Join(out, "LICENSE.md"), "````\ndo as ``` you like\n````")
	has(t, filepath.Join(out, "deploy/x/index.md"), "* [y.conf](y.conf.md)")
	has(t, filepath.Join(out, "deploy/x/y.conf.md"), "# `deploy/x/y.conf`\n\n```nginx\nlisten: 1\n```")
	has(t, filepath.Join(out, "p/doc.go.md"), "```text\nPackage p is.\n\n\ta\n```")
	has(t, filepath.Join(out, "n.ipynb.md"), "## Title\ntext\n\n```python\nx = 1\n```")

	file(t, filepath.Join(root, "docs/b.md"), "[gone](c.md) [out](../../etc/passwd)\n")
	err := stage(root, filepath.Join(t.TempDir(), "pages"))
	if err == nil || !strings.Contains(err.Error(), "docs/b.md: link to c.md") || !strings.Contains(err.Error(), "../../etc/passwd") {
		t.Errorf("links that lead nowhere: %v", err)
	}
}

// The repository's own pages can be staged, and each is in the site's order.
func TestPages(t *testing.T) {
	out := filepath.Join(t.TempDir(), "pages")
	if err := stage("../..", out); err != nil {
		t.Fatal(err)
	}
	order, err := os.ReadFile("zensical.toml")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for _, m := range regexp.MustCompile(`"([^"]+\.md)"`).FindAllStringSubmatch(string(order), -1) {
		listed[m[1]] = true
		if _, err := os.Stat(filepath.Join(out, m[1])); err != nil {
			t.Errorf("zensical.toml names %s, which is no page", m[1])
		}
	}
	for _, pattern := range patterns {
		pages, err := filepath.Glob(filepath.Join("../..", pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range pages {
			name, err := filepath.Rel("../..", p)
			if err != nil {
				t.Fatal(err)
			}
			if !listed[placeOf(filepath.ToSlash(name))] {
				t.Errorf("zensical.toml has no place for %s", name)
			}
		}
	}
}

// check finds what is broken, and nothing else.
func TestCheck(t *testing.T) {
	dir := t.TempDir()
	sound := `<html><head><link rel="canonical" href="https://x.y/"><link rel="stylesheet" href="a/s.css"></head>` +
		`<body><h1 id="top">x</h1><a href="a/b.html#there">b</a><a href="#top">t</a><a href="https://x.y">x</a><img src="data:image/png;base64,AA=="></body></html>`
	file(t, filepath.Join(dir, "index.html"), sound)
	file(t, filepath.Join(dir, "a/b.html"), `<p id="there"><a href="..">up</a></p>`)
	file(t, filepath.Join(dir, "a/s.css"), `a { background: url("data:image/svg+xml;charset=utf-8,<svg xmlns='http://www.w3.org/2000/svg'/>") }`)
	if broken, err := check(dir); err != nil || len(broken) > 0 {
		t.Fatalf("%v %q", err, broken)
	}
	file(t, filepath.Join(dir, "assets/javascripts/x.js"), "")
	file(t, filepath.Join(dir, "a/c.html"), `<script src="`+shimFrom+`"></script>`)
	if err := ownShim(dir); err != nil {
		t.Fatal(err)
	}
	has(t, filepath.Join(dir, "a/c.html"), `<script src="../`+shimTo+`"></script>`)
	if broken, err := check(dir); err != nil || len(broken) > 0 {
		t.Fatalf("%v %q", err, broken)
	}
	for bad, want := range map[string]string{
		`<a href="a/d.html">d</a>`:                                        "no such file",
		`<a href="a/b.html#here">b</a>`:                                   "no such anchor",
		`<a href="#here">b</a>`:                                           "no such anchor",
		`<script src="https://cdn.x/y.js"></script>`:                      "loads https://cdn.x/y.js",
		`<link rel="stylesheet" href="//fonts.x/f">`:                      "loads //fonts.x/f",
		`<link rel="preconnect" href="https://fonts.x">`:                  "loads https://fonts.x",
		`<img src="p.png">`:                                               "no such file",
		`<style>@import "https://f.x/i.css"; b{src:url(//f.x/g)}</style>`: "loads https://f.x/i.css",
	} {
		file(t, filepath.Join(dir, "index.html"), sound+bad)
		broken, err := check(dir)
		if err != nil || len(broken) == 0 || !strings.Contains(strings.Join(broken, "\n"), want) {
			t.Errorf("%s: %v %q", bad, err, broken)
		}
	}
	file(t, filepath.Join(dir, "index.html"), sound)
	file(t, filepath.Join(dir, "a/s.css"), `@font-face { src: url(https://fonts.x/f.woff2) }`)
	if broken, _ := check(dir); len(broken) != 1 {
		t.Errorf("a font from elsewhere: %q", broken)
	}
}
