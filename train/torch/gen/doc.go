// Command gen writes ops_gen.go of package torch from ops.txt. Package torch's
// doc.go says how operators become functions. Run it by `go generate`.
package main
