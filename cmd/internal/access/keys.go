package access

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nkeys"

	"resslt/batcher/broker"
	"resslt/schemas"
	"resslt/schemas/bounded"
	"resslt/schemas/durable"
	"resslt/schemas/errs"
)

// KeyOptions are the options of Keys.
type KeyOptions struct {
	// Dir is the output folder, 0700. Keys keeps the keys and tenants that it finds there:
	// run it again to add a tenant.
	Dir string
	// At is the folder's path on the broker's machine, for the configuration; default:
	// the absolute path of Dir.
	At string
	// Tenants each get an account: letters, digits, '-' and '_'.
	Tenants []string
	// Readers get keys of their own in each of Tenants, as those that were found there do.
	Readers []Reader
	// Hosts are the names and addresses in the broker's certificate; default localhost
	// and 127.0.0.1.
	Hosts []string
	// Mutual makes the broker require a certificate from clients, too.
	Mutual bool
	// Quota of each account; zero fields are DefaultQuota's.
	Quota Quota
	// Valid is the lifetime of certificates; default one year. The authority's is ten.
	Valid time.Duration
}

// Reader is who may read a run and hold a lease on it under a trainer's name.
type Reader struct{ Run, Name string }

// Quota bounds the contents of a tenant's account.
type Quota struct {
	Memory, Store      int64 // bytes: live chunks; tasks, logs and recordings
	Streams, Consumers int   // a run has four streams, one that has ended or sleeps one; a trainer has a consumer
	Connections        int   // of the tenant's trainers and owners; as many again of its workers, of its observers
}

// DefaultQuota is enough for a few runs.
var DefaultQuota = Quota{Memory: 8 << 30, Store: 100 << 30, Streams: 1024, Consumers: 256, Connections: 1024}

func (o KeyOptions) applyDefaults() (KeyOptions, error) {
	if len(o.Hosts) == 0 {
		o.Hosts = []string{"localhost", "127.0.0.1"}
	}
	if o.Valid == 0 {
		o.Valid = 365 * 24 * time.Hour
	}
	q := &o.Quota
	if q.Memory == 0 {
		q.Memory = DefaultQuota.Memory
	}
	if q.Store == 0 {
		q.Store = DefaultQuota.Store
	}
	if q.Streams == 0 {
		q.Streams = DefaultQuota.Streams
	}
	if q.Consumers == 0 {
		q.Consumers = DefaultQuota.Consumers
	}
	if q.Connections == 0 {
		q.Connections = DefaultQuota.Connections
	}
	var err error
	if o.At == "" {
		if o.At, err = filepath.Abs(o.Dir); err != nil {
			return o, keyError(o.Dir, err)
		}
	}
	return o, nil
}

// Validate checks the options. Errors wrap errs.ErrUsage.
func (o KeyOptions) Validate() error {
	bad := func(where, why, hint string) error {
		return errs.New("make keys", where, hint, errs.Because(errs.ErrUsage, why))
	}
	switch {
	case o.Dir == "":
		return bad("", "no folder is named", "give --dir")
	case o.Quota.Memory < 0 || o.Quota.Store < 0 || o.Quota.Streams < 0 || o.Quota.Consumers < 0 || o.Quota.Connections < 0 || o.Valid < 0:
		return bad("quota", "is negative", "give 0 for the default, or more")
	}
	for _, t := range o.Tenants {
		if schemas.CheckRunName(t) != nil || t == systemAccount {
			return bad(fmt.Sprintf("tenant %q", t), "is not a valid name", "use 1 to 64 of letters, digits, '-' and '_', other than "+systemAccount)
		}
	}
	for _, r := range o.Readers {
		if schemas.CheckRunName(r.Run) != nil || schemas.CheckRunName(r.Name) != nil {
			return bad(fmt.Sprintf("reader %q", r.Run+"/"+r.Name), "is not a run and a name", "give --reader RUN/NAME, each 1 to 64 of letters, digits, '-' and '_'")
		}
	}
	if len(o.Readers) > 0 && len(o.Tenants) == 0 {
		return bad("reader", "is of no tenant", "say whose run it is with --tenant")
	}
	return nil
}

// systemAccount monitors the server; it has no access to tenants' streams.
const systemAccount = "SYS"

// account is a tenant: its own key, one user for each role, and the keys of its guests'
// accounts.
type account struct {
	name   string
	roles  []broker.Role // in the order in which they are written
	key    nkeys.KeyPair
	users  map[broker.Role]nkeys.KeyPair
	guests map[broker.Role]nkeys.KeyPair
}

