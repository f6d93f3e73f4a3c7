package peer

import (
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"resslt/schemas"
)

// Hello is what a client says first.
type Hello struct {
	Protocol int    `json:"protocol"`
	Client   string `json:"client"`
	Token    string `json:"token"`
	From     int64  `json:"from"` // -1: where the name stopped
	Rank     int    `json:"rank"`
	World    int    `json:"world"`
	Credits  int64  `json:"credits"`
	Shared   bool   `json:"shm"`
	Digest   string `json:"digest"`
	Agent    string `json:"agent"`
}

// Default is the hello of a client that is alone, with its usual credits.
func Default(name string) Hello {
	return Hello{Protocol: 1, Client: name, From: -1, World: 1, Credits: 3, Agent: "resslt-go"}
}

// Welcome is the server's answer, as far as it is used here.
type Welcome struct {
	Run           string             `json:"run"`
	Digest        string             `json:"digest"`
	Spec          schemas.RunSpec    `json:"spec"`
	PolicyName    string             `json:"policy_name"`
	Steps         int64              `json:"steps"`
	StepsPerEpoch int64              `json:"steps_per_epoch"`
	Epochs        int64              `json:"epochs"`
	BatchSize     int                `json:"batch_size"`
	Rows          [2]int             `json:"rows"`
	From          int64              `json:"from"`
	Views         []schemas.ViewSpec `json:"views"`
	Mean          []float64          `json:"mean"`
	Std           []float64          `json:"std"`
	Classes       []string           `json:"classes"`
	NumClasses    int                `json:"num_classes"`
	Samples       int64              `json:"samples"`
	MaxFrame      int64              `json:"max_frame"`
	Ring          *struct {
		Bytes     int64 `json:"bytes"`
		Slots     int   `json:"slots"`
		SlotBytes int64 `json:"slot_bytes"`
	} `json:"shm"`
}

// Refused is a server's last frame: why it ends the connection.
type Refused struct {
	Kind  string `json:"kind"`
	Op    string `json:"op"`
	Where string `json:"where"`
	Hint  string `json:"hint"`
	Text  string `json:"text"`
}

func (r *Refused) Error() string { return r.Kind + ": " + r.Text }

// Peer is a connection. It belongs to one goroutine.
type Peer struct {
	Welcome
	Conn    net.Conn
	Schema  []byte        // Arrow's message
	Timeout time.Duration // of a frame; 0: none

	ring []byte // mapped; nil without
	body []byte
}

// Dial connects to an address as a server prints it. secure is for tls: addresses.
func Dial(address string, secure *tls.Config) (net.Conn, error) {
	scheme, at, _ := strings.Cut(address, ":")
	switch scheme {
	case "unix", "tcp":
		return net.Dial(scheme, at) //nolint:noctx // local
	case "tls":
		return tls.Dial("tcp", at, secure) //nolint:noctx // as above
	}
	return nil, fmt.Errorf("address %q", address)
}

