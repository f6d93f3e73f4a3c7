package ingest

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"time"

	"resslt/ingest/store"
	"resslt/schemas/bounded"
	"resslt/schemas/errs"
)

// index lists the samples of a folder or of shards in columns, with about 40 bytes for
// each sample with a name of 16, so that ten million samples fit in 400 MB. It has no
// map or pointer for each sample, which would burden the garbage collector.
type index struct {
	indexHeader
	columns
	kept        []int  // shards that Open has not looked into, of an older index
	keptSamples int64  // theirs
	listing     Survey // what was passed over outside the shards; listed at every Open, not cached
}

// indexHeader is the part of an index that does not grow with the samples. It is
// JSON in the cache file.
type indexHeader struct {
	Key    string  `json:"key"`    // what was indexed: scheme, place and split
	Built  int64   `json:"built"`  // ns since 1970, when building began
	Shards []Shard `json:"shards"` // as in the manifest
	First  []int64 `json:"first"`  // id of the first sample of each shard, and after the last, n
	Stamps []stamp `json:"stamps"` // of each shard's file; none for folders, whose files have their own

	// Passed is what was passed over in each shard; nil in a published index of format 1.
	Passed []Survey `json:"passed,omitempty"`

	// Folders are the folders of each shard, of a folder on a disk that keeps their times; an index
	// of before has none. Checked: none of them holds folders of several splits.
	Folders [][]folderStamp `json:"folders,omitempty"`
	Checked bool            `json:"checked,omitempty"`
	// Copies is how many samples are copies of others, and FirstCopy one of them; nil: not counted.
	Copies    *int64 `json:"copies,omitempty"`
	FirstCopy string `json:"first_copy,omitempty"`

	// Classes are the class names that each shard's labels count in, and Reading says how
	// the samples of each were put together; nil where labels are numbers or of a list,
	// and all is as usual. Only tars and Parquet files have them.
	Classes [][]string `json:"classes,omitempty"`
	Reading []string   `json:"reading,omitempty"`
	// Listed says of each shard that its file lists its class names, in their order, and
	// not only those that its samples have. Only Parquet files do.
	Listed []bool `json:"listed,omitempty"`

	// Lengths of the columns that follow in the cache file.
	Samples  int64 `json:"samples"`
	NameSize int64 `json:"name_size"`
	Folder   bool  `json:"folder"`            // mtimes and sums are there, offsets are not
	Changes  bool  `json:"changes,omitempty"` // of a folder: changes are there
}

// stamp identifies the contents of a file, as far as can be told without reading it.
type stamp struct {
	Size    int64  `json:"size"`
	MTime   int64  `json:"mtime"`             // ns since 1970
	Version string `json:"version,omitempty"` // of a remote file that has one
	// Change is store.Change of a local file; 0 where unknown, as in an index of before.
	Change uint64 `json:"change,omitempty"`
}

// allows reports whether a file may be the one of the stamp. A published index has only
// sizes: times and versions are those of one store. A change that leaves size and time is
// none here: a link to the file, or another owner, must not end a run.
func (s stamp) allows(now stamp) bool {
	s.Change, now.Change = 0, 0
	return now == s || s == stamp{Size: now.Size}
}

// columns are in order of sample ids.
type columns struct {
	names   []byte   // all names, concatenated: relative to the shard
	nameEnd []uint32 // where each ends in names
	sizes   []uint32 // bytes
	labels  []int32
	offsets []int64         // tar: where the member's bytes begin; Parquet: its page
	mtimes  []int64         // folder: ns since 1970; dropped once the index is known to be valid
	changes []uint64        // folder: as in stamp; dropped with the mtimes, nil where all are unknown
	sums    [][sumSize]byte // folder: start of the SHA-256 of each file
	passed  Survey          // what a scanner passed over; addShard moves it to the header
	classes []string        // as in the header, of one shard
	reading string
	listed  bool
}

// sumSize is the part of a file's SHA-256 that is kept: 128 bits exclude equality by
// chance, and take half the memory.
const sumSize = 16

func newIndex() *index {
	return &index{indexHeader: indexHeader{Built: time.Now().UnixNano()}}
}

