package ingest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"sync"

	"resslt/schemas"
	"resslt/schemas/errs"
)

// A decoder that refuses a sample has seen bytes, and not where they come from. If they
// are those that were indexed, the sample is bad on every machine; if not, a disk, a copy
// or a server is at fault, and the sample is fine elsewhere. Only the hashes can tell.

// Confirm checks that the bytes of s, which src.Read gave and no decoder takes, are those
// that the manifest describes. nil means so: the sample is bad on every machine. An
// error is a fault of the store: ErrMismatch for other bytes, or Read's.
//
// A folder has a hash for each file: the check costs microseconds. A shard has one hash:
// the first bad sample of a shard has all of it read again, once a process, and each
// has its own bytes read again. Raw sets have no bytes that a decoder can refuse.
func Confirm(ctx context.Context, src Source, s *schemas.Sample) error {
	if c, ok := src.(confirmer); ok {
		return c.confirm(ctx, s)
	}
	return nil
}

// confirmer is a Source whose samples are encoded.
type confirmer interface {
	confirm(ctx context.Context, s *schemas.Sample) error
}

// confirmHint is for bytes that are not those of the index, where neither size nor time
// shows it.
const confirmHint = "see to the disk or server that holds it: `resslt shards verify` names what is damaged; then --resume"

func notIndexed(where, how string) error {
	return errs.New("read sample", where, confirmHint, errs.Because(errs.ErrMismatch, how))
}

func (s *folderSource) confirm(_ context.Context, sample *schemas.Sample) error {
	sum := sha256.Sum256(sample.Data)
	if want := s.x.sums[sample.ID]; [sumSize]byte(sum[:sumSize]) != want {
		return notIndexed(sample.Key, fmt.Sprintf("its bytes are not those that were indexed: SHA-256 is %.12x…, was %.12x…", sum, want))
	}
	return nil
}

// shardCheck has each shard hashed once. The zero value is ready.
type shardCheck struct {
	mu    sync.Mutex
	sound map[int]*sync.Mutex // by shard; locked while it is hashed; guarded by mu
	known map[int]bool        // shards whose hash is that of the index; guarded by mu
}

// once calls check for shard i, unless a call has returned nil already. Calls for one
// shard wait for one another.
func (c *shardCheck) once(i int, check func() error) error {
	c.mu.Lock()
	if c.sound == nil {
		c.sound, c.known = map[int]*sync.Mutex{}, map[int]bool{}
	}
	turn := c.sound[i]
	if turn == nil {
		turn = &sync.Mutex{}
		c.sound[i] = turn
	}
	c.mu.Unlock()
	turn.Lock()
	defer turn.Unlock()
	c.mu.Lock()
	known := c.known[i]
	c.mu.Unlock()
	if known {
		return nil
	}
	if err := check(); err != nil {
		return err
	}
	c.mu.Lock()
	c.known[i] = true
	c.mu.Unlock()
	return nil
}

// sameAgain reads a sample of src again, and compares. It says nothing of what is stored,
// but finds what was altered on its way.
func sameAgain(ctx context.Context, src Source, sample *schemas.Sample) error {
	var again schemas.Sample
	if err := src.Read(ctx, sample.ID, &again); err != nil {
		return err
	}
	if !bytes.Equal(again.Data, sample.Data) {
		return notIndexed(sample.Key, "two reads gave different bytes")
	}
	return nil
}

// confirmShard compares the hash of the shard that holds a sample with the index's. It
// hashes the copy that was read, a cached one too; that is dropped if it is damaged, so that
// the next read fetches it again.
func (s *shardFiles) confirmShard(ctx context.Context, sample *schemas.Sample) error {
	i := s.x.shardOf(sample.ID)
	return s.checked.once(i, func() error {
		f, done, err := s.shard(ctx, i)
		if err != nil {
			return err
		}
		defer done()
		sum, err := f.sum(ctx, "read sample", changedHint, newMeter(nil, 0), nil)
		if err != nil {
			return err
		}
		if want := s.x.Shards[i].SHA256; hexSum(sum) != want {
			f.DropCopy(ctx)
			return notIndexed(sample.Key, fmt.Sprintf("its shard is not the one that was indexed: SHA-256 is %.12x…, was %.12s…", sum, want))
		}
		return nil
	})
}

func (s *wdsSource) confirm(ctx context.Context, sample *schemas.Sample) error {
	if err := s.confirmShard(ctx, sample); err != nil {
		return err
	}
	return sameAgain(ctx, s, sample)
}

func (s *parquetSource) confirm(ctx context.Context, sample *schemas.Sample) error {
	if err := s.confirmShard(ctx, sample); err != nil {
		return err
	}
	return sameAgain(ctx, s, sample)
}

// confirm hashes the archive: it is one file, with a hash for each tar in it.
func (s *ilsvrcSource) confirm(ctx context.Context, sample *schemas.Sample) error {
	err := s.checked.once(0, func() error {
		d, err := s.verify(ctx, 0, newMeter(nil, 0))
		if err != nil {
			return err
		}
		if d != nil {
			return fileError("read sample", sample.Key, confirmHint, d.Err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return sameAgain(ctx, s, sample)
}
