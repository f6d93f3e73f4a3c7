package pth

import (
	"encoding/binary"
	"math"
)

// opcodes are those of protocols 2 to 5, by Python's pickletools, and GLOBAL. Those of the
// older text protocols, of Python's extension registry and of buffers out of band are not
// among them: PyTorch writes none.
var opcodes = [256]func(*machine) error{
	0x80: func(m *machine) error { _, err := m.take(1); return err }, // PROTO
	0x95: func(m *machine) error { _, err := m.take(8); return err }, // FRAME

	'(': func(m *machine) error { return m.push(mark{}) },
	'0': opPop,
	'1': func(m *machine) error { _, err := m.popMark(); return err },
	'2': func(m *machine) error { // DUP
		v, err := m.top()
		if err != nil {
			return err
		}
		return m.push(v)
	},

	'N':  func(m *machine) error { return m.push(nil) },
	0x88: func(m *machine) error { return m.push(true) },
	0x89: func(m *machine) error { return m.push(false) },
	'J':  opInt32,
	'K':  opUint(1),
	'M':  opUint(2),
	0x8a: opLong(1),
	0x8b: opLong(4),
	'G':  opFloat,

	'X': opText(4), 0x8c: opText(1), 0x8d: opText(8), // str
	'T': opText(4), 'U': opText(1), // str of Python 2
	'B': opText(4), 'C': opText(1), 0x8e: opText(8), 0x96: opText(8), // bytes

	']':  func(m *machine) error { return m.push(&list{}) },
	0x8f: func(m *machine) error { return m.push(&list{}) }, // a set
	'l':  opList,
	0x91: opList, // a frozen set
	'a':  opAppend,
	'e':  opAppends,
	0x90: opAppends,
	')':  func(m *machine) error { return m.push(tuple(nil)) },
	't':  opTuple,
	0x85: func(m *machine) error { return m.tupleOf(1) },
	0x86: func(m *machine) error { return m.tupleOf(2) },
	0x87: func(m *machine) error { return m.tupleOf(3) },
	'}':  func(m *machine) error { return m.push(&dict{}) },
	'd':  opDict,
	's':  opSetItem,
	'u':  opSetItems,

	'q':  opPut(1),
	'r':  opPut(4),
	0x94: func(m *machine) error { return m.put(uint32(len(m.memo))) }, // MEMOIZE
	'h':  func(m *machine) error { return m.get(1) },
	'j':  func(m *machine) error { return m.get(4) },

	'c':  opGlobal,
	0x93: opStackGlobal,
	'R':  opReduce,
	0x81: opReduce, // NEWOBJ: the class is called, too
	0x92: opNewObjectEx,
	'b':  opBuild,
	'Q':  opPersistent,
}

func opPop(m *machine) error {
	if len(m.stack) == 0 {
		_, err := m.pop()
		return err
	}
	m.stack = m.stack[:len(m.stack)-1] // it may be a mark
	return nil
}

func opInt32(m *machine) error {
	v, err := m.number(4)
	if err != nil {
		return err
	}
	return m.push(int64(int32(v)))
}

func opUint(n uint64) func(*machine) error {
	return func(m *machine) error {
		v, err := m.number(n)
		if err != nil {
			return err
		}
		return m.push(int64(v))
	}
}

func opLong(n uint64) func(*machine) error {
	return func(m *machine) error {
		size, err := m.number(n)
		if err != nil {
			return err
		}
		return m.long(size)
	}
}

func opFloat(m *machine) error {
	b, err := m.take(8)
	if err != nil {
		return err
	}
	return m.push(math.Float64frombits(binary.BigEndian.Uint64(b)))
}

func opText(n uint64) func(*machine) error { return func(m *machine) error { return m.text(n) } }

func opList(m *machine) error {
	items, err := m.popMark()
	if err != nil {
		return err
	}
	return m.push(&list{items})
}

func opAppend(m *machine) error {
	v, err := m.pop()
	if err != nil {
		return err
	}
	return m.extend([]any{v})
}

func opAppends(m *machine) error {
	items, err := m.popMark()
	if err != nil {
		return err
	}
	return m.extend(items)
}

func opTuple(m *machine) error {
	items, err := m.popMark()
	if err != nil {
		return err
	}
	return m.push(tuple(items))
}

func opDict(m *machine) error {
	items, err := m.popMark()
	if err != nil {
		return err
	}
	m.stack = append(m.stack, &dict{})
	return m.set(items)
}

func opSetItem(m *machine) error {
	value, err := m.pop()
	if err != nil {
		return err
	}
	key, err := m.pop()
	if err != nil {
		return err
	}
	return m.set([]any{key, value})
}

func opSetItems(m *machine) error {
	items, err := m.popMark()
	if err != nil {
		return err
	}
	return m.set(items)
}

func opPut(n uint64) func(*machine) error {
	return func(m *machine) error {
		key, err := m.number(n)
		if err != nil {
			return err
		}
		return m.put(uint32(key))
	}
}

func opGlobal(m *machine) error {
	module, err := m.line()
	if err != nil {
		return err
	}
	name, err := m.line()
	if err != nil {
		return err
	}
	return m.push(global{module, name})
}

func opStackGlobal(m *machine) error {
	name, err := m.pop()
	if err != nil {
		return err
	}
	module, err := m.pop()
	if err != nil {
		return err
	}
	g := global{}
	var a, b bool
	if g.module, a = module.(string); !a {
		return corrupt("a global without a module")
	}
	if g.name, b = name.(string); !b {
		return corrupt("a global without a name")
	}
	return m.push(g)
}

func opReduce(m *machine) error {
	args, err := m.pop()
	if err != nil {
		return err
	}
	class, err := m.pop()
	if err != nil {
		return err
	}
	v, err := call(class, args, 0)
	if err != nil {
		return err
	}
	return m.push(v)
}

func opNewObjectEx(m *machine) error {
	if _, err := m.pop(); err != nil { // arguments by name
		return err
	}
	return opReduce(m)
}

// opBuild gives an object its state. Dictionaries and tensors have none that matters here.
func opBuild(m *machine) error {
	state, err := m.pop()
	if err != nil {
		return err
	}
	v, err := m.top()
	if err != nil {
		return err
	}
	if o, ok := v.(*object); ok {
		o.state = state
	}
	return nil
}

func opPersistent(m *machine) error {
	id, err := m.pop()
	if err != nil {
		return err
	}
	v, err := m.storage(id)
	if err != nil {
		return err
	}
	return m.push(v)
}