// name is the name of sample i within its shard.
func (c *columns) name(i int64) string { return string(c.nameBytes(i)) }

func (c *columns) nameBytes(i int64) []byte {
	lo := uint32(0)
	if i > 0 {
		lo = c.nameEnd[i-1]
	}
	return c.names[lo:c.nameEnd[i]]
}

// addName appends a name; the caller appends to the other columns.
func (c *columns) addName(name []byte) error {
	if len(c.names)+len(name) > math.MaxUint32 {
		return errs.Because(errs.ErrTooLarge, "the names of all samples exceed 4 GiB")
	}
	c.names = append(c.names, name...)
	c.nameEnd = append(c.nameEnd, uint32(len(c.names)))
	return nil
}

// appendRange appends samples [lo, hi) of b.
func (c *columns) appendRange(b *columns, lo, hi int64) error {
	for i := lo; i < hi; i++ {
		if err := c.addName(b.nameBytes(i)); err != nil {
			return err
		}
	}
	c.sizes = append(c.sizes, b.sizes[lo:hi]...)
	c.labels = append(c.labels, b.labels[lo:hi]...)
	if b.offsets != nil {
		c.offsets = append(c.offsets, b.offsets[lo:hi]...)
	}
	if b.mtimes != nil {
		c.mtimes = append(c.mtimes, b.mtimes[lo:hi]...)
	}
	if b.changes != nil {
		c.changes = append(c.changes, b.changes[lo:hi]...)
	}
	if b.sums != nil {
		c.sums = append(c.sums, b.sums[lo:hi]...)
	}
	return nil
}

// addShard appends a shard whose samples are all of b.
func (x *index) addShard(s Shard, b *columns) error {
	if len(x.First) == 0 {
		x.First = []int64{0}
	}
	n := int64(len(b.nameEnd))
	s.Samples = n
	x.Shards = append(x.Shards, s)
	x.Passed = append(x.Passed, b.passed)
	x.Classes = append(x.Classes, b.classes)
	x.Reading = append(x.Reading, b.reading)
	x.Listed = append(x.Listed, b.listed)
	x.First = append(x.First, x.First[len(x.First)-1]+n)
	x.Samples += n
	return x.appendRange(b, 0, n)
}

// survey is all that was passed over.
func (x *index) survey() Survey {
	var all Survey
	all.Merge("", x.listing)
	for i, p := range x.Passed {
		prefix := ""
		if name := x.Shards[i].Name; name != "." {
			prefix = name + "/"
		}
		all.Merge(prefix, p)
	}
	return all
}

// nothing is ErrNotFound of a data set without samples: why, and what was passed over.
func (x *index) nothing(why string) error {
	if passed := x.survey().String(); passed != "" {
		why += "; " + passed
	}
	return errs.Because(errs.ErrNotFound, why)
}

