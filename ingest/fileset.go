package ingest

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"resslt/schemas/errs"
)

// Files of one set differ in their numbers, or in what a writer adds for want of one, and
// in nothing else: train-0.tar and train_extra-0.tar are two sets.

// checkOneSet checks that all files that say a split are of one set. names are all files
// of the folder. An error wraps ErrUsage.
func checkOneSet(split string, files []splitFile, names []string) error {
	years := !slices.ContainsFunc(files, func(f splitFile) bool { return !endsInYear(f.part) })
	first := files[0]
	for _, f := range files {
		twice := func(hint string) error {
			return errs.New("choose files", "", hint,
				errs.Because(errs.ErrUsage, fmt.Sprintf("split %s is there twice, in %s and in %s", split, first.name, f.name)))
		}
		if f.config != first.config {
			return twice("name one of them, such as the folder " + cmp.Or(first.config, f.config))
		}
		if setName(f.part, years) != setName(first.part, years) {
			return twice("name one of them by a glob, such as " + cmp.Or(globOf(first, names, years), globOf(f, names, years), first.name))
		}
	}
	return nil
}

// globOf is a glob of all files of f's set, and no others; "" if there is none so simple.
func globOf(f splitFile, names []string, years bool) string {
	var others []string
	prefix, n := f.name, 0
	for _, name := range names {
		g, err := splitOfFile(name)
		if err != nil || g.split != f.split || g.config != f.config || setName(g.part, years) != setName(f.part, years) {
			others = append(others, name)
			continue
		}
		n++
		for !strings.HasPrefix(name, prefix) {
			prefix = prefix[:len(prefix)-1]
		}
	}
	if n == 1 {
		return escapeGlob(f.name)
	}
	end := path.Ext(f.name)
	prefix = strings.TrimRight(strings.TrimSuffix(prefix, end), "0123456789") // 00 of 000 and 001
	glob := escapeGlob(prefix) + "*" + escapeGlob(end)
	if strings.Contains(f.name[len(prefix):], "/") {
		glob = escapeGlob(prefix) + "*/*" + escapeGlob(end)
	}
	for _, name := range others {
		if is, err := path.Match(glob, name); is || err != nil {
			return ""
		}
	}
	return glob
}

