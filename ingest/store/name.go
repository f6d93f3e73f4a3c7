package store

import (
	"path"
	"path/filepath"
	"strings"
)

// Local is the path of a name on a disk, without file://.
func Local(name string) string { return strings.TrimPrefix(name, "file://") }

// split splits a remote name into its root and key: "s3://bucket", "key/of/it".
func split(name string) (root, key string) {
	scheme, rest, _ := strings.Cut(name, "://")
	host, key, _ := strings.Cut(rest, "/")
	return scheme + "://" + host, key
}

// Join is filepath.Join for names of both kinds.
func Join(dir string, elem ...string) string {
	if !Remote(dir) {
		return filepath.Join(append([]string{Local(dir)}, elem...)...)
	}
	root, key := split(dir)
	key = strings.TrimPrefix(path.Join(append([]string{"/", key}, elem...)...), "/")
	if key == "" {
		return root
	}
	return root + "/" + key
}

// Dir is filepath.Dir for names of both kinds; the root of a bucket is its own.
func Dir(name string) string {
	if !Remote(name) {
		return filepath.Dir(Local(name))
	}
	root, key := split(name)
	if dir := path.Dir(key); dir != "." && dir != "/" {
		return root + "/" + dir
	}
	return root
}

// Base is the last element of the name.
func Base(name string) string {
	if !Remote(name) {
		return filepath.Base(Local(name))
	}
	_, key := split(name)
	return path.Base(key)
}

// Rel is the '/'-separated path from dir to a name below it.
func Rel(dir, name string) (string, error) {
	if !Remote(dir) {
		rel, err := filepath.Rel(Local(dir), Local(name))
		return filepath.ToSlash(rel), err
	}
	_, from := split(dir)
	_, to := split(name)
	return strings.TrimPrefix(strings.TrimPrefix(to, from), "/"), nil
}

// Abs is the name made independent of the working directory.
func Abs(name string) (string, error) {
	if Remote(name) {
		return name, nil
	}
	return filepath.Abs(Local(name))
}
