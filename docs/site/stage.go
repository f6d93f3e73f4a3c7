package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"resslt/schemas/bounded"
	"resslt/schemas/durable"
)

// patterns name the pages, below the repository.
var patterns = []string{"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/*.md", "python/README.md"}

// mostBytes is more than any file that a page links to has.
const mostBytes = 8 << 20

// stager writes the pages of a repository for Zensical.
type stager struct {
	root, out string
	pages     map[string]bool // files of the repository that are pages
	wanted    []string        // files and folders that pages link to, not yet written
	seen      map[string]bool // those that are written or wanted
	broken    []error
}

// stage writes the pages below root, and what they link to, below out. Links that lead nowhere are
// errors.
func stage(root, out string) error {
	s := &stager{root: root, out: out, pages: map[string]bool{}, seen: map[string]bool{}}
	if found, err := os.ReadDir(out); err == nil && len(found) > 0 {
		return fmt.Errorf("%s is not empty", out)
	}
	for _, pattern := range patterns {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			return err
		}
		for _, file := range found {
			name, err := filepath.Rel(root, file)
			if err != nil {
				return err
			}
			s.pages[filepath.ToSlash(name)] = true
		}
	}
	for name := range s.pages {
		text, err := s.read(name)
		if err != nil {
			return err
		}
		if err := s.write(placeOf(name), s.page(name, text)); err != nil {
			return err
		}
	}
	for len(s.wanted) > 0 {
		name := s.wanted[0]
		s.wanted = s.wanted[1:]
		if err := s.linked(name); err != nil {
			return err
		}
	}
	slices.SortFunc(s.broken, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(s.broken...)
}

// placeOf is where a page goes: the README is the first.
func placeOf(name string) string {
	if name == "README.md" {
		return "index.md"
	}
	return name
}

// pageOf is the page that stands for what a page links to.
func pageOf(name string, folder bool) string {
	if folder {
		return name + "/index.md"
	}
	return name + ".md"
}

func isAsset(name string) bool { return slices.Contains([]string{".svg", ".png"}, path.Ext(name)) }

// page is a page as Zensical wants it: its links lead to what the site has. Left out are what is said
// to nobody but our tests, in comments of one line, and a list of the page's own sections, which the
// site has beside each page.
func (s *stager) page(name, text string) string {
	var out []string
	for _, line := range strings.Split(text, "\n") {
		if t := strings.TrimSpace(line); strings.HasPrefix(t, "<!--") && strings.HasSuffix(t, "-->") || section.MatchString(line) {
			continue
		}
		out = append(out, line)
	}
	return eachLink(strings.Join(out, "\n"), func(target string) string {
		to, err := s.target(name, target)
		if err != nil {
			s.broken = append(s.broken, fmt.Errorf("%s: link to %s: %w", name, target, err))
			return target
		}
		return to
	})
}

// section is an entry of a list of a page's own sections.
var section = regexp.MustCompile(`^\* \[[^\]]+\]\(#[^)]+\)$`)

// target is a link's target in the site.
func (s *stager) target(from, target string) (string, error) {
	file, anchor, _ := strings.Cut(target, "#")
	if file == "" || strings.Contains(file, "://") || strings.HasPrefix(file, "mailto:") {
		return target, nil
	}
	if anchor != "" {
		anchor = "#" + anchor
	}
	name := path.Join(path.Dir(from), file)
	place := placeOf(name)
	if !s.pages[name] {
		info, err := os.Stat(filepath.Join(s.root, filepath.FromSlash(name)))
		if strings.HasPrefix(name, "../") || errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("the repository has no %s", name)
		}
		if err != nil {
			return "", err
		}
		if !s.seen[name] {
			s.seen[name] = true
			s.wanted = append(s.wanted, name)
		}
		if place = name; !isAsset(name) {
			place = pageOf(name, info.IsDir())
		}
	}
	to, err := filepath.Rel(path.Dir(placeOf(from)), place)
	return filepath.ToSlash(to) + anchor, err
}

// linked writes what a page links to.
func (s *stager) linked(name string) error {
	at := filepath.Join(s.root, filepath.FromSlash(name))
	info, err := os.Stat(at)
	if err != nil {
		return err
	}
	if info.IsDir() {
		entries, err := os.ReadDir(at)
		if err != nil {
			return err
		}
		text := fmt.Sprintf("# `%s`\n\n", name)
		for _, e := range entries {
			if file := path.Join(name, e.Name()); e.Type().IsRegular() && path.Ext(file) != ".pyc" {
				text += fmt.Sprintf("* [%s](%s)\n", e.Name(), pageOf(e.Name(), false))
				if !s.seen[file] {
					s.seen[file] = true
					s.wanted = append(s.wanted, file)
				}
			}
		}
		return s.write(pageOf(name, true), text)
	}
	text, err := s.read(name)
	if err != nil {
		return err
	}
	if isAsset(name) {
		return s.write(name, text)
	}
	shown, err := source(name, text)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return s.write(pageOf(name, false), shown)
}

func (s *stager) read(name string) (string, error) {
	raw, err := bounded.ReadFile(filepath.Join(s.root, filepath.FromSlash(name)), mostBytes)
	return string(raw), err
}

func (s *stager) write(name, text string) error {
	to := filepath.Join(s.out, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return durable.WriteFile(to, []byte(text))
}

// eachLink is Markdown with the target of each link and picture replaced. Code has none.
func eachLink(text string, replace func(target string) string) string {
	var b strings.Builder
	lineBegins := true
	for i := 0; i < len(text); {
		switch {
		case lineBegins && strings.HasPrefix(strings.TrimLeft(text[i:], " "), "```"):
			end := fenced(text[i:])
			b.WriteString(text[i : i+end])
			i += end
			continue
		case text[i] == '`':
			end := coded(text[i:])
			b.WriteString(text[i : i+end])
			i, lineBegins = i+end, false
			continue
		case strings.HasPrefix(text[i:], "]("):
			if end := strings.IndexAny(text[i:], ")\n "); end > 2 && text[i+end] == ')' {
				b.WriteString("](" + replace(text[i+2:i+end]) + ")")
				i, lineBegins = i+end+1, false
				continue
			}
		}
		lineBegins = text[i] == '\n'
		b.WriteByte(text[i])
		i++
	}
	return b.String()
}

// fenced is how long the fenced block is that text begins with, its last line break included.
func fenced(text string) int {
	n := 0
	for k, line := range strings.SplitAfter(text, "\n") {
		n += len(line)
		if k > 0 && strings.HasPrefix(strings.TrimSpace(line), "```") {
			return n
		}
	}
	return len(text)
}

// coded is how long the code is that text begins with: to as many backticks as it has. Without
// them the backticks are text.
func coded(text string) int {
	n := len(text) - len(strings.TrimLeft(text, "`"))
	mark := text[:n]
	for i := n; ; {
		at := strings.Index(text[i:], mark)
		if at < 0 {
			return n
		}
		i += at
		run := len(text[i:]) - len(strings.TrimLeft(text[i:], "`"))
		if i += run; run == n {
			return i
		}
	}
}
