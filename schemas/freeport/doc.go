// Package freeport finds addresses for servers that are to be stopped and started again
// on the same address, as tests of restarts and the chaos trials do.
//
// The system's own choice (port 0) will not do for them: it comes from the range that
// outgoing connections are given their ports from, so that while the server is down any
// connection of any process may take its port, and the server cannot start again.
package freeport
