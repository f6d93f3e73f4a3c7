package pth

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	"resslt/schemas/errs"
)

// MaxPickle bounds a pickle in bytes. Those of checkpoints, whose tensors lie elsewhere, are of
// some 100 bytes a tensor.
const MaxPickle = 64 << 20

// Kinds of what a pickle holds; strings are string, numbers int64 or float64, None is nil.
type (
	tuple  []any
	list   struct{ items []any }
	global struct{ module, name string }
	mark   struct{}
	// dict keeps the order in which its pairs came.
	dict struct{ pairs []pair }
	pair struct{ key, value any }
	// object is an instance of a class that is not known here.
	object struct {
		class global
		args  any   // that it was made with
		state any   // that it was given
		items *dict // where it is a dictionary as well
	}
)

// String is a global as Python writes it.
func (g global) String() string { return g.module + "." + g.name }

// get is the value of a key; the last one given counts.
func (d *dict) get(key string) (any, bool) {
	for i := len(d.pairs) - 1; i >= 0; i-- {
		if k, ok := d.pairs[i].key.(string); ok && k == key {
			return d.pairs[i].value, true
		}
	}
	return nil, false
}

func corrupt(format string, a ...any) error {
	return errs.Because(errs.ErrCorrupt, fmt.Sprintf(format, a...))
}

func unsupported(format string, a ...any) error {
	return errs.Because(errs.ErrUnsupported, fmt.Sprintf(format, a...))
}

// machine runs one pickle.
type machine struct {
	r    *bufio.Reader
	at   int64 // bytes read
	most int64 // that may be
	// storage makes what a persistent id stands for.
	storage func(id any) (any, error)

	stack []any
	memo  map[uint32]any
}

// load runs the pickle at r, of at most `most` bytes, to its end and gives what it made.
func load(r *bufio.Reader, most int64, storage func(id any) (any, error)) (any, error) {
	m := &machine{r: r, most: min(most, MaxPickle), storage: storage, memo: map[uint32]any{}}
	for {
		op, err := m.octet()
		if err != nil {
			return nil, err
		}
		if op == '.' {
			return m.pop()
		}
		do := opcodes[op]
		if do == nil {
			return nil, unsupported("its pickle has the opcode %#02x at byte %d", op, m.at-1)
		}
		if err := do(m); err != nil {
			if errors.Is(err, errs.ErrCorrupt) {
				err = fmt.Errorf("%w, by byte %d of its pickle", err, m.at)
			}
			return nil, err
		}
	}
}

func (m *machine) octet() (byte, error) {
	b, err := m.r.ReadByte()
	if err != nil || m.at >= m.most {
		return 0, corrupt("its pickle is cut off")
	}
	m.at++
	return b, nil
}

// take reads n bytes.
func (m *machine) take(n uint64) ([]byte, error) {
	if n > uint64(m.most-m.at) {
		if m.most == MaxPickle {
			return nil, errs.Because(errs.ErrTooLarge, fmt.Sprintf("a pickle of more than %d MiB", MaxPickle>>20))
		}
		return nil, corrupt("its pickle is cut off")
	}
	b := make([]byte, n)
	got, err := io.ReadFull(m.r, b)
	m.at += int64(got)
	if err != nil {
		return nil, corrupt("its pickle is cut off")
	}
	return b, nil
}

// line reads up to the next line feed.
func (m *machine) line() (string, error) {
	var b strings.Builder
	for b.Len() < 1024 {
		c, err := m.octet()
		if err != nil {
			return "", err
		}
		if c == '\n' {
			return b.String(), nil
		}
		b.WriteByte(c)
	}
	return "", corrupt("a name of more than 1024 bytes")
}

// number reads n bytes as an unsigned number.
func (m *machine) number(n uint64) (uint64, error) {
	b, err := m.take(n)
	if err != nil {
		return 0, err
	}
	var out [8]byte
	copy(out[:], b)
	return binary.LittleEndian.Uint64(out[:]), nil
}

func (m *machine) push(v any) error { m.stack = append(m.stack, v); return nil }

func (m *machine) pop() (any, error) {
	v, err := m.top()
	if err != nil {
		return nil, err
	}
	m.stack = m.stack[:len(m.stack)-1]
	return v, nil
}

// top is the last value.
func (m *machine) top() (any, error) {
	if len(m.stack) == 0 {
		return nil, corrupt("it takes a value where there is none")
	}
	v := m.stack[len(m.stack)-1]
	if _, ok := v.(mark); ok {
		return nil, corrupt("it takes a mark for a value")
	}
	return v, nil
}

// popMark takes the values from the last mark on, and the mark.
func (m *machine) popMark() ([]any, error) {
	for i := len(m.stack) - 1; i >= 0; i-- {
		if _, ok := m.stack[i].(mark); ok {
			out := append([]any(nil), m.stack[i+1:]...)
			m.stack = m.stack[:i]
			return out, nil
		}
	}
	return nil, corrupt("no mark where it wants one")
}

// long reads a number in two's complement of n bytes. One that an int64 cannot hold becomes a
// float64: nothing that is needed here is so large.
func (m *machine) long(n uint64) error {
	b, err := m.take(n)
	if err != nil {
		return err
	}
	var v uint64
	if len(b) > 0 && b[len(b)-1]&0x80 != 0 {
		v = math.MaxUint64
	}
	for i := len(b) - 1; i >= 0; i-- {
		if i >= 8 && b[i] != byte(v) {
			return m.push(math.Inf(1))
		}
		if i < 8 {
			v = v<<8 | uint64(b[i])
		}
	}
	return m.push(int64(v))
}

// text reads a string whose length has n bytes.
func (m *machine) text(n uint64) error {
	size, err := m.number(n)
	if err != nil {
		return err
	}
	b, err := m.take(size)
	if err != nil {
		return err
	}
	return m.push(string(b))
}

// put remembers the last value.
func (m *machine) put(key uint32) error {
	v, err := m.top()
	if err != nil {
		return err
	}
	m.memo[key] = v
	return nil
}

func (m *machine) get(n uint64) error {
	key, err := m.number(n)
	if err != nil {
		return err
	}
	v, ok := m.memo[uint32(key)]
	if !ok {
		return corrupt("it recalls what it never kept")
	}
	return m.push(v)
}

// tupleOf makes a tuple of the last n values.
func (m *machine) tupleOf(n int) error {
	t := make(tuple, n)
	for i := n - 1; i >= 0; i-- {
		var err error
		if t[i], err = m.pop(); err != nil {
			return err
		}
	}
	return m.push(t)
}

// extend appends to the list that is the last value.
func (m *machine) extend(items []any) error {
	v, err := m.top()
	if err != nil {
		return err
	}
	switch to := v.(type) {
	case *list:
		to.items = append(to.items, items...)
	case *object: // a class that is a list as well
	default:
		return corrupt("it appends to what is no list")
	}
	return nil
}

// set puts keys and values, one after the other, into the dictionary that is the last value.
func (m *machine) set(items []any) error {
	v, err := m.top()
	if err != nil {
		return err
	}
	if len(items)%2 != 0 {
		return corrupt("a key without a value")
	}
	d, ok := v.(*dict)
	if o, is := v.(*object); is {
		if o.items == nil {
			o.items = &dict{}
		}
		d, ok = o.items, true
	}
	if !ok {
		return corrupt("it sets keys of what is no dictionary")
	}
	for i := 0; i < len(items); i += 2 {
		d.pairs = append(d.pairs, pair{items[i], items[i+1]})
	}
	return nil
}
