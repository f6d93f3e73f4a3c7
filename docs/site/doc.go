// Command site makes a site of the pages that stand in README.md, CONTRIBUTING.md, CHANGELOG.md, docs
// and python: `make site` has it write what Zensical builds, and look over what Zensical has built.
//
//	go run ./docs/site stage DIR    the pages, as Zensical wants them, below DIR
//	go run ./docs/site finish DIR   a built site that loads nothing from elsewhere, and what is broken in it
//
// The pages are written for a code host, where every link to a file of the repository works. A site
// has no such files, so that stage gives it a page for each that a page links to:
//
//	page      a Markdown file of the repository; README.md becomes index.md, the others keep their place
//	source    a file that a page links to: a page that shows it. Of a doc.go the package's comment, of a
//	          notebook its cells
//	listing   a folder that a page links to: a page with its files
//	asset     a picture, copied
//
// Zensical ends with an error at a link or an anchor that leads nowhere. finish looks again, at the
// HTML, and that a page loads nothing from elsewhere: no font, script, style sheet or picture. The one
// script that Zensical takes from elsewhere (iframe-worker.js, for a search without a server) it has
// the site bring itself. The theme's own script would fetch another for diagrams in Mermaid; no page
// has any.
//
// zensical.toml has the order of the pages, and the site's looks.
package main
