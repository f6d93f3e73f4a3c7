package main

import (
	_ "embed"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/net/html"

	"resslt/schemas/bounded"
	"resslt/schemas/durable"
)

// shimFrom is where Zensical has a site that is read from a disk load its search from, and shimTo
// where ours has it.
const (
	shimFrom = "https://unpkg.com/iframe-worker/shim"
	shimTo   = "assets/javascripts/iframe-worker.js"
)

//go:embed iframe-worker.js
var shim []byte

// ownShim has the pages load that script from the site.
func ownShim(site string) error {
	if err := durable.WriteFile(filepath.Join(site, filepath.FromSlash(shimTo)), shim); err != nil {
		return err
	}
	return filepath.WalkDir(site, func(file string, d fs.DirEntry, err error) error {
		if err != nil || path.Ext(file) != ".html" {
			return err
		}
		raw, err := bounded.ReadFile(file, mostBytes)
		if err != nil {
			return err
		}
		to, err := filepath.Rel(filepath.Dir(file), filepath.Join(site, shimTo))
		if err != nil {
			return err
		}
		return durable.WriteFile(file, []byte(strings.ReplaceAll(string(raw), shimFrom, filepath.ToSlash(to))))
	})
}

// page is what check wants to know of an HTML file.
type page struct {
	ids   map[string]bool
	links []string // of a
	loads []string // what a browser fetches to show the page
}

// loading are the attributes by which an element has the browser fetch something.
var loading = map[string]string{"script": "src", "img": "src", "source": "src", "iframe": "src", "video": "src", "audio": "src", "embed": "src", "object": "data"}

// notLoaded are the kinds of link elements that only say something of the page.
var notLoaded = []string{"canonical", "prev", "next", "alternate", "author", "license", "edit"}

// check finds links and anchors of a built site that lead nowhere, and what its pages would fetch
// from elsewhere.
func check(site string) (broken []string, err error) {
	pages := map[string]*page{}
	err = filepath.WalkDir(site, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(site, file)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		switch path.Ext(name) {
		case ".html":
			pages[name], err = readPage(file)
			return err
		case ".css":
			raw, err := bounded.ReadFile(file, mostBytes)
			for _, from := range fetchedByCSS(string(raw)) {
				broken = append(broken, fmt.Sprintf("%s: loads %s", name, from))
			}
			return err
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(pages) == 0 {
		return nil, fmt.Errorf("%s has no pages", site)
	}
	for name, p := range pages {
		for _, from := range p.loads {
			if isElsewhere(from) {
				broken = append(broken, fmt.Sprintf("%s: loads %s", name, from))
			} else if why := leads(site, pages, name, from); why != "" {
				broken = append(broken, fmt.Sprintf("%s: loads %s: %s", name, from, why))
			}
		}
		for _, to := range p.links {
			if isElsewhere(to) {
				continue
			}
			if why := leads(site, pages, name, to); why != "" {
				broken = append(broken, fmt.Sprintf("%s: link to %s: %s", name, to, why))
			}
		}
	}
	slices.Sort(broken)
	return slices.Compact(broken), nil
}

var scheme = regexp.MustCompile(`^([a-zA-Z][a-zA-Z0-9+.-]*:|//)`)

func isElsewhere(target string) bool {
	return scheme.MatchString(target) && !strings.HasPrefix(target, "data:")
}

// leads is why a target of a page leads nowhere, or "".
func leads(site string, pages map[string]*page, from, target string) string {
	u, err := url.Parse(target)
	switch {
	case err != nil:
		return err.Error()
	case u.Scheme == "data":
		return ""
	}
	to := from
	if u.Path != "" {
		to = path.Join(path.Dir(from), u.Path)
		if strings.HasPrefix(u.Path, "/") {
			to = strings.TrimPrefix(path.Clean(u.Path), "/")
		}
	}
	info, err := os.Stat(filepath.Join(site, filepath.FromSlash(to)))
	if err == nil && info.IsDir() {
		to = path.Join(to, "index.html")
		_, err = os.Stat(filepath.Join(site, filepath.FromSlash(to)))
	}
	if err != nil {
		return "there is no such file"
	}
	if p := pages[to]; p != nil && u.Fragment != "" && !p.ids[u.Fragment] {
		return "the page has no such anchor"
	}
	return ""
}

func readPage(file string) (*page, error) {
	f, err := bounded.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	root, err := html.Parse(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	p := &page{ids: map[string]bool{}}
	for n := range root.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		p.element(n)
	}
	return p, nil
}

func (p *page) element(n *html.Node) {
	has := map[string]string{}
	for _, a := range n.Attr {
		has[a.Key] = a.Val
	}
	if id := has["id"]; id != "" {
		p.ids[id] = true
	}
	switch {
	case n.Data == "a":
		if to, ok := has["href"]; ok && to != "" && !strings.HasPrefix(to, "javascript:") {
			p.links = append(p.links, to)
		}
		if has["name"] != "" {
			p.ids[has["name"]] = true
		}
	case n.Data == "link":
		if !slices.ContainsFunc(strings.Fields(has["rel"]), func(rel string) bool { return slices.Contains(notLoaded, rel) }) {
			p.loads = append(p.loads, has["href"])
		}
	case n.Data == "style" && n.FirstChild != nil:
		p.loads = append(p.loads, fetchedByCSS(n.FirstChild.Data)...)
	case loading[n.Data] != "" && has[loading[n.Data]] != "":
		p.loads = append(p.loads, has[loading[n.Data]])
	}
}

var fetched = regexp.MustCompile(`(?:url\(|@import)\s*['"]?((?:https?:)?//[^'")\s]+)`)

// fetchedByCSS is what a style sheet loads from elsewhere.
func fetchedByCSS(css string) (out []string) {
	for _, m := range fetched.FindAllStringSubmatch(css, -1) {
		out = append(out, m[1])
	}
	return out
}
