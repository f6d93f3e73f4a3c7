package ingest

import (
	"fmt"
	"testing"

	"resslt/schemas/errs"
	"resslt/schemas/errs/errstest"
)

// of are the names of a whole numbered set.
func of(pattern string, n int) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprintf(pattern, i, n))
	}
	return out
}

func TestFilesOfSplit(t *testing.T) {
	hf := append(of("data/train-%05d-of-%05d.tar", 3), of("data/validation-%05d-of-%05d.tar", 2)...)
	for _, c := range []struct {
		about string
		names []string
		split string
		want  []string
		known bool
		kind  error // of the error, nil for none
		says  string
	}{
		{about: "no split is named", names: []string{"000.tar", "001.tar"}, split: Train, want: []string{"000.tar", "001.tar"}},
		{about: "no files", names: nil, split: Train},
		{about: "Pack", names: []string{"test-000000.tar", "train-000000.tar"}, split: Train, want: []string{"train-000000.tar"}, known: true},
		{about: "Pack's joint split", names: []string{"train+val-000000.tar", "train-000000.tar", "val-000000.tar"}, split: TrainVal, want: []string{"train+val-000000.tar"}, known: true},
		{about: "a split beside the joint one", names: []string{"train+val-000000.tar", "train-000000.tar"}, split: Train, want: []string{"train-000000.tar"}, known: true},
		{about: "any case", names: []string{"Train-0.tar", "TEST-0.tar"}, split: Test, want: []string{"TEST-0.tar"}, known: true},
		{about: "Hugging Face, train", names: hf, split: Train, want: hf[:3], known: true},
		{about: "Hugging Face, val", names: hf, split: Val, want: hf[3:], known: true},
		{about: "val stands in for test", names: hf, split: Test, want: hf[3:], known: true},
		{about: "test before val", names: []string{"test.parquet", "train.parquet", "validation.parquet"}, split: Test, want: []string{"test.parquet"}, known: true},
		{about: "test is not val", names: []string{"test.parquet", "train.parquet"}, split: Val, known: true, kind: errs.ErrNotFound, says: "splits: test, train"},
		{about: "one file a split", names: []string{"train.parquet", "validation.parquet"}, split: Train, want: []string{"train.parquet"}, known: true},
		{about: "a word in the middle", names: []string{"imagenet1k-train-0000.tar", "imagenet1k-validation-00.tar"}, split: Train, want: []string{"imagenet1k-train-0000.tar"}, known: true},
		{about: "a year", names: []string{"train2017.tar", "val2017.tar"}, split: Val, want: []string{"val2017.tar"}, known: true},
		{about: "folders", names: []string{"test/0000.tar", "train/0000.tar", "train/b/0001.tar"}, split: Train, want: []string{"train/0000.tar", "train/b/0001.tar"}, known: true},
		{about: "a configuration's folders", names: []string{"default/partial-train/0000.parquet", "default/validation/0000.parquet"}, split: Train, want: []string{"default/partial-train/0000.parquet"}, known: true},
		{about: "two configurations", names: []string{"a/train/0000.parquet", "b/train/0000.parquet"}, split: Train, known: true, kind: errs.ErrUsage, says: "twice, in a/train/0000.parquet and in b/train/0000.parquet"},
		{about: "the file says more than its folder", names: []string{"train-val/train-0.tar", "train-val/val-0.tar"}, split: Val, want: []string{"train-val/val-0.tar"}, known: true},
		{about: "two splits in a name", names: []string{"train-test-0.tar"}, split: Train, kind: errs.ErrUsage, says: "both test and train"},
		{about: "train and val in a name", names: []string{"train_val-0.tar", "test-0.tar"}, split: Train, want: []string{"train_val-0.tar"}, known: true},
		{about: "other words", names: []string{"Training_Set-0.tar", "devset-0.tar", "TestImages-0.tar"}, split: Val, want: []string{"devset-0.tar"}, known: true},
		{about: "a word that only contains a split", names: []string{"trains-0.tar", "contest-0.tar", "values-0.tar"}, split: Test, want: []string{"trains-0.tar", "contest-0.tar", "values-0.tar"}},
		{about: "unnamed beside named", names: []string{"extra.tar", "train-0.tar"}, split: Train, want: []string{"train-0.tar"}, known: true},
		{about: "only the unnamed are left", names: []string{"000.tar", "val-0.tar"}, split: Train, known: true, kind: errs.ErrNotFound, says: "no file's name says split train"},
		{about: "first and last missing", names: []string{"train-00001-of-00003.tar"}, split: Train, known: true, kind: errs.ErrNotFound, says: "2 of 3 files are missing: train-00000-of-00003.tar, train-00002-of-00003.tar"},
		{about: "counted from 1", names: []string{"train-1-of-2.tar", "train-2-of-2.tar"}, split: Train, want: []string{"train-1-of-2.tar", "train-2-of-2.tar"}, known: true},
		{about: "counted from 1, one missing", names: []string{"train-1-of-3.tar", "train-3-of-3.tar"}, split: Train, known: true, kind: errs.ErrNotFound, says: "train-2-of-3.tar"},
		{about: "missing in the other split", names: append([]string{"test-00001-of-00002.tar"}, of("train-%05d-of-%05d.tar", 2)...), split: Train, want: of("train-%05d-of-%05d.tar", 2), known: true},
		{about: "missing without a split", names: []string{"x-00000-of-00002.tar"}, split: Train, kind: errs.ErrNotFound, says: "x-00001-of-00002.tar"},
		{about: "an old set beside the new", names: append(of("train-%05d-of-%05d.tar", 2), of("train-%05d-of-%05d.tar", 3)...), split: Train, known: true, kind: errs.ErrUsage, says: "files of two sets"},
		{about: "hashes of each file", names: []string{"train-00000-of-00002-0f3a5b7c9d1e2f40.parquet", "train-00001-of-00002-abcdefabcdefabcd.parquet"}, split: Train, want: []string{"train-00000-of-00002-0f3a5b7c9d1e2f40.parquet", "train-00001-of-00002-abcdefabcdefabcd.parquet"}, known: true},
		{about: "hashes, one missing", names: []string{"train-00000-of-00002-0f3a5b7c9d1e2f40.parquet"}, split: Train, known: true, kind: errs.ErrNotFound, says: "train-00001-of-00002-*.parquet"},
		{about: "uploaded twice", names: []string{"train-00000-of-00001-0f3a5b7c9d1e2f40.parquet", "train-00000-of-00001-abcdefabcdefabcd.parquet"}, split: Train, known: true, kind: errs.ErrUsage, says: "files of two sets"},
		{about: "many missing", names: []string{"train-00007-of-01000.tar"}, split: Train, known: true, kind: errs.ErrNotFound, says: "and 995 more"},
	} {
		t.Run(c.about, func(t *testing.T) {
			got, known, err := filesOfSplit(c.names, c.split)
			if c.kind != nil {
				errstest.Want(t, err, c.kind, c.says)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if known != c.known {
				t.Errorf("known is %v", known)
			}
			same(t, "files", got, c.want)
		})
	}
}

func TestFilesBeside(t *testing.T) {
	s := filesWithoutSplit([]string{"extra.tar", "test-0.tar", "train-0.tar", "x.tar"}, []string{"train-0.tar"})
	if len(s) != 1 || s[0].Count != 2 || s[0].First != "extra.tar" {
		t.Errorf("got %v", s)
	}
}
