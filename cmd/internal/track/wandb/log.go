package wandb

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"os"

	"resslt/schemas/bounded"
	"resslt/schemas/errs"
)

// The log's framing.
const (
	blockBytes    = 32 << 10
	fragmentBytes = 7 // of a fragment's header: CRC-32, length, type
	maxRecord     = 64 << 20
)

// Types of a fragment.
const (
	full byte = 1 + iota
	first
	middle
	last
)

// fileHeader begins a file: ":W&B", the magic number 0xBEE1 in little-endian order, version 0.
var fileHeader = []byte{':', 'W', '&', 'B', 0xe1, 0xbe, 0}

// logFile is a log that records are appended to.
type logFile struct {
	f    *os.File
	size int64 // of whole records, and the header
}

// create makes a log, or writes one anew.
func create(path string) (*logFile, error) {
	f, err := bounded.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_TRUNC, 0o644)
	if err != nil {
		return nil, unwritable(path, err)
	}
	if _, err := f.Write(fileHeader); err != nil {
		return nil, unwritable(path, errors.Join(err, f.Close()))
	}
	return &logFile{f, int64(len(fileHeader))}, nil
}

// open opens a log to go on in it. keep is shown each record, in order: what follows the last one
// that it keeps is cut off, and so is what is not whole.
func open(path string, keep func(record []byte) bool) (*logFile, error) {
	f, err := bounded.OpenFile(path, os.O_RDWR, 0o644)
	if err != nil {
		return nil, unwritable(path, err)
	}
	size, err := scan(f, keep)
	if err == nil {
		err = f.Truncate(size)
	}
	if err != nil {
		f.Close()
		return nil, unwritable(path, err)
	}
	return &logFile{f, size}, nil
}

var errNoLog = errors.New("it does not begin as a .wandb file")

// scan reads a log's records. It gives the end of the last one that keep wants.
func scan(f io.ReaderAt, keep func([]byte) bool) (end int64, err error) {
	head := make([]byte, len(fileHeader))
	if _, err := f.ReadAt(head, 0); err != nil || !bytes.Equal(head, fileHeader) {
		return 0, errNoLog
	}
	at := int64(len(fileHeader))
	end = at
	var record []byte
	inside := false // of a record in fragments, of which the first may be empty
	for {
		if left := blockBytes - at%blockBytes; left < fragmentBytes {
			at += left
		}
		var h [fragmentBytes]byte
		if n, err := f.ReadAt(h[:], at); n < len(h) {
			return end, onlyEOF(err)
		}
		part := make([]byte, binary.LittleEndian.Uint16(h[4:]))
		if n, err := f.ReadAt(part, at+fragmentBytes); n < len(part) {
			return end, onlyEOF(err)
		}
		kind := h[6]
		begins := kind == full || kind == first
		if kind < full || kind > last || checksum(kind, part) != binary.LittleEndian.Uint32(h[:]) ||
			begins == inside || len(record)+len(part) > maxRecord {
			return end, nil
		}
		at += fragmentBytes + int64(len(part))
		record = append(record, part...)
		if inside = kind == first || kind == middle; !inside {
			if !keep(record) {
				return end, nil
			}
			end, record = at, record[:0]
		}
	}
}

func onlyEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func checksum(kind byte, part []byte) uint32 {
	return crc32.Update(crc32.ChecksumIEEE([]byte{kind}), crc32.IEEETable, part)
}

// appendRecord frames a record that begins at a place of the file.
func appendRecord(to []byte, at int64, record []byte) []byte {
	for kind := first; ; kind = middle {
		left := int(blockBytes - at%blockBytes)
		if left < fragmentBytes {
			to = append(to, make([]byte, left)...)
			at, left = at+int64(left), blockBytes
		}
		n := min(len(record), left-fragmentBytes)
		switch whole := n == len(record); {
		case whole && kind == first:
			kind = full
		case whole:
			kind = last
		}
		to = binary.LittleEndian.AppendUint32(to, checksum(kind, record[:n]))
		to = binary.LittleEndian.AppendUint16(to, uint16(n))
		to = append(append(to, kind), record[:n]...)
		if kind == full || kind == last {
			return to
		}
		at, record = at+int64(fragmentBytes+n), record[n:]
	}
}

// write appends records: all of them, or none.
func (l *logFile) write(records ...[]byte) error {
	var framed []byte
	for _, r := range records {
		framed = appendRecord(framed, l.size+int64(len(framed)), r)
	}
	if _, err := l.f.WriteAt(framed, l.size); err != nil {
		_ = l.f.Truncate(l.size) // what is left of it is cut off when the log is opened
		return unwritable(l.f.Name(), err)
	}
	l.size += int64(len(framed))
	return nil
}

// close makes the log durable and closes it.
func (l *logFile) close() error {
	if err := errors.Join(l.f.Sync(), l.f.Close()); err != nil {
		return unwritable(l.f.Name(), err)
	}
	return nil
}

func unwritable(path string, err error) error {
	return errs.New("write W&B records", path, "make --out writable and free some space", errs.BecauseErr(errs.ErrUnavailable, err))
}
