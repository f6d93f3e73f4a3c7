package ingest

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"resslt/schemas/errs"
)

// Shards and Parquet files say by their names which split they hold, in one of these
// ways; {split} is any of splitWords, in any case:
//
//	train-000000.tar, test-000.tar            Pack, webdataset
//	train-00000-of-00010.parquet, train.parquet, data/train-…   Hugging Face
//	imagenet1k-validation-00.tar              timm
//	train/0000.tar, CONFIG/train/0000.parquet  folders

// filesOfSplit chooses the files that hold the split, by their '/'-separated names
// below the data set's folder. Where no name says a split, all are chosen, and known is
// false. Files beside those of a split whose names say none are not chosen: filesWithoutSplit
// counts them.
//
// A split whose files have no name of their own gets those that splitChoices says, as
// test does those of val. Errors: ErrNotFound without files of the split or with a part
// of a numbered set missing, ErrUsage for names that can be read in two ways.
func filesOfSplit(names []string, split string) (chosen []string, known bool, err error) {
	bySplit := map[string][]splitFile{}
	for _, name := range names {
		f, err := splitOfFile(name)
		if err != nil {
			return nil, false, err
		}
		bySplit[f.split] = append(bySplit[f.split], f)
	}
	if len(bySplit[""]) == len(names) {
		return names, false, checkNumbered(names)
	}
	files := bySplit[split]
	for _, other := range splitChoices[split] {
		if len(files) > 0 {
			break
		}
		files = bySplit[other] // test is served by val, and train by trainval
	}
	if len(files) == 0 {
		delete(bySplit, "")
		return nil, true, errs.New("choose files", "", "give one of its splits: "+strings.Join(slices.Sorted(maps.Keys(bySplit)), ", ")+", or name the files by a glob",
			errs.Because(errs.ErrNotFound, "no file's name says split "+split))
	}
	if err := checkOneSet(split, files, names); err != nil {
		return nil, true, err
	}
	for _, f := range files {
		chosen = append(chosen, f.name)
	}
	return chosen, true, checkNumbered(chosen)
}

// filesWithoutSplit counts the files that no split has: their names say none, and those of
// the chosen ones do.
func filesWithoutSplit(names, chosen []string) (s Survey) {
	eachOther(names, chosen, func(f splitFile) {
		if f.split == "" {
			s.Add("files whose names say no split, beside those of splits", f.name)
		}
	})
	return s
}

// filesOfOthers are the files of splits other than the chosen ones'.
func filesOfOthers(names, chosen []string) (others []string) {
	eachOther(names, chosen, func(f splitFile) {
		if f.split != "" {
			others = append(others, f.name)
		}
	})
	return others
}

// eachOther calls do for the files that are not chosen.
func eachOther(names, chosen []string, do func(splitFile)) {
	is := make(map[string]bool, len(chosen))
	for _, name := range chosen {
		is[name] = true
	}
	for _, name := range names {
		if f, err := splitOfFile(name); err == nil && !is[name] {
			do(f)
		}
	}
}

// onlySplit reports whether the names of all files say one split, and the same.
func onlySplit(names []string) bool {
	split := ""
	for _, name := range names {
		f, err := splitOfFile(name)
		if err != nil || f.split == "" || split != "" && f.split != split {
			return false
		}
		split = f.split
	}
	return split != ""
}

// splitFile is a file and what its name says.
type splitFile struct {
	name   string
	split  string // "" if it says none
	config string // the folder of what says the split: data sets of several configurations have one each
	part   string // of the name, which says the split: the file's own or that of a folder
}

// splitOfFile reads a name from its end: the file's own name counts more than that of
// its folder.
func splitOfFile(name string) (splitFile, error) {
	f := splitFile{name: name}
	for rest := name; rest != "." && rest != "/"; rest = path.Dir(rest) {
		part := path.Base(rest)
		if key, value, ok := strings.Cut(part, "="); ok && rest != name { // a folder named by a column's value: label=test
			if part = value; !strings.EqualFold(key, splitColumn) {
				continue
			}
		}
		found := splitsInName(part)
		if len(found) == 1 {
			f.split, f.config, f.part = found[0], outsidePartitions(path.Dir(rest)), part
			return f, nil
		}
		if len(found) > 1 {
			return f, errs.New("choose files", name, "name the split's files by a glob",
				errs.Because(errs.ErrUsage, fmt.Sprintf("the name %q says both %s and %s", name, found[0], found[1])))
		}
	}
	return f, nil
}

// splitColumn is the column whose values name folders of splits: split=train.
const splitColumn = "split"

// outsidePartitions is a folder's name without those in it that columns name; "" for none.
func outsidePartitions(dir string) string {
	parts := slices.DeleteFunc(strings.Split(dir, "/"), func(p string) bool { return p == "." || strings.Contains(p, "=") })
	return strings.Join(parts, "/")
}

// splitsInName are the splits that the words of a name say, sorted.
func splitsInName(name string) []string {
	for _, s := range allSplits { // train+val, as Pack names its shards
		if strings.Contains(s, "+") && strings.HasPrefix(strings.ToLower(name), s) {
			return []string{s}
		}
	}
	var found []string
	for _, part := range strings.FieldsFunc(name, func(r rune) bool { return strings.ContainsRune("-_. ", r) }) {
		words, _ := nameWords(part)
		for _, word := range words {
			if s := splitOfWord(word); s != "" {
				found = append(found, s)
			}
		}
	}
	slices.Sort(found)
	if found = slices.Compact(found); slices.Equal(found, []string{Train, Val}) { // "train_val"
		return []string{TrainVal}
	}
	return found
}
