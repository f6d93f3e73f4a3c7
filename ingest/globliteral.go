package ingest

import (
	"context"
	"regexp"
	"strings"

	"resslt/ingest/store"
)

const globSigns = `*?[]{}\`

// literalPrefix cuts a glob into the leading folders and the file that exist under just
// these names, and the rest that is a pattern: a path that exists wins over what its
// signs could mean, as data[1] or {a,b} do for folders that are called so. A folder that
// the caller has escaped counts too.
func literalPrefix(ctx context.Context, st *store.Store, glob string) (prefix, pattern string) {
	done := 0 // bytes of glob
	for done < len(glob) {
		part := glob[done:]
		end := strings.IndexByte(part, '/') + 1
		if end == 0 {
			end = len(part)
		}
		part = part[:end]
		if name := strings.TrimSuffix(part, "/"); strings.ContainsAny(name, globSigns) {
			plain := globEscape.ReplaceAllString(name, "$1")
			switch whole := end == len(glob)-done; {
			case literal(ctx, st, prefix+name, whole):
			case plain != name && literal(ctx, st, prefix+plain, whole):
				part = plain + part[len(name):]
			default:
				return prefix, glob[done:]
			}
		}
		prefix += part
		done += end
	}
	return prefix, ""
}

var globEscape = regexp.MustCompile(`\\(.)`)

// literal reports whether a file or folder exists under a name. Where that cannot be
// known, the name is a pattern.
func literal(ctx context.Context, st *store.Store, name string, whole bool) bool {
	if !store.Remote(name) {
		return exists(store.Local(name))
	}
	if whole {
		if _, err := st.Stat(ctx, name); err == nil {
			return true
		}
	}
	is, err := st.IsDir(ctx, name)
	return is && err == nil
}
