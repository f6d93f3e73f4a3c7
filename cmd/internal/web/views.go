package web

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"html/template"
	"image"
	"image/png"
	"net/http"
	"strconv"
	"time"

	"resslt/cmd/internal/cli"
	"resslt/cmd/internal/sheet"
	"resslt/schemas"
)

// lookAtViews renders the newest samples, and asks for newer ones from time to time.
func (v *runView) lookAtViews() {
	if time.Since(v.asked) < viewsEvery && v.views.id != "" {
		return
	}
	newest := v.live.Views()
	if newest == nil || newest == v.viewed {
		return
	}
	v.viewed, v.asked = newest, time.Now()
	v.views = part{id: "views", html: must(viewsHTML("views", "/run/"+v.id+"/sheet.png", newest))}
}

// shown is a picture with what is to be said of it.
type shown struct {
	URL   template.URL
	Alt   string
	Title string
	Plan  string
	Size  int
}

// rowsOf are the samples for the fragments that show them.
func rowsOf(v *Views) (step int64, rows []viewRow, err error) {
	for i := range v.Slots {
		s := &v.Slots[i]
		step = s.Step
		r := viewRow{Title: fmt.Sprintf("sample %d", s.Sample)}
		if s.Label != schemas.NoLabel {
			r.Title += fmt.Sprintf(", class %d", s.Label)
		}
		if s.Reason != "" {
			r.Title += fmt.Sprintf(", in place of %d: %s", s.Planned, s.Reason)
		}
		for k, of := range v.Of {
			var b bytes.Buffer
			if err := png.Encode(&b, s.View(k, of)); err != nil {
				return step, nil, err
			}
			r.Views = append(r.Views, shown{
				URL: dataURL(b.Bytes()), Title: fmt.Sprintf("%s (%s)", of.Name, of.Role), Plan: s.Plans[k].String(), Size: of.Size,
				Alt: fmt.Sprintf("%s view of sample %d", of.Name, s.Sample),
			})
		}
		rows = append(rows, r)
	}
	return step, rows, nil
}

// viewRow is a sample with its views.
type viewRow struct {
	Title string
	Views []shown
}

// viewsHTML is a part or a fragment with the samples; sheet leads to them as one picture.
func viewsHTML(name, sheet string, v *Views) (template.HTML, error) {
	step, rows, err := rowsOf(v)
	if err != nil {
		return "", err
	}
	return fragment(name, struct {
		Step  int64
		Sheet string
		Rows  []viewRow
	}{step, sheet, rows}), nil
}

func dataURL(raw []byte) template.URL {
	return template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(raw))
}

// sheet answers with the newest views as the sheet of `resslt inspect`.
func (s *Server) sheet(w http.ResponseWriter, r *http.Request) {
	var v *Views
	if live := s.shelf.live(r.PathValue("id")); live != nil {
		v = live.Views()
	}
	if v == nil {
		http.Error(w, "there are no views yet", http.StatusNotFound)
		return
	}
	var rows []*image.RGBA
	for i := range v.Slots {
		rows = append(rows, v.Slots[i].Row(v.Of))
	}
	w.Header().Set("Content-Type", "image/png")
	_ = png.Encode(w, sheet.Stack(rows)) // fails only if the client has hung up
}

// views answers with the views of a recorded step.
func (s *Server) views(w http.ResponseWriter, r *http.Request) {
	step := int64(-1)
	if text := r.URL.Query().Get("step"); text != "" {
		var err error
		if step, err = strconv.ParseInt(text, 10, 64); err != nil || step < 0 {
			http.Error(w, "give a step of 0 or more", http.StatusBadRequest)
			return
		}
	}
	folder, err := s.shelf.folder(r.PathValue("id"))
	if err != nil || s.recorded == nil {
		http.Error(w, "there is no such run any more", http.StatusNotFound)
		return
	}
	select {
	case s.remaking <- struct{}{}:
		defer func() { <-s.remaking }()
	case <-r.Context().Done():
		return
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(remakeTimeout)) // one that cannot be set has none
	ctx, cancel := context.WithTimeout(r.Context(), remakeTimeout)
	defer cancel()
	v, err := s.recorded(ctx, folder, step)
	var html template.HTML
	if err == nil {
		html, err = viewsHTML("recalled", "", v)
	}
	if err != nil { // for the person who asked: the run's own error says what is missing
		html = fragment("note", cli.Line(err))
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write([]byte(html)) // fails only if the client has hung up
}

// remakeTimeout bounds how long views may be made again: large data are indexed first.
const remakeTimeout = 2 * time.Minute
