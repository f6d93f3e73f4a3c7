package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"

	"resslt/cmd/internal/report"
)

//go:embed page.html parts.html
var files embed.FS

//go:embed page.css
var style string

//go:embed page.js
var script string

// fragments are what views are made of.
var fragments = template.Must(template.ParseFS(files, "parts.html"))

// shellPage is the page, which is the same for every view, and shellPolicy what a browser lets it do.
var shellPage, shellPolicy = makeShell()

func makeShell() (page []byte, policy string) {
	css, js := report.Style()+style, report.Script()+script
	var b bytes.Buffer
	err := template.Must(template.ParseFS(files, "page.html")).Execute(&b, struct {
		Style  template.CSS
		Script template.JS
	}{template.CSS(css), template.JS(js)})
	if err != nil {
		return []byte(template.HTMLEscapeString(err.Error())), "default-src 'none'"
	}
	// What is in the page's two elements may run, and nothing else: no name from a run could.
	return b.Bytes(), fmt.Sprintf("default-src 'none'; script-src '%s'; style-src '%s'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
		hashOf(js), hashOf(css))
}

// hashOf is how a policy names an element's text.
func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}