// Parts of names that tell the files of one set apart.
var (
	fileEndings = regexp.MustCompile(`(?i)(\.(tar|tgz|tbz2?|txz|tzst|gz|bz2|xz|zst|zstd|lz4|snappy|brotli|br|gzip|uncompressed|parquet|parq|pq))+$`)
	uuids       = regexp.MustCompile(`(?i)[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	nOfM        = regexp.MustCompile(`(?i)\d+[-_]?of[-_]?\d+`)
	hash        = regexp.MustCompile(`(?i)^[0-9a-f]{8,}$`)
	version     = regexp.MustCompile(`(?i)^v\d+$`)
	yearAtEnd   = regexp.MustCompile(`(^|\D)(19[89]|20[0-3])\d$`)
	countWords  = []string{"shard", "shards", "part", "parts", "chunk", "chunks", "copy"}
)

// setName is what the names of all files of a set have in common: the words but for
// numbers, hashes and such. A version is a word (v2), and so is a year or a number right
// behind the split's word where another number counts the files (train2017-000), or, as
// years says, where nothing else does.
func setName(part string, years bool) string {
	plain := nOfM.ReplaceAllString(uuids.ReplaceAllString(fileEndings.ReplaceAllString(part, ""), "0"), "0")
	tokens := strings.FieldsFunc(plain, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	counted := false // by a later token
	var words []string
	for _, t := range slices.Backward(tokens) {
		bare := strings.TrimRight(t, "0123456789")
		if splitOfWord(strings.ToLower(strings.TrimLeft(bare, "0123456789"))) != "" { // 000train
			t, bare = strings.TrimLeft(t, "0123456789"), strings.TrimLeft(bare, "0123456789")
		}
		switch {
		case hash.MatchString(t) && !yearAtEnd.MatchString(t), slices.Contains(countWords, strings.ToLower(bare)):
		case version.MatchString(t), bare == t,
			yearAtEnd.MatchString(t) && (counted || years),
			counted && splitOfWord(strings.ToLower(bare)) != "":
			words = append(words, t)
			continue
		case bare != "":
			words = append(words, bare)
		}
		counted = true
	}
	slices.Reverse(words)
	return strings.Join(words, " ")
}

// endsInYear reports whether the split's word has a year behind it, and then nothing that
// counts files: train2017.tar.
func endsInYear(part string) bool {
	plain := fileEndings.ReplaceAllString(part, "")
	if !yearAtEnd.MatchString(plain) {
		return false
	}
	plain = plain[:len(plain)-4]
	word := plain[strings.LastIndexFunc(plain, func(r rune) bool { return !unicode.IsLetter(r) })+1:]
	return splitOfWord(strings.ToLower(word)) != ""
}

// numberedName is a file of a set that says how many it has: train-00003-of-00010.tar.
var numberedName = regexp.MustCompile(`^(.*?)(\d+)(-of-)(\d+)(.*)$`)

// hashAtEnd is what Hugging Face's push_to_hub put behind, of each file's content.
var hashAtEnd = regexp.MustCompile(`(?i)^-[0-9a-f]{16}`)

// maxMissing is the number of missing files that an error names.
const maxMissing = 4

// checkNumbered checks that no file is missing of the sets that say how many they have,
// and that no split has two such sets. They count from 0, or, as some tools do, from 1.
func checkNumbered(names []string) error {
	type set struct {
		first   string
		have    map[int]string
		total   int
		width   int
		fromOne bool
	}
	sets := map[[2]string]*set{}
	for _, name := range names {
		m := numberedName.FindStringSubmatch(name)
		if m == nil {
			continue
		}
		i, err1 := strconv.Atoi(m[2])
		total, err2 := strconv.Atoi(m[4])
		if err1 != nil || err2 != nil || total > maxBraceShards {
			continue
		}
		key := [2]string{m[1], hashAtEnd.ReplaceAllString(m[5], "-*")} // each file has its own
		s := sets[key]
		if s == nil {
			s = &set{first: name, have: map[int]string{}, total: total, width: len(m[2])}
			sets[key] = s
		}
		other := s.have[i]
		if s.total != total {
			other = s.first
		}
		if other != "" {
			return errs.New("choose files", "", "remove the files of one, or name the other by a glob",
				errs.Because(errs.ErrUsage, fmt.Sprintf("files of two sets: %s and %s", other, name)))
		}
		if i <= total {
			s.have[i] = name
		}
		s.fromOne = s.fromOne || i == total
	}
	for _, key := range slices.SortedFunc(maps.Keys(sets), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) }) {
		s := sets[key]
		from := 0
		if s.fromOne {
			from = 1
		}
		var missing []string
		for i := from; i < from+s.total && len(missing) < maxMissing; i++ {
			if s.have[i] == "" {
				missing = append(missing, fmt.Sprintf("%s%0*d-of-%0*d%s", key[0], s.width, i, s.width, s.total, key[1]))
			}
		}
		if len(missing) > 0 {
			more := ""
			n := s.total - len(s.have)
			if n > len(missing) {
				more = fmt.Sprintf(" and %d more", n-len(missing))
			}
			return errs.New("choose files", "", fmt.Sprintf("fetch what is missing, or name those that are there, as in %s{%0*d..%0*d}-of-%0*d%s",
				key[0], s.width, from, s.width, from+1, s.width, s.total, key[1]),
				errs.Because(errs.ErrNotFound, fmt.Sprintf("%d of %d files are missing: %s", n, s.total, strings.Join(missing, ", ")+more)))
		}
	}
	return nil
}
