package web

import (
	"cmp"
	"context"
	"fmt"
	"html/template"
	"strings"

	"resslt/cmd/internal/cli"
	"resslt/cmd/internal/runbook"
)

// listView is the list of runs.
type listView struct {
	shelf *shelf
	seen  int
	begun bool
}

// listed is a row of the list.
type listed struct {
	ID, Name, Recipe, Data, State, Epochs, Loss, KNN, Linear, Rate, Age, Tags string
}

// look renders the list. Ages alone are no change: those of runs that train change with the rest.
func (v *listView) look(context.Context) ([]part, bool) {
	found, seen, err := v.shelf.look()
	if err != nil {
		return failed(err), true
	}
	if v.begun && seen == v.seen {
		return nil, false
	}
	v.begun, v.seen = true, seen
	names := runbook.Names(found)
	rows := make([]listed, len(found))
	running := 0
	for i, r := range found {
		if r.State == runbook.Running {
			running++
		}
		rows[i] = listed{
			ID: idOf(r.Folder), Name: names[i], Recipe: r.Recipe, Data: r.Data, State: r.State, Epochs: fmt.Sprintf("%.4g of %d", r.Epoch, r.Epochs),
			Loss: cmp.Or(runbook.Figure(r.Loss, 4), "–"), KNN: cmp.Or(runbook.Figure(r.KNN, 2), "–"), Linear: cmp.Or(runbook.Figure(r.Linear, 2), "–"),
			Rate: fmt.Sprintf("%.0f", r.Rate), Age: runbook.Age(r.Seconds), Tags: strings.Join(r.Tags, ", "),
		}
	}
	head := fmt.Sprintf("%d found, %d running", len(found), running)
	return []part{
		{id: "head", html: fragment("heading", heading{Title: "Runs", Detail: head})},
		{id: "runs", html: fragment("list", struct {
			Rows []listed
			Most int
		}{rows, runbook.MostCompared})},
	}, true
}

// heading is the top of a view.
type heading struct {
	Title, Detail, State string
	Back                 bool // to the list
}

// failed is a view that could not be made.
func failed(err error) []part {
	return []part{{id: "head", html: fragment("heading", heading{Title: "Not shown", Detail: cli.Line(err), Back: true})}}
}

// fragment executes a template of parts.html. What it is given has the fields that it names, or a
// test would have failed.
func fragment(name string, of any) template.HTML {
	var b strings.Builder
	if err := fragments.ExecuteTemplate(&b, name, of); err != nil {
		return template.HTML("<p>" + template.HTMLEscapeString(err.Error()) + "</p>")
	}
	return template.HTML(b.String())
}

// must is a fragment of package report, or why there is none.
func must(h template.HTML, err error) template.HTML {
	if err != nil {
		return template.HTML("<p>" + template.HTMLEscapeString(err.Error()) + "</p>")
	}
	return h
}
