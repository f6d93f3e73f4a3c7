package ingest

import (
	"path/filepath"
	"syscall"
	"testing"

	"resslt/ingest/store"
	"resslt/ingest/store/storetest"
	"resslt/schemas/errs"
	"resslt/schemas/errs/errstest"
)

// A fault of the disk under a file beside the shards is none of the file: to pack again or
// to remove it would mend nothing.
func TestFilesBesideShardsOnABadDisk(t *testing.T) {
	packed, _ := remotePack(t)
	named := t.TempDir()
	writeTree(t, named, map[string][]byte{"a.tar": tarBytes(t, members("0.jpg", "0.cls=cat")...), "classes.txt": []byte("cat\n")})
	for _, c := range []struct{ about, uri, file string }{
		{"a sidecar", "wds:" + packed + "/train-*.tar", "train.manifest.json"},
		{"a manifest", "wds:" + packed + "/train.manifest.json", "train.manifest.json"},
		{"an index", "wds:" + packed + "/train.manifest.json", "train.index"},
		{"class names", "wds:" + named, "classes.txt"},
	} {
		for _, op := range []storetest.Op{storetest.Open, storetest.Read} {
			disk := &storetest.Disk{Part: c.file, Err: syscall.EIO, When: storetest.From(op, 0)}
			_, err := Open(t.Context(), c.uri, Options{CacheDir: t.TempDir(), Store: store.Options{Disk: disk, Attempts: 1}})
			if why := errstest.Differs(err, errs.ErrUnavailable, c.file, "input/output error"); why != "" {
				t.Errorf("%s, %s: %s", c.about, op, why)
			}
		}
	}
	bad := t.TempDir()
	writeTree(t, bad, map[string][]byte{"train-000000.tar": readFile(t, filepath.Join(packed, "train-000000.tar")), "train.manifest.json": []byte("{")})
	_, err := Open(t.Context(), "wds:"+bad, Options{CacheDir: t.TempDir()})
	errstest.Want(t, err, errs.ErrCorrupt, "train.manifest.json")
}
