// Package json is encoding/json under the name of the module that Arrow asks for, github.com/goccy/go-json,
// which the programs' go.mod replaces by this one. Arrow takes it for its arrays' MarshalJSON and
// UnmarshalJSON, which resslt calls nowhere; the module itself sets up tables of every type of the
// program when it starts: 5 ms and 3 MB of each start.
//
// It has what Arrow's own file for encoding/json names (build tag tinygo), and no more.
package json
