package ingest

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"resslt/schemas/bounded"
	"resslt/schemas/errs"
)

// CachedIndex is the file of an index, which Open would build again.
type CachedIndex struct {
	Path string
	Used time.Time // to the hour
}

// indexName are the names that openCache gives.
var indexName = regexp.MustCompile(`^[a-z0-9-]+-[0-9a-f]{24}\.idx$`)

// IndexFolder is the folder that Open writes indexes to where Options name none.
func IndexFolder() (string, error) {
	dirs, err := Options{}.cacheDirs()
	if err != nil {
		return "", errs.New("find the folder of indexes", "", cacheHint, errs.BecauseErr(errs.ErrUnavailable, err))
	}
	return dirs[0], nil
}

// CachedIndexes lists the indexes in a folder: files of an index's name that begin as one. A
// folder that is not there holds none.
func CachedIndexes(dir string) (found []CachedIndex, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		return nil, fileError("list indexes", dir, "make it readable", err)
	}
	for _, e := range entries {
		if path := filepath.Join(dir, e.Name()); indexName.MatchString(e.Name()) && e.Type().IsRegular() && beginsAsIndex(path) {
			if info, err := e.Info(); err == nil {
				found = append(found, CachedIndex{Path: path, Used: info.ModTime()})
			}
		}
	}
	return found, nil
}

func beginsAsIndex(path string) bool {
	f, err := bounded.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	head := make([]byte, len(cacheMagic))
	_, err = io.ReadFull(f, head)
	return err == nil && slices.Contains([]string{firstMagic, cacheMagic, packedMagic}, string(head))
}

// usedEvery is how exactly the time of an index's last use is noted.
const usedEvery = time.Hour

// used notes in the file's time that an index was used, for those who look for old ones.
func used(path string) {
	info, err := os.Stat(path)
	if now := time.Now(); err == nil && now.Sub(info.ModTime()) > usedEvery {
		_ = os.Chtimes(path, now, now) // of another user: it then looks older than it is
	}
}
