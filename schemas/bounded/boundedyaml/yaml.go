package boundedyaml

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"resslt/schemas/bounded"
	"resslt/schemas/errs"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// MaxBytes bounds a text: the largest that comes with resslt has 8 KB.
const MaxBytes = 64 << 10

// maxNodes bounds the values and keys of a text once its aliases are replaced.
const maxNodes = 1 << 14

// Check reports whether the text can be parsed and decoded within bounds. Its errors are
// those of Parse.
func Check(text []byte) error {
	_, err := Parse(text)
	return err
}

// Parse parses a text of any number of documents. Its errors say the line, in one line of
// their own, for the caller to wrap; one that wraps errs.ErrTooLarge is of a text that goes
// beyond the bounds.
func Parse(text []byte) (file *ast.File, err error) {
	if len(text) > MaxBytes {
		return nil, errs.Because(errs.ErrTooLarge, fmt.Sprintf("%d bytes, over %d", len(text), MaxBytes))
	}
	if text, err = bounded.Text(text); err != nil {
		return nil, err
	}
	if err := marks(text); err != nil {
		return nil, err
	}
	err = Protect(func() (err error) { file, err = parse(text); return err })
	if err != nil {
		return nil, err
	}
	return file, nil
}

// Protect runs what parses or decodes with the library, which panics on some texts, and
// makes an error of it.
func Protect(do func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = errors.New("it is no YAML that the parser understands")
		}
	}()
	return do()
}

func parse(text []byte) (file *ast.File, err error) {
	tokens := lexer.Tokenize(string(text))
	if err := nesting(tokens); err != nil {
		return nil, err
	}
	if file, err = parser.Parse(tokens, 0); err != nil {
		// "[3:5] message", then lines that quote the text.
		first, _, _ := strings.Cut(err.Error(), "\n")
		return nil, errors.New(first)
	}
	for _, doc := range file.Docs {
		if doc == nil || doc.Body == nil {
			continue
		}
		c := counter{anchors: map[string]int{}}
		if _, err := c.count(doc.Body); err != nil {
			return nil, err
		}
	}
	return file, nil
}

func tooDeep(line int) error {
	return errs.Because(errs.ErrTooLarge, fmt.Sprintf("line %d: nests deeper than %d", line, bounded.MaxNesting))
}

// marks is an error that says which line has a long run of marks that each nest: the
// scanner would take memory of the square of their number.
func marks(text []byte) error {
	at := 0
	for line := range bytes.Lines(text) {
		at++
		run := 0
		for word := range bytes.FieldsSeq(line) {
			if word[0] == '#' {
				break
			}
			if w := string(word); w == "-" || w == "?" || w[0] == '&' || w[0] == '!' {
				if run++; run > bounded.MaxNesting {
					return tooDeep(at)
				}
			} else {
				run = 0
			}
		}
	}
	return nil
}

// nesting is an error that says where the text nests too deep.
func nesting(tokens token.Tokens) error {
	var (
		flow  int   // brackets that are open
		block []int // columns of the block lists and mappings that are open
		run   int   // dashes, question marks, anchors and tags since the last value
	)
	for i, t := range tokens {
		column := t.Position.Column
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			flow++
		case token.SequenceEndType, token.MappingEndType:
			flow = max(flow-1, 0)
		case token.SequenceEntryType, token.MappingKeyType, token.AnchorType, token.TagType:
			run++
		case token.MappingValueType:
			if flow == 0 && i > 0 {
				column = tokens[i-1].Position.Column // of the key
			}
		case token.CommentType:
			continue
		default:
			run = 0
		}
		if flow == 0 && (t.Type == token.SequenceEntryType || t.Type == token.MappingKeyType || t.Type == token.MappingValueType) {
			for len(block) > 0 && block[len(block)-1] > column {
				block = block[:len(block)-1]
			}
			if len(block) == 0 || block[len(block)-1] < column {
				block = append(block, column)
			}
		}
		if flow+len(block) > bounded.MaxNesting || run > bounded.MaxNesting {
			return tooDeep(t.Position.Line)
		}
	}
	return nil
}

// counter counts the nodes of one document.
type counter struct {
	anchors map[string]int // nodes under each; 0 while it is being counted
	nodes   int
}

func (c *counter) add(n int, at ast.Node) (int, error) {
	if c.nodes += n; c.nodes > maxNodes {
		return 0, errs.Because(errs.ErrTooLarge, fmt.Sprintf("line %d: more than %d values, with what its aliases stand for", line(at), maxNodes))
	}
	return n, nil
}

// count is the number of nodes that a decoder sees under n.
func (c *counter) count(n ast.Node) (int, error) {
	var parts []ast.Node
	switch n := n.(type) {
	case nil:
		return 0, nil
	case *ast.MappingNode:
		for _, v := range n.Values {
			parts = append(parts, v)
		}
	case *ast.MappingValueNode:
		parts = []ast.Node{n.Key, n.Value}
	case *ast.MappingKeyNode:
		parts = []ast.Node{n.Value}
	case *ast.SequenceNode:
		parts = n.Values
	case *ast.TagNode:
		parts = []ast.Node{n.Value}
	case *ast.AnchorNode:
		name := n.Name.GetToken().Value
		c.anchors[name] = 0
		all, err := c.count(n.Value)
		c.anchors[name] = all
		return all, err
	case *ast.AliasNode:
		name := n.Value.GetToken().Value
		all, known := c.anchors[name]
		switch {
		case !known:
			return 0, fmt.Errorf("line %d: *%.40s has no anchor before it", line(n), name)
		case all == 0:
			return 0, fmt.Errorf("line %d: *%.40s stands within its own anchor", line(n), name)
		}
		return c.add(all, n)
	}
	all, err := c.add(1, n)
	for _, p := range parts {
		if err != nil {
			return 0, err
		}
		var k int
		k, err = c.count(p)
		all += k
	}
	return all, err
}

func line(n ast.Node) int {
	if t := n.GetToken(); t != nil && t.Position != nil {
		return t.Position.Line
	}
	return 1
}