// Keys writes the files for a secured broker and its clients to o.Dir:
//
//	ca.pem ca.key            a certificate authority
//	server.pem server.key    the broker's certificate
//	tls.conf                 TLS for the broker
//	roles.conf accounts.conf accounts, users by nkey, permissions, quotas
//	operator.conf            the same by JWT, for --creds, instead of accounts.conf
//	operator.nk SYS/         the key that signs accounts; the system account
//	TENANT/account.nk        the key that signs the tenant's users; TENANT/ROLE.account.nk for a guest's account
//	TENANT/ROLE.nk           --nkey
//	TENANT/ROLE.creds        --creds
//	TENANT/ROLE.pem .key     --tls-cert, --tls-key
//	TENANT/reader.RUN.NAME.* the same for a reader
//
// Secrets have mode 0600. Errors wrap errs.ErrUsage for invalid options, ErrUnavailable
// if the folder cannot be written, ErrCorrupt if a key in it cannot be parsed.
func Keys(o KeyOptions) error {
	if err := o.Validate(); err != nil {
		return err
	}
	o, err := o.applyDefaults()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return keyError(o.Dir, err)
	}
	operator, err := seed(filepath.Join(o.Dir, "operator.nk"), nkeys.CreateOperator)
	if err != nil {
		return err
	}
	tenants, err := o.allTenants()
	if err != nil {
		return err
	}
	system, err := o.account(systemAccount, []broker.Role{systemRole})
	if err != nil {
		return err
	}
	var accounts []account
	for _, t := range tenants {
		roles, err := o.roles(t)
		if err != nil {
			return err
		}
		a, err := o.account(t, roles)
		if err != nil {
			return err
		}
		accounts = append(accounts, a)
	}
	if err := o.certificates(accounts); err != nil {
		return err
	}
	if err := o.credentials(operator, system, accounts); err != nil {
		return err
	}
	return o.configurations(system, accounts)
}

// systemRole is the system account's only user.
const systemRole broker.Role = "admin"

// allTenants are the requested tenants and those in the folder, sorted.
func (o KeyOptions) allTenants() ([]string, error) {
	tenants := slices.Clone(o.Tenants)
	dirs, err := os.ReadDir(o.Dir)
	if err != nil {
		return nil, keyError(o.Dir, err)
	}
	for _, d := range dirs {
		if _, err := os.Stat(filepath.Join(o.Dir, d.Name(), "account.nk")); err == nil && d.Name() != systemAccount {
			tenants = append(tenants, d.Name())
		}
	}
	slices.Sort(tenants)
	tenants = slices.Compact(tenants)
	if len(tenants) == 0 {
		return nil, errs.New("make keys", o.Dir, "give --tenant NAME", errs.Because(errs.ErrUsage, "it has no tenant"))
	}
	return tenants, nil
}

// roles are a tenant's: those that every one has, the readers that are asked for, and those in
// the folder.
func (o KeyOptions) roles(tenant string) ([]broker.Role, error) {
	var readers []broker.Role
	if slices.Contains(o.Tenants, tenant) {
		for _, r := range o.Readers {
			readers = append(readers, broker.Reader(r.Run, r.Name))
		}
	}
	dir := filepath.Join(o.Dir, tenant)
	files, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, keyError(dir, err)
	}
	for _, f := range files {
		if p := strings.Split(f.Name(), "."); len(p) == 4 && p[0] == string(broker.RoleReader) && p[3] == "nk" {
			readers = append(readers, broker.Reader(p[1], p[2]))
		}
	}
	slices.Sort(readers)
	return append(broker.Roles(), slices.Compact(readers)...), nil
}

// account reads or makes the keys of an account.
func (o KeyOptions) account(name string, roles []broker.Role) (account, error) {
	a := account{name: name, roles: roles, users: map[broker.Role]nkeys.KeyPair{}, guests: map[broker.Role]nkeys.KeyPair{}}
	dir := filepath.Join(o.Dir, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return a, keyError(dir, err)
	}
	var err error
	if a.key, err = seed(filepath.Join(dir, "account.nk"), nkeys.CreateAccount); err != nil {
		return a, err
	}
	for _, r := range roles {
		if a.users[r], err = seed(filepath.Join(dir, string(r)+".nk"), nkeys.CreateUser); err != nil {
			return a, err
		}
		if !r.Guest() {
			continue
		}
		if a.guests[r], err = seed(filepath.Join(dir, string(r)+".account.nk"), nkeys.CreateAccount); err != nil {
			return a, err
		}
	}
	return a, nil
}

// seed reads the key pair from a seed file, or creates both.
func seed(file string, create func() (nkeys.KeyPair, error)) (nkeys.KeyPair, error) {
	raw, err := bounded.ReadFile(file, broker.MaxSecretBytes)
	if err == nil {
		pair, err := nkeys.ParseDecoratedNKey(raw)
		if err != nil {
			return nil, errs.New("read key", file, "restore it, or remove it to make another", errs.BecauseErr(errs.ErrCorrupt, err))
		}
		return pair, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, keyError(file, err)
	}
	pair, err := create()
	if err != nil {
		return nil, keyError(file, err)
	}
	s, err := pair.Seed()
	if err != nil {
		return nil, keyError(file, err)
	}
	return pair, writeSecret(file, append(s, '\n'))
}

func writeSecret(file string, raw []byte) error { return write(file, raw, 0o600) }

func write(file string, raw []byte, mode fs.FileMode) error {
	return durable.ReplaceMode(file, mode, func(w io.Writer) error { _, err := w.Write(raw); return err })
}

func keyError(where string, err error) error {
	return errs.New("make keys", where, "name a writable folder", errs.BecauseErr(errs.ErrUnavailable, err))
}
