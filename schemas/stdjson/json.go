// Package json is encoding/json under the name of the module that Arrow asks for, github.com/goccy/go-json,
// which the programs' go.mod replaces by this one. Arrow takes it for its arrays' MarshalJSON and
// UnmarshalJSON, which resslt calls nowhere; the module itself sets up tables of every type of the
// program when it starts: 5 ms and 3 MB of each start.
//
// It has what Arrow's own file for encoding/json names (build tag tinygo), and no more.
package json

import (
	"encoding/json"
	"io"
)

// Types of encoding/json.
type (
	Decoder            = json.Decoder
	Delim              = json.Delim
	Encoder            = json.Encoder
	Marshaler          = json.Marshaler
	Number             = json.Number
	RawMessage         = json.RawMessage
	UnmarshalTypeError = json.UnmarshalTypeError
	Unmarshaler        = json.Unmarshaler
)

// Marshal is json.Marshal.
func Marshal(v any) ([]byte, error) { return json.Marshal(v) }

// Unmarshal is json.Unmarshal.
func Unmarshal(data []byte, v any) error { return json.Unmarshal(data, v) }

// NewDecoder is json.NewDecoder.
func NewDecoder(r io.Reader) *Decoder { return json.NewDecoder(r) }

// NewEncoder is json.NewEncoder.
func NewEncoder(w io.Writer) *Encoder { return json.NewEncoder(w) }
