package ingest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// On a disk without room the data is opened, with one warning.
func TestIndexCacheOnAFullDisk(t *testing.T) {
	const inside = "RESSLT_TEST_FULL_DISK"
	if os.Getenv(inside) == "" {
		c := exec.Command(os.Args[0], "-test.run=^TestIndexCacheOnAFullDisk$", "-test.v")
		c.Env = append(os.Environ(), inside+"=1")
		c.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
			UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
		}
		out, err := c.CombinedOutput()
		if c.ProcessState == nil {
			t.Skip("no user namespaces here, to mount a small disk in: ", err)
		}
		if err != nil || strings.Contains(string(out), "SKIP") {
			if strings.Contains(string(out), "SKIP") {
				t.Skip(string(out))
			}
			t.Fatalf("%v: %s", err, out)
		}
		return
	}
	disk := t.TempDir()
	if err := syscall.Mount("small", disk, "tmpfs", 0, "size=4096"); err != nil {
		t.Skip("may not mount: ", err)
	}
	defer syscall.Unmount(disk, syscall.MNT_DETACH)
	if err := os.WriteFile(filepath.Join(disk, "full"), make([]byte, 4096), 0o644); err != nil {
		t.Fatal(err)
	}
	for format, uri := range cacheSets(t) {
		want, _ := digestOf(t, uri, t.TempDir())
		got, warned := digestOf(t, uri, disk)
		if got != want || len(warned) != 1 || !strings.Contains(warned[0], "no space left") {
			t.Errorf("%s: digest %s, want %s; warnings %q", format, got, want, warned)
		}
		if left, err := os.ReadDir(disk); err != nil || len(left) != 1 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	}
}
