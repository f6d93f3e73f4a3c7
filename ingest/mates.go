package ingest

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"

	"resslt/ingest/store"
	"resslt/schemas"
	"resslt/schemas/errs"
)

// Data with mates is a data set of which each image has K others that are like it, by a file:
//
//	mates:FILE.npy+folder:DIR
//
// FILE is an array (N,K) of NumPy, int32 or int64: row i has the numbers of the mates of sample i,
// such as its nearest neighbours by a trained encoder (`resslt embed --mates K`). A run visits an
// image and then one of its mates, which is drawn again in every epoch (mateorder.go). Everything
// else sees the data set's own samples, and splits to test with have no mates.
//
// Ids below N are the data set's. Mate k of sample i, from 0 to below K, has the id
// k·2N + N + i: so each visit of a mate draws views of its own (schemas.DatasetSpec.Mates).

func init() {
	// Here and not in the table, which Open reads: it opens another set.
	formats = append(formats, format{Scheme{"mates", "mates:FILE+URI", "a data set with each image's like ones, of which a run visits one next to it; FILE is what `resslt embed --mates K` writes"}, 0, openMates})
}

const (
	matesOp   = "open mates"
	matesHint = "write mates:FILE+URI, such as mates:mates.npy+folder:DIR, with FILE of `resslt embed --mates K --data URI`"
	matesName = "mates.npy" // of the file among the manifest's shards, wherever it lies

	// maxNPYHead bounds the text that begins a NumPy file.
	maxNPYHead = 4096
)

// matesSeparator ends the file's name: a + that a scheme follows.
var matesSeparator = regexp.MustCompile(`\+[a-z][a-z0-9-]*:`)

// cutMates cuts "FILE+URI".
func cutMates(place string) (file, uri string, err error) {
	at := matesSeparator.FindStringIndex(place)
	if at == nil || at[0] == 0 {
		return "", "", errs.New(matesOp, place, matesHint, errs.Because(errs.ErrUsage, "it names no file, or no data set behind it"))
	}
	file, uri = place[:at[0]], place[at[0]+1:]
	for _, scheme := range []string{"mix:", "mates:"} {
		if strings.HasPrefix(uri, scheme) {
			return "", "", errs.New(matesOp, place, matesHint, errs.Because(errs.ErrUsage, "samples of "+scheme+" have no mates"))
		}
	}
	return file, uri, nil
}

// absoluteMates is the place as Absolute has it.
func absoluteMates(place string) (string, error) {
	file, uri, err := cutMates(place)
	if err != nil {
		return "", err
	}
	if file, err = store.Abs(file); err != nil {
		return "", err
	}
	uri, err = Absolute(uri)
	return file + "+" + uri, err
}

// matesSource is a data set with mates.
type matesSource struct {
	Source
	file     string
	manifest *Manifest
	mates    []int32 // (N,K)
	closed   atomic.Bool
	again    func(ctx context.Context, m *meter) (string, error) // hashes the file again
	done     func() error
}

// openMates opens the data set and its file of mates.
func openMates(ctx context.Context, place string, opt Options) (_ Source, err error) {
	file, uri, err := cutMates(place)
	if err != nil {
		return nil, err
	}
	own := opt
	own.files = nil // the set closes its own
	src, err := Open(ctx, uri, own)
	if err != nil || opt.splitOrTrain() == Test || opt.splitOrTrain() == Val {
		return src, errors.Join(err, opt.files.Close())
	}
	s := &matesSource{Source: src, file: file, done: opt.files.Close}
	defer func() {
		if err != nil {
			err = errors.Join(err, src.Close())
		}
	}()
	f, err := openFile(ctx, opt.files, matesOp, file, matesHint)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	m := *src.Manifest()
	sum, err := f.sum(ctx, matesOp, matesHint, newMeter(nil, 0), nil)
	if err != nil {
		return nil, err
	}
	if s.mates, m.Mates, err = readMates(ctx, f, m.Samples); err != nil {
		return nil, err
	}
	m.Shards = append(m.Shards[:len(m.Shards):len(m.Shards)], Shard{Name: matesName, Bytes: f.size, SHA256: hexSum(sum)})
	s.manifest = &m
	s.again = func(ctx context.Context, meter *meter) (string, error) {
		f, err := openFile(ctx, opt.files, "verify", file, matesHint)
		if err != nil {
			return "", err
		}
		defer f.Close()
		sum, err := f.sum(ctx, "verify", matesHint, meter, nil)
		return hexSum(sum), err
	}
	return s, nil
}

var (
	npyDescr   = regexp.MustCompile(`'descr':\s*'<i([48])'`)
	npyFortran = regexp.MustCompile(`'fortran_order':\s*False`)
	npyShape   = regexp.MustCompile(`'shape':\s*\(\s*(\d{1,18}),\s*(\d{1,9}),?\s*\)`)
)

