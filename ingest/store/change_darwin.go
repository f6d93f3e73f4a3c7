package store

import (
	"io/fs"
	"syscall"
)

// lastChange is a file's inode and the time of its last change, in ns since 1970.
func lastChange(info fs.FileInfo) (inode uint64, ctime int64, ok bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, false
	}
	return st.Ino, st.Ctimespec.Nano(), true
}
