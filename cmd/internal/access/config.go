package access

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"resslt/batcher/broker"
)

// roleName is the variable with a role's permissions in the broker's configuration.
func roleName(r broker.Role) string { return "resslt_" + string(r) }

// RolesConf is the broker's configuration of each role's permissions.
func RolesConf() string {
	var b strings.Builder
	b.WriteString(`# What each role may do in its tenant's account. Written by ` + "`resslt keys --roles`" + ` from
# batcher/broker/role.go, where the reasons stand; a test lets every role do its work under
# it. Use:  include "roles.conf"  and in a user  permissions: $` + roleName(broker.RoleWorker) + "\n")
	for _, r := range broker.Roles() {
		fmt.Fprintf(&b, "\n%s: ", roleName(r))
		writePermissions(&b, "", r.Permissions())
	}
	return b.String()
}

// writePermissions writes a role's permissions as a block of the broker's configuration.
func writePermissions(b *strings.Builder, indent string, p broker.Permissions) {
	list := func(what string, subjects []string) {
		fmt.Fprintf(b, "%s    %s: [\n", indent, what)
		for _, s := range subjects {
			fmt.Fprintf(b, "%s      %q\n", indent, s)
		}
		fmt.Fprintf(b, "%s    ]\n", indent)
	}
	fmt.Fprintf(b, "{\n%s  publish: {\n", indent)
	list("allow", p.Publish)
	if len(p.DenyPublish) > 0 {
		list("deny", p.DenyPublish)
	}
	fmt.Fprintf(b, "%s  }\n%s  subscribe: {\n", indent, indent)
	list("allow", p.Subscribe)
	fmt.Fprintf(b, "%s  }\n%s}\n", indent, indent)
}

// configurations writes tls.conf, roles.conf and accounts.conf.
func (o KeyOptions) configurations(system account, accounts []account) error {
	at := func(name string) string { return filepath.Join(o.At, name) }
	tls := fmt.Sprintf(`tls {
  cert_file: %q
  key_file: %q
  ca_file: %q
  verify: %v    # true: clients must show a certificate, too
  timeout: 30   # seconds for a handshake: a whole farm may connect at once
}
`, at("server.pem"), at("server.key"), at("ca.pem"), o.Mutual)
	var b strings.Builder
	b.WriteString(`# An account a tenant, a user a role; guests (batcher/broker/role.go) in accounts of their own.
# Written by ` + "`resslt keys`" + `.
include "roles.conf"

accounts {
`)
	for _, a := range accounts {
		if err := a.conf(&b, o.Quota); err != nil {
			return err
		}
	}
	public, err := system.users[systemRole].PublicKey()
	if err != nil {
		return keyError(system.name, err)
	}
	fmt.Fprintf(&b, "  %q: { users: [ { nkey: %q } ] }\n}\nsystem_account: %q\n", system.name, public, system.name)
	for _, f := range []struct{ name, text string }{{"tls.conf", tls}, {"roles.conf", RolesConf()}, {"accounts.conf", b.String()}} {
		if err := write(filepath.Join(o.Dir, f.name), []byte(f.text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// credentials writes the users' credentials files, and for the broker operator.conf: the
// same accounts, permissions and quotas as signed JWTs.
func (o KeyOptions) credentials(operator nkeys.KeyPair, system account, accounts []account) error {
	public := func(k nkeys.KeyPair) (string, error) {
		p, err := k.PublicKey()
		if err != nil {
			return "", keyError(o.Dir, err)
		}
		return p, nil
	}
	operatorID, err := public(operator)
	if err != nil {
		return err
	}
	systemID, err := public(system.key)
	if err != nil {
		return err
	}
	oc := jwt.NewOperatorClaims(operatorID)
	oc.Name, oc.SystemAccount = "resslt", systemID
	signed, err := oc.Encode(operator)
	if err != nil {
		return keyError("operator", err)
	}
	if err := write(filepath.Join(o.Dir, "operator.jwt"), []byte(signed), 0o644); err != nil {
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# The accounts of accounts.conf as JWTs, for --creds. Written by `resslt keys`.\noperator: %q\nsystem_account: %q\nresolver: MEMORY\nresolver_preload {\n",
		filepath.Join(o.At, "operator.jwt"), systemID)
	for _, a := range append(accounts[:len(accounts):len(accounts)], system) {
		claims, err := a.claims(o.Quota)
		if err != nil {
			return err
		}
		for _, c := range claims {
			signed, err := c.Encode(operator)
			if err != nil {
				return keyError(c.Name, err)
			}
			fmt.Fprintf(&b, "  # %s\n  %s: %s\n", c.Name, c.Subject, signed)
		}
		for r, user := range a.users {
			uid, err := public(user)
			if err != nil {
				return err
			}
			uc := jwt.NewUserClaims(uid)
			uc.Name = a.name + "/" + string(r)
			p := r.Permissions()
			uc.Permissions = jwt.Permissions{
				Pub: jwt.Permission{Allow: p.Publish, Deny: p.DenyPublish},
				Sub: jwt.Permission{Allow: p.Subscribe},
			}
			if err := o.writeCreds(filepath.Join(o.Dir, a.name, string(r)+".creds"), uc, user, a.home(r)); err != nil {
				return err
			}
		}
	}
	b.WriteString("}\n")
	return write(filepath.Join(o.Dir, "operator.conf"), []byte(b.String()), 0o644)
}

func (o KeyOptions) writeCreds(file string, uc *jwt.UserClaims, user, account nkeys.KeyPair) error {
	signed, err := uc.Encode(account)
	if err != nil {
		return keyError(file, err)
	}
	s, err := user.Seed()
	if err != nil {
		return keyError(file, err)
	}
	raw, err := jwt.FormatUserConfig(signed, s)
	if err != nil {
		return keyError(file, err)
	}
	return writeSecret(file, raw)
}