// readMates reads the mates of n samples, (n,K).
func readMates(ctx context.Context, f *file, n int64) (mates []int32, k int64, err error) {
	fail := func(kind error, why string) ([]int32, int64, error) {
		return nil, 0, errs.New(matesOp, f.path, matesHint, errs.Because(kind, why))
	}
	raw := f.Reader(ctx)
	defer raw.Close()
	r := bufio.NewReaderSize(raw, 1<<20)
	fixed := make([]byte, 10) // magic, version, length of the text
	if _, err := io.ReadFull(r, fixed); err != nil || string(fixed[:7]) != "\x93NUMPY\x01" {
		return fail(errs.ErrCorrupt, "it is no array of NumPy's format 1")
	}
	size := int(binary.LittleEndian.Uint16(fixed[8:]))
	if size > maxNPYHead {
		return fail(errs.ErrCorrupt, fmt.Sprintf("its head has %d bytes, over %d", size, maxNPYHead))
	}
	head := make([]byte, size)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, 0, fileError(matesOp, f.path, matesHint, err)
	}
	width, shape := npyDescr.FindSubmatch(head), npyShape.FindSubmatch(head)
	if width == nil || shape == nil || !npyFortran.Match(head) {
		return fail(errs.ErrMismatch, "it is no array (N,K) of int32 or int64 in C order")
	}
	bytes := int(width[1][0] - '0')
	rows, _ := strconv.ParseInt(string(shape[1]), 10, 64)
	k, _ = strconv.ParseInt(string(shape[2]), 10, 64)
	switch {
	case rows != n:
		return fail(errs.ErrMismatch, fmt.Sprintf("it has the mates of %d samples, the data set has %d", rows, n))
	case n > math.MaxInt32:
		return fail(errs.ErrTooLarge, fmt.Sprintf("%d samples", n))
	case k < 1 || k > schemas.MaxMates:
		return fail(errs.ErrMismatch, fmt.Sprintf("it has %d mates of each, not 1 to %d", k, schemas.MaxMates))
	case f.size != int64(len(fixed)+size)+rows*k*int64(bytes):
		return fail(errs.ErrCorrupt, fmt.Sprintf("it has %d bytes, which %d×%d numbers do not take", f.size, rows, k))
	}
	mates = make([]int32, rows*k)
	cell := make([]byte, 8)
	for i := range mates {
		if _, err := io.ReadFull(r, cell[:bytes]); err != nil {
			return nil, 0, fileError(matesOp, f.path, matesHint, err)
		}
		v := int64(int32(binary.LittleEndian.Uint32(cell)))
		if bytes == 8 {
			v = int64(binary.LittleEndian.Uint64(cell))
		}
		if v < 0 || v >= n {
			return fail(errs.ErrMismatch, fmt.Sprintf("a mate of sample %d is %d, and there are %d samples", int64(i)/k, v, n))
		}
		mates[i] = int32(v)
	}
	return mates, k, nil
}

func (s *matesSource) Manifest() *Manifest { return s.manifest }

// image is the data set's sample of an id, -1 where there is none.
func (s *matesSource) image(id int64) int64 {
	n := s.manifest.Samples
	k, at := id/(2*n), id%(2*n)
	switch {
	case id < 0 || k >= s.manifest.Mates:
		return -1
	case at < n && k == 0:
		return at
	case at < n:
		return -1
	}
	return int64(s.mates[(at-n)*s.manifest.Mates+k])
}

func (s *matesSource) Read(ctx context.Context, id int64, dst *schemas.Sample) error {
	image := s.image(id)
	if image < 0 || s.closed.Load() {
		return checkID(ctx, s.manifest, s.closed.Load(), -1)
	}
	if err := s.Source.Read(ctx, image, dst); err != nil {
		return err
	}
	dst.ID = id
	return nil
}

func (s *matesSource) confirm(ctx context.Context, sample *schemas.Sample) error {
	own := *sample
	own.ID = s.image(sample.ID)
	return Confirm(ctx, s.Source, &own)
}

func (s *matesSource) Survey() Survey { return SurveyOf(s.Source) }

// units are the data set's, and the file.
func (s *matesSource) units() (n, bytes int64) {
	if v, ok := s.Source.(verifier); ok {
		n, _ = v.units()
	}
	return n + 1, s.manifest.Bytes()
}

func (s *matesSource) verify(ctx context.Context, i int64, m *meter) (*Damage, error) {
	if n, _ := s.units(); i < n-1 {
		return s.Source.(verifier).verify(ctx, i, m)
	}
	file := s.manifest.Shards[len(s.manifest.Shards)-1]
	got, err := s.again(ctx, m)
	return compare(ctx, file.Name, "", file.SHA256, got, err)
}

func (s *matesSource) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	return errors.Join(s.Source.Close(), s.done())
}
