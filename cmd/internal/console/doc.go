// Package console is the form in which a program writes to standard error, the same for every
// verb of every program:
//
//	--quiet               warnings and errors alone
//	--timestamps          each line begins with the time
//	--log text|json       one record for each line, for a collector
//	--log-level LEVEL     the lowest that is written: debug, info, warn, error
//
// A verb prints lines to its command's standard error, and knows nothing of this: package cli puts
// the form in between. A program with records of its own (augmentd, a training) takes the
// Logger. Results go to standard output, which has no form.
//
// No program of resslt writes colour, so there is none for NO_COLOR to switch off; a bar is drawn on
// terminals alone.
package console
