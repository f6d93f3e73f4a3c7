package web

import (
	"context"
	"fmt"

	"resslt/cmd/internal/report"
	"resslt/cmd/internal/runbook"
	"resslt/schemas/errs"
)

// compareView is a few runs side by side: the page of `resslt compare`, as it changes.
type compareView struct {
	followers []*runbook.Follower
	err       error // why there is nothing to compare
}

func newCompareView(s *shelf, ids []string) view {
	v := &compareView{}
	if len(ids) < 2 || len(ids) > runbook.MostCompared {
		v.err = errs.New("compare", "", fmt.Sprintf("choose 2 to %d in the list", runbook.MostCompared), errs.Because(errs.ErrUsage, fmt.Sprintf("%d chosen", len(ids))))
		return v
	}
	for _, id := range ids {
		dir, err := s.folder(id)
		if err != nil {
			v.err = err
			return v
		}
		v.followers = append(v.followers, runbook.Follow(dir))
	}
	return v
}

func (v *compareView) look(context.Context) ([]part, bool) {
	if v.err != nil {
		return failed(v.err), true
	}
	changed := false
	for _, f := range v.followers {
		_, differs, err := f.Look()
		if err != nil {
			return failed(err), true
		}
		changed = changed || differs
	}
	if !changed {
		return nil, false
	}
	var found []*runbook.Run
	for _, f := range v.followers {
		found = append(found, f.WithDigest())
	}
	p := runbook.Compare(found...).Page()
	parts := []part{{id: "head", html: fragment("heading", heading{Title: p.Title, Detail: p.Subtitle, Back: true})}}
	for i, t := range p.Tables {
		parts = append(parts, part{id: fmt.Sprintf("table-%d", i), html: must(t.HTML())})
	}
	return append(parts, chartParts(p.Charts)...), true
}

// chartParts are the charts, a part each, below their heading.
func chartParts(charts []report.Chart) []part {
	if len(charts) == 0 {
		return nil
	}
	parts := []part{{id: "curves", html: fragment("subheading", "Curves")}}
	for _, c := range charts {
		parts = append(parts, part{id: "chart-" + c.Title, html: must(c.HTML())})
	}
	return parts
}
