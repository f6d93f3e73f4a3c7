package main

import (
	"encoding/json"
	"fmt"
	"path"
	"strings"
)

// languages are those in which sources are coloured.
var languages = map[string]string{
	".go": "go", ".py": "python", ".sh": "sh", ".yaml": "yaml", ".json": "json", ".service": "ini", ".conf": "nginx",
	".c": "c", ".h": "c", ".cc": "cpp",
}

// source is the page that shows a file.
func source(name, text string) (string, error) {
	title := fmt.Sprintf("# `%s`\n\n", name)
	switch {
	case path.Base(name) == "doc.go":
		return title + fence("text", packageComment(text)), nil
	case path.Ext(name) == ".ipynb":
		cells, err := notebook(text)
		return title + cells, err
	}
	return title + fence(languages[path.Ext(name)], text), nil
}

// fence is a fenced block, whose fence is longer than any in the text.
func fence(language, text string) string {
	mark := "```"
	for strings.Contains(text, mark) {
		mark += "`"
	}
	return mark + language + "\n" + strings.TrimRight(text, "\n") + "\n" + mark + "\n"
}

// packageComment is the comment that a doc.go opens with.
func packageComment(text string) string {
	var out []string
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if !strings.HasPrefix(line, "//") {
			break
		}
		out = append(out, strings.TrimPrefix(strings.TrimPrefix(line, "//"), " "))
	}
	return strings.Join(out, "\n")
}

// notebook is a notebook's cells.
func notebook(text string) (string, error) {
	var n struct {
		Cells []struct {
			Kind   string   `json:"cell_type"`
			Source []string `json:"source"`
		} `json:"cells"`
	}
	if err := json.Unmarshal([]byte(text), &n); err != nil {
		return "", err
	}
	var b strings.Builder
	for _, c := range n.Cells {
		switch lines := strings.Join(c.Source, ""); {
		case strings.TrimSpace(lines) == "":
		case c.Kind == "code":
			b.WriteString(fence("python", lines) + "\n")
		default: // one level down: the page has its title
			for line := range strings.Lines(lines) {
				if strings.HasPrefix(line, "# ") {
					b.WriteByte('#')
				}
				b.WriteString(line)
			}
			b.WriteString("\n\n")
		}
	}
	return b.String(), nil
}
