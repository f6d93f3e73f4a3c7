package main

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"resslt/schemas/bounded"
	"resslt/schemas/durable"
)

const (
	begin = "<!-- writers:begin -->\n"
	end   = "<!-- writers:end -->\n"
	// maxNamed is the number of labels that a cell of the table counts.
	maxNamed = 5
	mostDocs = 16 << 20
)

// countsText is the number of samples of each label, in a few words.
func countsText(counts map[string]int) string {
	var parts []string
	for _, label := range slices.Sorted(maps.Keys(counts)) {
		if len(parts) == maxNamed {
			return strings.Join(parts, ", ") + fmt.Sprintf(" and %d more", len(counts)-maxNamed)
		}
		parts = append(parts, fmt.Sprintf("%s: %d", label, counts[label]))
	}
	return strings.Join(parts, ", ")
}

// table has a row for each data set.
func table(all []result) string {
	var b strings.Builder
	b.WriteString("| writer | option | samples | labels | verdict |\n| --- | --- | --- | --- | --- |\n")
	for _, r := range all {
		verdict := r.verdict
		if !r.ok {
			verdict = "**WRONG** " + verdict
		}
		fmt.Fprintf(&b, "| %s %s | %s | %d | %s | %s |\n", r.Writer, r.Version, cell(r.Option), r.Samples, cell(r.labels), cell(verdict))
	}
	return b.String()
}

// cell is a text that a cell of a Markdown table can hold, in one short line.
func cell(s string) string {
	s = strings.ReplaceAll(strings.ReplaceAll(s, "\n", " "), "|", `\|`)
	return strings.ReplaceAll(s, "<", "&lt;")
}

// summary has a row for each writer, of what is read, and one for each refusal.
func summary(all []result) string {
	type key struct{ writer, labels, verdict string }
	options := map[key][]string{}
	var order []key
	for _, r := range all {
		k := key{writer: strings.TrimSpace(r.Writer + " " + r.Version), labels: fmt.Sprintf("%d | %s", r.Samples, cell(r.labels)), verdict: "read"}
		switch {
		case !r.ok:
			k.verdict = "**WRONG** " + cell(reason(r))
		case r.Expect != "read":
			k.labels, k.verdict = " | ", fmt.Sprintf("refused: %q", cell(reason(r)))
		}
		if options[k] == nil {
			order = append(order, k)
		}
		options[k] = append(options[k], cell(r.Option))
	}
	slices.SortStableFunc(order, func(a, b key) int {
		return cmp.Or(cmp.Compare(a.writer, b.writer), cmp.Compare(b.verdict[:4], a.verdict[:4]))
	})
	var b strings.Builder
	b.WriteString("| writer | options | samples | labels | verdict |\n| --- | --- | --- | --- | --- |\n")
	for _, k := range order {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", k.writer, strings.Join(options[k], "; "), k.labels, k.verdict)
	}
	return b.String()
}

// reason is a refusal without the place, which is a folder of this run.
func reason(r result) string {
	text := strings.TrimPrefix(r.verdict, "refused: ")
	files, _, _ := strings.Cut(strings.TrimPrefix(r.URI, "parquet:"), "?")
	for _, place := range []string{r.uri(), files, r.Path, path.Dir(r.Path)} {
		if place != "" && place != "." {
			text = strings.ReplaceAll(text, place, "…")
		}
	}
	return text
}

// update replaces what is between the markers of a file.
func update(name, text string) error {
	data, err := bounded.ReadFile(name, mostDocs)
	if err != nil {
		return err
	}
	before, rest, found := bytes.Cut(data, []byte(begin))
	_, after, closed := bytes.Cut(rest, []byte(end))
	if !found || !closed {
		return fmt.Errorf("%s has no lines %q and %q", name, strings.TrimSpace(begin), strings.TrimSpace(end))
	}
	out := slices.Concat(before, []byte(begin), []byte(text), []byte(end), after)
	return durable.WriteFile(name, out)
}
