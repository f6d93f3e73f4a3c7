package report

import (
	"bytes"
	"embed"
	"encoding/base64"
	"html/template"
	"image"
	"image/png"
	"io"
)

//go:embed page.html parts.html
var files embed.FS

//go:embed style.css
var style string

//go:embed chart.js
var script string

var page = template.Must(template.New("page.html").Funcs(template.FuncMap{
	"style":  func() template.CSS { return template.CSS(style) },
	"script": func() template.JS { return template.JS(script) },
}).ParseFS(files, "page.html", "parts.html"))

// Style is the page's style sheet and Script what its charts do under the pointer, for a page of
// another layout that has some of the same parts.
func Style() string { return style }

// Script is JavaScript: liveChart(figure) has a chart that came later do the same.
func Script() string { return script }

// Page is the content of a run's page, from top to bottom. Empty parts are omitted.
type Page struct {
	Title    string
	Subtitle string  // the recipe's claim
	Headline []Fact  // the most important figures
	Charts   []Chart // in order
	Tables   []Table
	Time     []Share // where the wall-clock time went
	Pictures []Picture
	Facts    []Fact   // configuration and hardware
	Recipe   string   // resolved, YAML
	Notes    []string // what is missing on the page, and why
	Made     string   // program version and time
}

// Fact is a name and its value.
type Fact struct{ Name, Value, Detail string }

// Table has a heading and rows of equal length.
type Table struct {
	Title, Caption string
	Columns        []string
	Rows           [][]string
}

// Share is a part of a whole, 0–1.
type Share struct {
	Name  string
	Part  float64
	Value string // for readers
}

// Percent is the share's width in the bar.
func (s Share) Percent() float64 { return 100 * s.Part }

// Picture is a picture with a title and an alternative text.
type Picture struct {
	Title, Caption, Alt string
	PNG                 []byte
}

// URL is a data URL with the picture itself.
func (p Picture) URL() template.URL {
	return template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(p.PNG))
}

// EncodePNG encodes an image for Picture, with the best compression.
func EncodePNG(m image.Image) ([]byte, error) {
	var b bytes.Buffer
	e := png.Encoder{CompressionLevel: png.BestCompression}
	err := e.Encode(&b, m)
	return b.Bytes(), err
}

// Write writes the page.
func (p *Page) Write(w io.Writer) error { return page.Execute(w, p) }

// HTML is the table with its heading, for a page with Style.
func (t Table) HTML() (template.HTML, error) { return part("table", t) }

// HTML is the chart in its frame, with the legend.
func (c Chart) HTML() (template.HTML, error) { return part("chart", c) }

// Headline is the figures that stand at a page's top.
func Headline(facts []Fact) (template.HTML, error) { return part("headline", facts) }

// Facts is a list of names and values.
func Facts(facts []Fact) (template.HTML, error) { return part("facts", facts) }

func part(name string, of any) (template.HTML, error) {
	var b bytes.Buffer
	err := page.ExecuteTemplate(&b, name, of)
	return template.HTML(b.String()), err
}
