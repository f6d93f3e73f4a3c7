package ingest

import (
	"slices"
	"strings"
	"unicode"
)

// Which split a folder holds, by its name.

// splitWords are the words for splits, in lower case.
var splitWords = map[string]string{
	"train": Train, "training": Train, "trn": Train, "trainval": TrainVal,
	"test": Test, "testing": Test, "tst": Test,
	"val": Val, "valid": Val, "validation": Val, "validate": Val, "dev": Val, "devel": Val, "development": Val,
	"eval": Val, "evaluation": Val,
	"unlabeled": Unlabeled, "unlabelled": Unlabeled,
}

// neutralWords say nothing about a split: "training_set", "images_train", "Final_Test".
var neutralWords = []string{
	"set", "sets", "data", "dataset", "datasets", "split", "folder", "dir", "part", "subset", "samples", "examples",
	"image", "images", "img", "imgs", "photo", "photos", "picture", "pictures", "pics", "files",
	"jpg", "jpeg", "png", "crops", "cropped", "resized", "all", "full", "final", "official", "public", "private",
}

// isWrapper reports whether a name is that of the one folder that some archives have
// between the folder of a split and its images: "images", "data".
func isWrapper(name string) bool {
	words, _ := nameWords(name)
	return len(words) > 0 && !slices.ContainsFunc(words, func(w string) bool { return !isNeutral(w) })
}

func isNeutral(word string) bool {
	return slices.Contains(neutralWords, word) || strings.Trim(word, "0123456789") == ""
}

// splitName is a folder's name, taken apart.
type splitName struct {
	split string // the split of its one word for splits; "" without
	rest  string // its other words, but for the neutral ones
}

// parseSplitName takes a name apart.
func parseSplitName(name string) splitName {
	words, ok := nameWords(name)
	if !ok {
		return splitName{}
	}
	var split string
	var rest []string
	for _, w := range words {
		s := splitOfWord(w)
		switch {
		case s == "":
			if !isNeutral(w) {
				rest = append(rest, w)
			}
		case split == "":
			split = s
		case split == Train && s == Val, split == Val && s == Train: // "train_val"
			split = TrainVal
		default:
			return splitName{}
		}
	}
	if split == "" {
		return splitName{}
	}
	return splitName{split: split, rest: strings.Join(rest, " ")}
}

// splitOfWord is the split that a word means, alone or grown together with a neutral
// word ("trainset"); "" for none.
func splitOfWord(word string) string {
	if s := splitWords[word]; s != "" {
		return s
	}
	for _, n := range neutralWords {
		if w, ok := strings.CutSuffix(word, n); ok && splitWords[w] != "" {
			return splitWords[w]
		}
		if w, ok := strings.CutPrefix(word, n); ok && splitWords[w] != "" {
			return splitWords[w]
		}
	}
	return ""
}

// nameWords are the words of a name, in lower case: they end at what is neither letter
// nor digit, at a capital after a small letter, and between letters and digits. ok is
// false for names too long to be a split's.
func nameWords(name string) (words []string, ok bool) {
	const longest = 64
	if len(name) > longest {
		return nil, false
	}
	var word []rune
	end := func() {
		if len(word) > 0 {
			words = append(words, strings.ToLower(string(word)))
		}
		word = word[:0]
	}
	var last rune
	for _, r := range name {
		switch {
		case !unicode.IsLetter(r) && !unicode.IsDigit(r):
			end()
		default:
			if unicode.IsUpper(r) && unicode.IsLower(last) || unicode.IsDigit(r) != unicode.IsDigit(last) {
				end()
			}
			word = append(word, r)
		}
		last = r
	}
	end()
	return words, true
}

// splitsAmong gives the split of each of the folders that are one by their names,
// beside one another: "train2017" and "Training_Set" are by themselves, "seg_train"
// only beside "seg_test" or the like.
func splitsAmong(names []string) map[string]string {
	parsed := make(map[string]splitName, len(names))
	splits := map[string][]string{} // by the rest of the name
	for _, n := range names {
		p := parseSplitName(n)
		if p.split == "" {
			continue
		}
		parsed[n] = p
		if !slices.Contains(splits[p.rest], p.split) {
			splits[p.rest] = append(splits[p.rest], p.split)
		}
	}
	out := map[string]string{}
	for n, p := range parsed {
		if p.rest == "" || len(splits[p.rest]) > 1 {
			out[n] = p.split
		}
	}
	return out
}

// severalSplits names two of the folders that hold different splits by their names; ok
// is false if there are none.
func severalSplits(names []string) (one, other string, ok bool) {
	splits := splitsAmong(names)
	for _, n := range names { // in order, for a message that is always the same
		switch s := splits[n]; {
		case s == "":
		case one == "":
			one = n
		case s != splits[one]:
			return one, n, true
		}
	}
	return "", "", false
}
