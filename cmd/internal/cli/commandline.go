package cli

import (
	"net/url"
	"strings"
)

// hidden stands in the place of a secret.
const hidden = "***"

// CommandLine is a command as it may be kept and shown: quoted for a shell, with no secret of its
// flags and URLs.
func CommandLine(args []string) string {
	out := make([]string, len(args))
	secret := false
	for i, a := range args {
		name, value, given := strings.Cut(a, "=")
		switch {
		case secret:
			a, secret = hidden, false
		case !strings.HasPrefix(name, "--token") || name == "--token-file":
			a = withoutPassword(a)
		case given && value != "":
			a = name + "=" + hidden
		default:
			secret = true
		}
		out[i] = quoted(a)
	}
	return strings.Join(out, " ")
}

// withoutPassword hides who logs in at a URL, also where it is a flag's value.
func withoutPassword(a string) string {
	at := strings.Index(a, "://")
	if at < 0 || !strings.Contains(a, "@") {
		return a
	}
	from := strings.LastIndexAny(a[:at], "=:,") + 1
	u, err := url.Parse(a[from:])
	if err != nil || u.User == nil {
		return a
	}
	_, rest, _ := strings.Cut(a[at:], "@")
	return a[:at] + "://" + hidden + "@" + rest
}

// quoted is an argument as a shell takes it.
func quoted(a string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:=,+@%^", r)
	}
	if a != "" && strings.IndexFunc(strings.ReplaceAll(a, hidden, ""), func(r rune) bool { return !plain(r) }) < 0 {
		return a
	}
	return "'" + strings.ReplaceAll(Printable(a), "'", `'\''`) + "'"
}