// sumWithLabels is the SHA-256 of a shard's own hash and all labels, for labels that
// come from another file.
func (x *index) sumWithLabels(own string) [sha256.Size]byte {
	h := sha256.New()
	h.Write([]byte(own)) // a hash never fails
	var b []byte
	for _, l := range x.labels {
		b = binary.LittleEndian.AppendUint32(b[:0], uint32(l))
		h.Write(b)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// shardOf is the shard that holds sample id.
func (x *index) shardOf(id int64) int {
	return sort.Search(len(x.Shards), func(i int) bool { return x.First[i+1] > id })
}

// coarsestClock is the coarsest resolution of modification times in use (FAT's).
const coarsestClock = 2 * time.Second

// trusts reports whether a file whose stamp was then and is now must have the same
// contents. A file written just before indexing could have been written again without
// a later time, so it is not trusted.
func (x *indexHeader) trusts(now, then stamp) bool {
	// Other contents have another version, at any time.
	return now.is(then) && (now.Version != "" || now.MTime < x.Built-int64(coarsestClock))
}

// cache is the file of one index on disk:
//
//	magic     16 bytes
//	length    uint64, of the header
//	header    indexHeader, JSON
//	columns   names, nameEnd, sizes, labels, then offsets or mtimes, sums and perhaps changes
//	sum       SHA-256 of all that precedes
//
// Integers are little-endian. A file that does not match its sum, or is of another
// data set, is ignored: the index is built again. The cache only saves time: without a
// folder that can be written to, every Open indexes the data, and Options.Warn is told.
type cache struct {
	opt   Options
	key   string
	paths []string // to read from; the first to write to
	err   error    // why there are none
}

const (
	maxCacheBytes = 8 << 30 // of some 10⁸ samples
	cacheMagic    = "resslt index 2\r\n"
	// Format 1 knew fewer samples and surveyed nothing: a cache in it is built again,
	// but what was published next to shards describes them still.
	firstMagic = "resslt index 1\r\n"
	// Format 3 is format 2 with packed JPEGs: builds that read none must not believe it.
	packedMagic = "resslt index 3\r\n"
	cacheHint   = "name a folder that this user can write to by RESSLT_CACHE_DIR or --cache-dir"
)

// openCache is the cache file of a place, whose name is made absolute.
func openCache(opt Options, scheme, place, split string) *cache {
	c := &cache{opt: opt}
	abs, err := store.Abs(place)
	var dirs []string
	if err == nil {
		dirs, err = opt.cacheDirs()
	}
	if err != nil {
		c.err = errs.New("find the folder of indexes", "", cacheHint, errs.BecauseErr(errs.ErrUnavailable, err))
		return c
	}
	c.key = scheme + "\x00" + abs + "\x00" + split
	sum := sha256.Sum256([]byte(c.key))
	for _, dir := range dirs {
		c.paths = append(c.paths, filepath.Join(dir, scheme+"-"+hex.EncodeToString(sum[:12])+".idx"))
	}
	return c
}

// store writes the index to disk, atomically. Where that fails, the next Open builds it
// again, and the user is told why.
func (c *cache) store(x *index) {
	err := c.err
	if err == nil {
		dir := filepath.Dir(c.paths[0])
		if err = os.MkdirAll(dir, 0o755); err != nil {
			err = fileError("make the folder of indexes", dir, cacheHint, err)
		}
	}
	if err == nil {
		err = c.write(c.paths[0], x)
	}
	if err != nil {
		c.opt.warn("the data will be indexed again at the next start", err)
	}
}

func (c *cache) write(path string, x *index) error {
	x.Key, x.NameSize, x.Folder = c.key, int64(len(x.names)), x.sums != nil
	x.Changes = x.Folder && x.knowsChanges()
	const op = "write index"
	return writeFile(op, path, cacheHint, func(w io.Writer) error {
		header, err := json.Marshal(&x.indexHeader)
		if err != nil {
			return errs.New(op, path, "", errs.BecauseErr(errs.ErrUnavailable, err))
		}
		h := sha256.New()
		both := io.MultiWriter(w, h)
		magic := cacheMagic
		if x.packed() {
			magic = packedMagic
		}
		length := binary.LittleEndian.AppendUint64([]byte(magic), uint64(len(header)))
		parts := []any{length, header, x.names, x.nameEnd, x.sizes, x.labels, x.offsets}
		if x.Folder {
			parts = append(parts[:len(parts)-1], x.mtimes, x.sums)
		}
		if x.Changes {
			parts = append(parts, x.changes)
		}
		for _, p := range parts {
			if err := binary.Write(both, binary.LittleEndian, p); err != nil {
				return fileError(op, path, cacheHint, err)
			}
		}
		if _, err := w.Write(h.Sum(nil)); err != nil {
			return fileError(op, path, cacheHint, err)
		}
		return nil
	})
}

// drop removes the cached index: the data are not what it says.
func (c *cache) drop() {
	for _, path := range c.paths {
		_ = os.Remove(path) // where it cannot be, the next Open is told again
	}
}

// renew writes the index of one file again where it was of an older version, which knew
// less of the file.
func (c *cache) renew(x *index, now stamp) {
	if x.Stamps[0] == now {
		return
	}
	for i := range x.Stamps {
		x.Stamps[i] = now
	}
	c.store(x)
}

// load reads the index; nil if there is none that can be trusted.
func (c *cache) load() *index {
	for _, path := range c.paths {
		b, err := bounded.ReadFile(path, maxCacheBytes)
		if err != nil {
			continue // missing or unreadable: store will report why it can't be written
		}
		x, err := parseIndex(b)
		if err == nil && x.Key == c.key && !bytes.HasPrefix(b, []byte(firstMagic)) && len(x.Passed) == len(x.Shards) {
			used(path)
			return x
		}
	}
	return nil
}

// parseIndex parses a cache file. It checks every length against the bytes that are
// there before it allocates anything. An error wraps ErrCorrupt.
func parseIndex(b []byte) (*index, error) {
	corrupt := func(why string) (*index, error) { return nil, errs.Because(errs.ErrCorrupt, why) }
	fixed := len(cacheMagic) + 8
	if len(b) < fixed+sha256.Size || !slices.Contains([]string{firstMagic, cacheMagic, packedMagic}, string(b[:len(cacheMagic)])) {
		return corrupt("not an index")
	}
	body := b[:len(b)-sha256.Size]
	if sum := sha256.Sum256(body); !bytes.Equal(sum[:], b[len(body):]) {
		return corrupt("check sum differs")
	}
	length := binary.LittleEndian.Uint64(b[len(cacheMagic):])
	if length > uint64(len(body)-fixed) {
		return corrupt("header longer than the file")
	}
	x := &index{}
	if err := bounded.JSON(body[fixed:fixed+int(length)], &x.indexHeader); err != nil {
		return corrupt(err.Error())
	}
	rest := body[fixed+int(length):]
	perSample := int64(4 + 4 + 4 + 8)
	if x.Folder {
		perSample += sumSize
	}
	if x.Changes = x.Changes && x.Folder; x.Changes {
		perSample += 8
	}
	n := x.Samples
	if n < 0 || x.NameSize < 0 || n > int64(len(rest))/perSample || int64(len(rest)) != n*perSample+x.NameSize {
		return corrupt(fmt.Sprintf("%d bytes of columns do not fit %d samples", len(rest), n))
	}
	x.names = bytes.Clone(rest[:x.NameSize])
	rest = rest[x.NameSize:]
	x.nameEnd, x.sizes, x.labels = make([]uint32, n), make([]uint32, n), make([]int32, n)
	parts := []any{x.nameEnd, x.sizes, x.labels}
	if x.Folder {
		x.mtimes, x.sums = make([]int64, n), make([][sumSize]byte, n)
		parts = append(parts, x.mtimes, x.sums)
		if x.Changes {
			x.changes = make([]uint64, n)
			parts = append(parts, x.changes)
		}
	} else {
		x.offsets = make([]int64, n)
		parts = append(parts, x.offsets)
	}
	for _, p := range parts {
		used, err := binary.Decode(rest, binary.LittleEndian, p)
		if err != nil {
			return corrupt(err.Error())
		}
		rest = rest[used:]
	}
	return x, x.check()
}

// check checks that the parts of an index fit one another, so that no later look-up
// can be out of range.
func (x *index) check() error {
	corrupt := func(why string) error { return errs.Because(errs.ErrCorrupt, why) }
	if len(x.First) != len(x.Shards)+1 || x.First[0] != 0 || x.First[len(x.Shards)] != x.Samples {
		return corrupt("shards do not add up to the samples")
	}
	for i, s := range x.Shards {
		if s.Samples < 0 || x.First[i+1]-x.First[i] != s.Samples {
			return corrupt("shards do not add up to the samples")
		}
	}
	if x.Folders != nil && len(x.Folders) != len(x.Shards) {
		return corrupt("its folders are not those of its shards")
	}
	if x.Passed != nil && len(x.Passed) != len(x.Shards) {
		return corrupt("its surveys are not one for each shard")
	}
	if x.Classes != nil && len(x.Classes) != len(x.Shards) || x.Reading != nil && len(x.Reading) != len(x.Shards) ||
		x.Listed != nil && len(x.Listed) != len(x.Shards) {
		return corrupt("its class names or readings are not one for each shard")
	}
	if !x.Folder && len(x.Stamps) != len(x.Shards) {
		return corrupt("its stamps are not one for each shard")
	}
	last := uint32(0)
	for _, end := range x.nameEnd {
		if end < last || int64(end) > int64(len(x.names)) {
			return corrupt("names out of order")
		}
		last = end
	}
	return nil
}
