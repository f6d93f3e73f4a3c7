package report

import (
	"bytes"
	_ "embed"
	"encoding/base64"
	"html/template"
	"image"
	"image/png"
	"io"
)

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Parse(pageText))

// Page is what a run's page shows, from top to bottom. Empty parts are left out.
type Page struct {
	Title    string
	Subtitle string  // what the recipe claims
	Headline []Fact  // the few figures that matter
	Charts   []Chart // in order
	Tables   []Table
	Time     []Share // where the wall-clock time went
	Pictures []Picture
	Facts    []Fact   // what was run, on what
	Recipe   string   // resolved, YAML
	Notes    []string // what the page could not show, and why
	Made     string   // by which version of the program, and when
}

// Fact is a name and its value.
type Fact struct{ Name, Value, Detail string }

// Table has a heading, and cells in rows of one length.
type Table struct {
	Title, Caption string
	Columns        []string
	Rows           [][]string
}

// Share is a part of a whole, 0–1.
type Share struct {
	Name  string
	Part  float64
	Value string // for people
}

// Percent is the share's width in the bar.
func (s Share) Percent() float64 { return 100 * s.Part }

// Picture is a picture with a title, and the text that stands in its place for
// those who do not see it.
type Picture struct {
	Title, Caption, Alt string
	PNG                 []byte
}

// URL holds the picture itself.
func (p Picture) URL() template.URL {
	return template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(p.PNG))
}

// EncodePNG is an image as a Picture's PNG, small rather than quick.
func EncodePNG(m image.Image) ([]byte, error) {
	var b bytes.Buffer
	e := png.Encoder{CompressionLevel: png.BestCompression}
	err := e.Encode(&b, m)
	return b.Bytes(), err
}

// Write writes the page.
func (p *Page) Write(w io.Writer) error { return page.Execute(w, p) }
