// Package manual writes manual pages, one for each verb, from what --help shows: `make man`.
//
//	resslt man bin/man      resslt.1, resslt-run.1, …
//
// cobra's generator reads texts as Markdown. Ours are plain, with what is lined up indented: text is
// escaped, and indented lines become blocks that keep their columns.
//
// The pages of one commit are the same whenever they are made: their date is SOURCE_DATE_EPOCH's,
// else the commit's.
package manual
