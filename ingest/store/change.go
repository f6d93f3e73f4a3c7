package store

import "io/fs"

// Change identifies the last change of a local file: its inode and the time of the change
// (ctime), mixed. Nobody can set that time as they can a file's own: it tells apart two
// files of equal size and time under one name. 0 where the system has no such thing.
//
// Without an own time of the change, as just after writing and on file systems that know
// none (many network mounts), the inode is left out: there it may not last.
func Change(info fs.FileInfo) uint64 {
	inode, ctime, ok := lastChange(info)
	if !ok {
		return 0
	}
	if ctime == info.ModTime().UnixNano() {
		inode = 0
	}
	h := uint64(ctime) ^ inode*0x9e3779b97f4a7c15 // splitmix64
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return max(h^h>>31, 1)
}
