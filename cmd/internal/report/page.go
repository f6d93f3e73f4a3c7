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
