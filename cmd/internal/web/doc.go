// Package web shows runs as they train, on a page in a browser: `resslt run --web`, `resslt train
// --web`, and `resslt web DIR…` over the runs of other processes.
//
//	server, err := web.Listen(web.Options{Addr: ":0", Dirs: []string{"runs"}})
//	fmt.Println(server.URL())
//	err = server.Serve(ctx)
//
// # Vocabulary
//
//	shelf   the runs that may be shown, by an id that says nothing of where they lie
//	view    what a page is of: the list of runs, one run, or some of them compared
//	part    a piece of a view, HTML that is made and escaped here
//	feed    a view that somebody looks at; it is rendered once, however many look
//	Live    what a process that trains knows of its run beyond its files
//
// # How a page comes to be
//
// The page is one HTML file with its style and its script, and is the same for every view. Its
// script opens one stream of server-sent events, /events and the view's path, and puts the parts
// that come where they belong:
//
//	feed:    as long as somebody looks
//	             read what the run's files have more than before; ask Live
//	             where something has changed: render the parts, keep them as the newest
//	             rest, 50 times as long as that took, and at least a second
//	client:  send the parts that it does not have yet of the newest; wait for newer ones
//
// Each event says all that a client lacks, so there is no history to replay: one that reconnects
// is given the newest parts, and one that is slow misses those between.
//
// # Invariants
//
//   - Nothing here delays a step or changes a bit: the training loop stores a number, and a chunk
//     a few of its rows where a page has asked for them. Nobody in it waits for a page.
//   - Where nobody looks there is no feed: files are not read, and Live is not asked.
//   - A client that takes nothing for ten seconds is dropped; there are at most 32.
//   - Paths of the file system are never taken from a request: ids are looked up.
//
// # Who may look
//
// An address without a host is this machine alone (127.0.0.1). Any other wants a token, which the
// URL has after #, where it is in no log; the page changes it for a cookie. A request must name
// this server as its Host, or a page elsewhere could have its own name lead here (DNS rebinding),
// and must not come from another site's page.
package web
