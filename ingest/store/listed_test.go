package store_test

import (
	"fmt"
	"slices"
	"testing"

	"resslt/ingest/store"
	"resslt/ingest/store/storetest"
)

// A listing says how many files it has found while it goes on, over all listings of a store.
func TestListedIsTold(t *testing.T) {
	s := storetest.Start(t)
	var dir string
	for i := range 300 {
		dir = s.Put(fmt.Sprintf("many/%03d", i), nil)
	}
	dir = dir[:len(dir)-len("/000")]
	var told []int64
	st := store.New(store.Options{CacheDir: t.TempDir(), Listed: func(n int64) { told = append(told, n) }})
	defer st.Close()
	for range 2 {
		if files, err := st.List(t.Context(), dir); err != nil || len(files) != 300 {
			t.Fatalf("%d files of %s, %v", len(files), dir, err)
		}
	}
	if !slices.Equal(told, []int64{256, 512}) {
		t.Errorf("told %v", told)
	}
}
