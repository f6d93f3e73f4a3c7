package store

import "syscall"

// folderTimes are the file systems, by their magic numbers (statfs(2)), that give a folder a new
// time whenever an entry comes or goes. Network and user-space file systems are not among them:
// some show such times late, or make them up.
var folderTimes = map[int64]bool{
	0xEF53:     true, // ext2, ext3, ext4
	0x58465342: true, // XFS
	0x9123683E: true, // Btrfs
	0xF2F52010: true, // F2FS
	0x2FC12FC1: true, // ZFS
	0xCA451A4E: true, // bcachefs
	0x01021994: true, // tmpfs
	0x794C7630: true, // overlayfs, of containers
}

// KeepsFolderTimes reports whether a local folder's time shows that files came, went or were
// renamed in it. false: nothing is known.
func KeepsFolderTimes(dir string) bool {
	var st syscall.Statfs_t
	return syscall.Statfs(dir, &st) == nil && folderTimes[int64(st.Type)] //nolint:unconvert // of other widths elsewhere
}
