package bounded

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"resslt/schemas/errs"
)

// MaxNesting is how deep lists and mappings nest in a text; sound ones need a third of it.
const MaxNesting = 32

// Text is raw without a byte order mark. It refuses other encodings than UTF-8, and NUL
// bytes: the parsers would say something less plain, or take the bytes.
func Text(raw []byte) ([]byte, error) {
	for _, mark := range []string{"\xff\xfe", "\xfe\xff"} {
		if bytes.HasPrefix(raw, []byte(mark)) {
			return nil, errors.New("it is UTF-16; save it as UTF-8")
		}
	}
	raw = bytes.TrimPrefix(raw, []byte("\xef\xbb\xbf"))
	if i := bytes.IndexByte(raw, 0); i >= 0 {
		return nil, fmt.Errorf("line %d has a NUL byte; save it as UTF-8 text", lineAt(raw, i))
	}
	if !utf8.Valid(raw) {
		for i := 0; i < len(raw); {
			r, n := utf8.DecodeRune(raw[i:])
			if r == utf8.RuneError && n == 1 {
				return nil, fmt.Errorf("line %d is not UTF-8; save it as UTF-8 text", lineAt(raw, i))
			}
			i += n
		}
	}
	return raw, nil
}

func lineAt(raw []byte, i int) int { return 1 + bytes.Count(raw[:i], []byte("\n")) }

// JSON decodes a JSON text as json.Unmarshal does. Keys that into lacks are passed over: a
// newer build may have written them. The errors are plain, for the caller's sentinel, but one
// that wraps errs.ErrTooLarge for a text that nests too deep.
func JSON(raw []byte, into any) error {
	raw, err := Text(raw)
	if err != nil {
		return err
	}
	if err := CheckJSON(raw); err != nil {
		return err
	}
	return json.Unmarshal(raw, into)
}

// CheckJSON is JSON's checks of a text's structure, without decoding it.
func CheckJSON(raw []byte) error {
	// The stack of what is open: for an object its keys so far, for a list nil.
	var open []map[string]bool
	depth := 0
	for i := 0; i < len(raw); i++ { // before json.Valid, which keeps a stack of its own
		switch raw[i] {
		case '"':
			i = stringEnd(raw, i)
		case '[', '{':
			if depth++; depth > MaxNesting {
				return errs.Because(errs.ErrTooLarge, fmt.Sprintf("line %d: nests deeper than %d", lineAt(raw, i), MaxNesting))
			}
		case ']', '}':
			depth--
		}
	}
	if !json.Valid(raw) {
		return json.Unmarshal(raw, new(json.RawMessage)) // says where
	}
	for i := 0; i < len(raw); i++ {
		switch raw[i] {
		case '{':
			open = append(open, map[string]bool{})
		case '[':
			open = append(open, nil)
		case '}', ']':
			open = open[:len(open)-1]
		case '"':
			end := stringEnd(raw, i)
			if n := len(open); n > 0 && open[n-1] != nil && isKey(raw, end+1) {
				key, err := keyOf(raw[i : end+1])
				if err != nil {
					return err
				}
				if open[n-1][key] {
					return fmt.Errorf("line %d has the key %.60q again", lineAt(raw, i), key)
				}
				open[n-1][key] = true
			}
			i = end
		}
	}
	return nil
}

// stringEnd is the place of the quotation mark that ends the string which begins at i, or
// the text's last.
func stringEnd(raw []byte, i int) int {
	for i++; i < len(raw); i++ {
		switch raw[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return len(raw) - 1
}

// isKey reports whether a colon follows.
func isKey(raw []byte, i int) bool {
	for ; i < len(raw); i++ {
		switch raw[i] {
		case ' ', '\t', '\r', '\n':
		default:
			return raw[i] == ':'
		}
	}
	return false
}

// keyOf is a string without its quotation marks and escapes.
func keyOf(quoted []byte) (key string, err error) {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return string(quoted[1 : len(quoted)-1]), nil
	}
	err = json.Unmarshal(quoted, &key)
	return key, err
}

// StrictJSON decodes as JSON does, and refuses a key that into lacks: its error, which names
// the key, wraps errs.ErrUnsupported. It is for what must be understood as a whole.
func StrictJSON(raw []byte, into any) error {
	raw, err := Text(raw)
	if err != nil {
		return err
	}
	if err := CheckJSON(raw); err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	err = d.Decode(into)
	// encoding/json has no type for this error.
	if err != nil {
		if key, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
			return errs.Because(errs.ErrUnsupported, fmt.Sprintf("a newer build wrote it: this one does not know the field %.60s", key))
		}
	}
	return err
}
