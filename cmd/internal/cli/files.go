package cli

import "os"

// IsFile reports whether path is a regular file that can be seen.
func IsFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
