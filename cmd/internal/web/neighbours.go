package web

import (
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"strings"

	"resslt/cmd/internal/cli"
	"resslt/cmd/internal/figure"
	"resslt/cmd/internal/online"
)

// neighbours is the part with the neighbours after the newest score, and a way to those before.
func (v *runView) neighbours(steps []int64) template.HTML {
	last := len(steps) - 1
	rows, err := nearHTML(v.folder, steps, last)
	if err != nil {
		return fragment("note", cli.Line(err))
	}
	epochs := map[int64]int64{}
	for _, p := range v.run.Scores {
		epochs[p.Step] = p.Epoch
	}
	var at, named []string
	for _, step := range steps {
		at, named = append(at, strconv.FormatInt(step, 10)), append(named, strconv.FormatInt(epochs[step], 10))
	}
	return fragment("neighbours", struct {
		Last                 int
		Steps, Epochs, Epoch string
		Rows                 template.HTML
	}{last, strings.Join(at, " "), strings.Join(named, " "), named[last], rows})
}

// near is a picture among neighbours.
type near struct {
	URL          template.URL
	ID           int64
	Title        string
	Cosine       string
	Other, Fresh bool // of another class than the query; not there after the score before
}

// nearHTML shows the neighbours after one of the scores, beside those after the one before.
func nearHTML(folder string, steps []int64, at int) (template.HTML, error) {
	now, err := online.ReadNeighbours(folder, steps[at])
	if err != nil {
		return "", err
	}
	var before *online.Neighbours
	if at > 0 {
		if before, err = online.ReadNeighbours(folder, steps[at-1]); err != nil {
			before = nil // then nothing is called new
		}
	}
	type row struct {
		Query near
		Near  []near
	}
	var rows []row
	all, right, fresh := 0, 0, 0
	for q := range now.Rows {
		of := &now.Rows[q]
		had := map[int64]bool{}
		if before != nil && q < len(before.Rows) && before.Rows[q].Query.ID == of.Query.ID {
			for _, n := range before.Rows[q].Near {
				had[n.ID] = true
			}
		}
		r := row{Query: nearOf(&of.Query)}
		for i := range of.Near {
			n := nearOf(&of.Near[i])
			n.Other = of.Near[i].Class != of.Query.Class
			n.Fresh = len(had) > 0 && !had[n.ID]
			n.Cosine = fmt.Sprintf("%.2f", of.Near[i].Cosine)
			all++
			if !n.Other {
				right++
			}
			if n.Fresh {
				fresh++
			}
			r.Near = append(r.Near, n)
		}
		rows = append(rows, r)
	}
	summary := fmt.Sprintf("%d of %d neighbours are of their query's class.", right, all)
	if before != nil {
		summary += fmt.Sprintf(" Not there after epoch %d: %d.", before.Epoch, fresh)
	}
	return fragment("near", struct {
		Summary string
		Rows    []row
	}{summary, rows}), nil
}

func nearOf(p *figure.Kept) near { return near{URL: dataURL(p.PNG), ID: p.ID, Title: p.Name} }

// neighbours answers with the neighbours after the score at a step.
func (s *Server) neighbours(w http.ResponseWriter, r *http.Request) {
	folder, err := s.shelf.folder(r.PathValue("id"))
	var steps []int64
	if err == nil {
		steps, err = online.NeighbourSteps(folder)
	}
	if err != nil {
		http.Error(w, "there is no such run any more", http.StatusNotFound)
		return
	}
	for i, step := range steps {
		if strconv.FormatInt(step, 10) == r.URL.Query().Get("step") {
			html, err := nearHTML(folder, steps, i)
			if err != nil {
				http.Error(w, "the neighbours cannot be read", http.StatusNotFound)
				return
			}
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			_, _ = w.Write([]byte(html)) // fails only if the client has hung up
			return
		}
	}
	http.Error(w, "there is no score at that step", http.StatusNotFound)
}
