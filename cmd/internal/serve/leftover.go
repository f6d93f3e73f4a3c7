package serve

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"resslt/schemas/errs"
)

// SocketFolders are the folders in which the Python client has servers listen, those that this
// user alone can open.
func SocketFolders() (dirs []string) {
	seen := map[string]bool{"": true}
	for _, root := range []string{os.Getenv("XDG_RUNTIME_DIR"), "/tmp", os.TempDir()} {
		if seen[root] {
			continue
		}
		seen[root] = true
		dir := filepath.Join(root, fmt.Sprintf("resslt-%d", os.Getuid()))
		info, err := os.Lstat(dir)
		if err != nil || !info.IsDir() || info.Mode().Perm()&0o077 != 0 {
			continue
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) == os.Getuid() {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// quietFor is how old a socket must be to be one whose server has ended: one that begins makes it
// a moment before it listens.
const quietFor = time.Minute

// LeftSockets lists the sockets of a folder at which nobody listens any more.
func LeftSockets(ctx context.Context, dir string) (paths []string) {
	found, err := filepath.Glob(filepath.Join(dir, "*.sock"))
	if err != nil {
		return nil
	}
	for _, path := range found {
		if deserted(ctx, path) {
			paths = append(paths, path)
		}
	}
	return paths
}

// deserted reports whether a socket's server was killed.
func deserted(ctx context.Context, path string) bool {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != fs.ModeSocket || time.Since(info.ModTime()) < quietFor {
		return false
	}
	c, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if err == nil {
		c.Close()
		return false
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

// RemoveSocket removes a socket of LeftSockets, unless somebody has begun to listen there.
func RemoveSocket(ctx context.Context, path string) error {
	alone, err := lockFolder(filepath.Dir(path))
	if err != nil {
		return errs.New("remove", path, "make its folder readable", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	defer alone.Close()
	if !deserted(ctx, path) {
		return errs.New("remove", path, "", errs.Because(errs.ErrUnavailable, "it has come into use"))
	}
	return clearStale(ctx, path)
}
