// Command gen writes package torch's ops_gen.go from ops.txt. The documentation of
// package torch says how operators map to Go functions. Run gen by `go generate`.
package main
