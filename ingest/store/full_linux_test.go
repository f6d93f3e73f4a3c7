package store_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"resslt/ingest/store"
	"resslt/ingest/store/storetest"
)

// smallDisk mounts a file system that is full after so many bytes.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size)
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) {
		t.Skip("this user cannot mount a small disk")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// A full disk under the cache is a warning, said once: whether it was full before, or fills as
// a file is fetched.
func TestCacheOnFullDisk(t *testing.T) {
	srv := storetest.Start(t)
	data := content(50, 300_000)
	for name, before := range map[string]int{"fills with the first file": 0, "was nearly full": 250_000, "was full": 1 << 20} {
		t.Run(name, func(t *testing.T) {
			dir := smallDisk(t, "256k")
			if err := os.WriteFile(filepath.Join(dir, "other"), make([]byte, before), 0o600); err != nil && !errors.Is(err, syscall.ENOSPC) {
				t.Fatal(err)
			}
			var warned []string
			s := store.New(store.Options{CacheDir: dir, Warn: func(why string) { warned = append(warned, why) }})
			defer s.Close()
			for i := range 3 {
				f := open(t, s, srv.Put(strings.ReplaceAll(name, " ", "-")+string(rune('a'+i))+".tar", data))
				f.Keep = true
				if _, err := f.ReadAt(context.Background(), make([]byte, 1000), 5000); err != nil {
					t.Fatal(err)
				}
				readAll(t, f, data)
			}
			if len(warned) != 1 || !strings.Contains(warned[0], "no space left") || !strings.Contains(warned[0], "without a cache") {
				t.Errorf("warnings: %q", warned)
			}
		})
	}
}