// Connect connects and says hello. A server that refuses gives a *Refused.
func Connect(address string, secure *tls.Config, h Hello, timeout time.Duration) (*Peer, error) {
	conn, err := Dial(address, secure)
	if err != nil {
		return nil, err
	}
	p := &Peer{Conn: conn, Timeout: timeout}
	if err := p.greet(h); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

func (p *Peer) greet(h Hello) error {
	body, err := json.Marshal(h)
	if err != nil {
		return err
	}
	if err := p.Send('H', body); err != nil {
		return err
	}
	kind, body, file, err := p.Read()
	switch {
	case err != nil:
		return err
	case kind == 'X':
		return refused(body)
	case kind != 'W':
		return fmt.Errorf("a frame %q in place of the welcome", kind)
	}
	if err := json.Unmarshal(body, &p.Welcome); err != nil {
		return err
	}
	if p.Ring != nil {
		if p.ring, err = unix.Mmap(file, 0, int(p.Ring.Bytes), unix.PROT_READ, unix.MAP_SHARED); err != nil {
			return err
		}
		if err := unix.Close(file); err != nil {
			return err
		}
	}
	kind, body, _, err = p.Read()
	if err == nil && kind != 'S' {
		err = fmt.Errorf("a frame %q in place of the schema", kind)
	}
	p.Schema = append([]byte(nil), body...)
	return err
}

func refused(body []byte) error {
	r := &Refused{}
	if err := json.Unmarshal(body, r); err != nil {
		return err
	}
	return r
}

// Close ends the connection and unmaps the ring: messages in it must not be read any more.
func (p *Peer) Close() error {
	err := p.Conn.Close()
	if p.ring != nil {
		err = errors.Join(err, unix.Munmap(p.ring))
		p.ring = nil
	}
	return err
}

// Send sends a frame.
func (p *Peer) Send(kind byte, body []byte) error {
	f := binary.LittleEndian.AppendUint32(nil, uint32(len(body)))
	_, err := p.Conn.Write(append(append(f, kind, 0, 0, 0), body...))
	return err
}

// Number sends a frame of one number.
func (p *Peer) Number(kind byte, n int64) error {
	return p.Send(kind, binary.LittleEndian.AppendUint64(nil, uint64(n)))
}

// Read reads a frame, with the descriptor that came with it, -1 for none. The body is valid
// until the next.
func (p *Peer) Read() (kind byte, body []byte, file int, err error) {
	if p.Timeout > 0 {
		if err := p.Conn.SetReadDeadline(time.Now().Add(p.Timeout)); err != nil {
			return 0, nil, -1, err
		}
	}
	var head [8]byte
	n, file, err := p.first(head[:])
	if err != nil {
		return 0, nil, -1, err
	}
	if _, err := io.ReadFull(p.Conn, head[n:]); err != nil {
		return 0, nil, -1, err
	}
	size := int(binary.LittleEndian.Uint32(head[:]))
	if cap(p.body) < size {
		p.body = make([]byte, size)
	}
	p.body = p.body[:size]
	_, err = io.ReadFull(p.Conn, p.body)
	return head[4], p.body, file, err
}

// first reads the first bytes of a frame, with the descriptor that may come with them.
func (p *Peer) first(head []byte) (n, file int, err error) {
	u, ok := p.Conn.(*net.UnixConn)
	if !ok {
		return 0, -1, nil
	}
	oob := make([]byte, unix.CmsgSpace(4))
	n, oobn, _, _, err := u.ReadMsgUnix(head, oob)
	switch {
	case err != nil:
		return 0, -1, err
	case n == 0:
		return 0, -1, io.EOF
	case oobn == 0:
		return n, -1, nil
	}
	msgs, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil || len(msgs) != 1 {
		return 0, -1, errors.Join(err, fmt.Errorf("%d control messages", len(msgs)))
	}
	files, err := unix.ParseUnixRights(&msgs[0])
	if err != nil || len(files) != 1 {
		return 0, -1, errors.Join(err, fmt.Errorf("%d descriptors", len(files)))
	}
	return n, files[0], nil
}

// Event is what a server sends after its schema.
type Event struct {
	Message []byte // of a batch; nil of another event. In the ring it stays until its slot is released
	Slot    int64  // of the ring; -1 without

	Event string  `json:"event"`
	Epoch int64   `json:"epoch"`
	Step  int64   `json:"step"` // of a batch in the ring, too
	Why   string  `json:"why"`
	Text  string  `json:"text"`
	Secs  float64 `json:"seconds"`
}

// Next reads the next event. An error frame is a *Refused.
func (p *Peer) Next() (Event, error) {
	kind, body, _, err := p.Read()
	if err != nil {
		return Event{}, err
	}
	e := Event{Slot: -1}
	switch kind {
	case 'D':
		e.Message = body
	case 'M':
		at := func(i int) int64 { return int64(binary.LittleEndian.Uint64(body[8*i:])) }
		if len(body) != 32 || at(2)%64 != 0 || at(2)+at(3) > int64(len(p.ring)) {
			return e, fmt.Errorf("a place % x in a ring of %d bytes", body, len(p.ring))
		}
		e.Step, e.Slot, e.Message = at(0), at(1), p.ring[at(2):at(2)+at(3)]
	case 'E':
		err = json.Unmarshal(body, &e)
	case 'X':
		err = refused(body)
	default:
		err = fmt.Errorf("a frame %q", kind)
	}
	return e, err
}

// Done acknowledges a step and releases the slot of its batch.
func (p *Peer) Done(step, slot int64) error {
	err := p.Number('A', step)
	if err == nil && slot >= 0 {
		err = p.Number('R', slot)
	}
	return err
}

// Bye says that the client leaves for good, and waits for the end.
func (p *Peer) Bye() error {
	if err := p.Send('B', nil); err != nil {
		return err
	}
	for {
		if _, _, _, err := p.Read(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}
