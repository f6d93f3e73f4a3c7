package access

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"resslt/batcher/broker"
)

// home is the key of the account of a role's user.
func (a *account) home(r broker.Role) nkeys.KeyPair {
	if k := a.guests[r]; k != nil {
		return k
	}
	return a.key
}

// guest is the name of a guest role's account.
func (a *account) guest(r broker.Role) string { return a.name + "/" + string(r) }

// shared is a subject of the tenant's account that guests have access to.
type shared struct {
	subject string
	stream  bool // subscribed to, else requested
	guests  []broker.Role
}

// sharing lists the subjects that guests have access to, each once. What a reader has access to
// is a part of what others have, and is no export of its own: what it imports is narrower.
func (a *account) sharing() []shared {
	var out []shared
	add := func(subject string, stream bool, r broker.Role) {
		for i := range out {
			if s := &out[i]; s.stream == stream && covers(s.subject, subject) {
				if !slices.Contains(s.guests, r) {
					s.guests = append(s.guests, r)
				}
				return
			}
		}
		out = append(out, shared{subject, stream, []broker.Role{r}})
	}
	for _, r := range a.roles { // readers come last
		services, hears := r.Reach()
		for _, s := range services {
			add(s, false, r)
		}
		for _, s := range hears {
			add(s, true, r)
		}
	}
	return out
}

// covers reports whether every subject of the narrow pattern is one of the wide pattern.
func covers(wide, narrow string) bool {
	w, n := strings.Split(wide, "."), strings.Split(narrow, ".")
	for i, token := range w {
		switch {
		case token == ">":
			return len(n) > i
		case i >= len(n) || token != n[i] && (token != "*" || n[i] == ">"):
			return false
		}
	}
	return len(w) == len(n)
}

// kind is the export's type in the broker's configuration.
func (s *shared) kind() string {
	if s.stream {
		return "stream"
	}
	return "service"
}

// several reports whether a request has an answer of several messages. The broker lets through
// but the first, unless the export says so.
func (s *shared) several() bool { return !s.stream && broker.AnswersSeveral(s.subject) }

// conf writes the tenant's accounts for accounts.conf.
func (a *account) conf(b *strings.Builder, q Quota) error {
	users := func(guest bool, roles ...broker.Role) error {
		b.WriteString("    users: [\n")
		for _, r := range roles {
			if r.Guest() != guest {
				continue
			}
			public, err := a.users[r].PublicKey()
			if err != nil {
				return keyError(a.name, err)
			}
			if !slices.Contains(broker.Roles(), r) { // a reader's are its own
				fmt.Fprintf(b, "      { nkey: %q, permissions: ", public)
				writePermissions(b, "      ", r.Permissions())
				b.WriteString("      }\n")
				continue
			}
			fmt.Fprintf(b, "      { nkey: %q, permissions: $%s }\n", public, roleName(r))
		}
		b.WriteString("    ]\n")
		return nil
	}
	limits := fmt.Sprintf("    limits: { max_connections: %d }\n", q.Connections) // one tenant must not take them all
	fmt.Fprintf(b, "  %q: {\n    jetstream: { max_mem: %d, max_file: %d, max_streams: %d, max_consumers: %d }\n%s",
		a.name, q.Memory, q.Store, q.Streams, q.Consumers, limits)
	if err := users(false, a.roles...); err != nil {
		return err
	}
	b.WriteString("    exports: [\n")
	for _, s := range a.sharing() {
		var to []string
		for _, r := range s.guests {
			to = append(to, fmt.Sprintf("%q", a.guest(r)))
		}
		answers := ""
		if s.several() {
			answers = ` response_type: "stream",`
		}
		fmt.Fprintf(b, "      { %s: %q,%s accounts: [%s] }\n", s.kind(), s.subject, answers, strings.Join(to, ", "))
	}
	b.WriteString("    ]\n  }\n")
	for _, r := range a.roles {
		if !r.Guest() {
			continue
		}
		fmt.Fprintf(b, "  %q: {\n%s", a.guest(r), limits)
		if err := users(true, r); err != nil {
			return err
		}
		b.WriteString("    imports: [\n")
		services, hears := r.Reach()
		for _, s := range services {
			fmt.Fprintf(b, "      { service: { account: %q, subject: %q } }\n", a.name, s)
		}
		for _, s := range hears {
			fmt.Fprintf(b, "      { stream: { account: %q, subject: %q } }\n", a.name, s)
		}
		b.WriteString("    ]\n  }\n")
	}
	return nil
}

// endOfTime is later than any JWT's issue time.
var endOfTime = time.Date(9999, time.December, 31, 0, 0, 0, 0, time.UTC)

// claims are the tenant's accounts for JWTs. Guests' users are revoked in the tenant's own
// account: builds without guests signed them for that account, and such a JWT never
// expires.
func (a *account) claims(q Quota) ([]*jwt.AccountClaims, error) {
	id, err := a.key.PublicKey()
	if err != nil {
		return nil, keyError(a.name, err)
	}
	own := jwt.NewAccountClaims(id)
	own.Name = a.name
	out := []*jwt.AccountClaims{own}
	if a.name == systemAccount {
		return out, nil
	}
	own.Limits.JetStreamLimits = jwt.JetStreamLimits{
		MemoryStorage: q.Memory, DiskStorage: q.Store, Streams: int64(q.Streams), Consumer: int64(q.Consumers),
	}
	own.Limits.Conn = int64(q.Connections)
	for r, user := range a.users {
		if !r.Guest() {
			continue
		}
		uid, err := user.PublicKey()
		if err != nil {
			return nil, keyError(a.name, err)
		}
		own.RevokeAt(uid, endOfTime)
	}
	kinds := map[bool]jwt.ExportType{false: jwt.Service, true: jwt.Stream}
	guests := map[broker.Role]*jwt.AccountClaims{}
	for _, s := range a.sharing() {
		export := &jwt.Export{Name: s.subject, Subject: jwt.Subject(s.subject), Type: kinds[s.stream]}
		if s.several() {
			export.ResponseType = jwt.ResponseTypeStream
		}
		own.Exports.Add(export)
		for _, r := range s.guests {
			if guests[r] == nil {
				gid, err := a.guests[r].PublicKey()
				if err != nil {
					return nil, keyError(a.guest(r), err)
				}
				guests[r] = jwt.NewAccountClaims(gid)
				guests[r].Name = a.guest(r)
				guests[r].Limits.Conn = int64(q.Connections)
				out = append(out, guests[r])
			}
		}
	}
	for r, guest := range guests {
		services, hears := r.Reach()
		for _, stream := range []bool{false, true} {
			subjects := map[bool][]string{false: services, true: hears}[stream]
			for _, subject := range subjects {
				guest.Imports.Add(&jwt.Import{Name: subject, Account: id, Subject: jwt.Subject(subject), Type: kinds[stream]})
			}
		}
	}
	return out, nil
}
