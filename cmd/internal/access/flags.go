package access

import (
	"context"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/pflag"

	"resslt/batcher/broker"
	"resslt/schemas/bounded"
	"resslt/schemas/errs"
)

// DefaultURL is a broker on this machine.
const DefaultURL = "nats://127.0.0.1:4222"

// farmPatience is how long workers and trainers try to reach a busy broker when they start:
// all of a farm's may start at once.
const farmPatience = 2 * time.Minute

// Flags select the broker and our credentials. Call Register, then Connect.
type Flags struct {
	URL              string
	creds, nkey      string
	token, tokenFile string
	ca, cert, key    string
	wasSet           func(flag string) bool
	getenv           func(string) string
}

// Register adds the flags to fs. fallback is the URL if neither flag nor environment
// gives one; "" for a command that also works without a broker.
func (f *Flags) Register(fs *pflag.FlagSet, fallback string) {
	f.wasSet, f.getenv = fs.Changed, os.Getenv
	usage := "`URL` of the broker, several comma-separated; $NATS_URL"
	if fallback == "" {
		usage += " (default: the embedded one)"
	}
	fs.StringVar(&f.URL, "nats", fallback, usage)
	fs.StringVar(&f.creds, "creds", "", "credentials `file`, JWT and nkey; $NATS_CREDS")
	fs.StringVar(&f.nkey, "nkey", "", "nkey seed `file`; $NATS_NKEY")
	fs.StringVar(&f.token, "token", "", "`token` of the broker; better --token-file or $NATS_TOKEN")
	fs.StringVar(&f.tokenFile, "token-file", "", "`file` with the token")
	fs.StringVar(&f.ca, "tls-ca", "", "PEM `file` of the authority that signed the broker's certificate; $NATS_CA")
	fs.StringVar(&f.cert, "tls-cert", "", "PEM `file` of our certificate, for mutual TLS; $NATS_CERT")
	fs.StringVar(&f.key, "tls-key", "", "PEM `file` of the certificate's key; $NATS_KEY")
}

// Options combines the flags and the environment for a connection called name in role.
// Errors wrap errs.ErrNotFound if the token's file cannot be read, or ErrUsage for two
// tokens.
func (f *Flags) Options(name string, role broker.Role) (broker.ConnectOptions, error) {
	o := broker.ConnectOptions{
		URL: f.or("nats", f.URL, "NATS_URL"), Name: name, Role: role,
		CA: f.or("tls-ca", f.ca, "NATS_CA"), Cert: f.or("tls-cert", f.cert, "NATS_CERT"), Key: f.or("tls-key", f.key, "NATS_KEY"),
		Creds: f.creds, NKey: f.nkey, Token: f.token,
	}
	if role == broker.RoleWorker || role == broker.RoleTrainer {
		o.Patience = farmPatience
	}
	if f.tokenFile != "" {
		raw, err := bounded.ReadFile(f.tokenFile, broker.MaxSecretBytes)
		if err != nil {
			return o, errs.New("connect to broker", f.tokenFile, "name a readable file", errs.BecauseErr(errs.ErrNotFound, err))
		}
		if f.token != "" {
			return o, errs.New("connect to broker", "", "give one of --token and --token-file", errs.Because(errs.ErrUsage, "two tokens"))
		}
		o.Token = strings.TrimSpace(string(raw))
	}
	if o.Creds == "" && o.NKey == "" && o.Token == "" {
		o.Creds, o.NKey, o.Token = f.getenv("NATS_CREDS"), f.getenv("NATS_NKEY"), f.getenv("NATS_TOKEN")
	}
	return o, nil
}

// Anonymous reports whether the options have credentials of no role: everybody may do
// everything in such a broker, or it has one token for all.
func Anonymous(o broker.ConnectOptions) bool {
	return o.Creds == "" && o.NKey == "" && o.Cert == "" && (!strings.Contains(o.URL, "@") || o.Token != "")
}

// or is a flag's value, or the environment's if the flag is not set.
func (f *Flags) or(flag, value, env string) string {
	if v := f.getenv(env); v != "" && !f.wasSet(flag) {
		return v
	}
	return value
}

// Connect connects in role. report, if not nil, receives a line about each later denial,
// disconnect and reconnect. The caller closes the connection. Errors are those of
// broker.Connect.
func (f *Flags) Connect(ctx context.Context, name string, role broker.Role, report func(string)) (*nats.Conn, jetstream.JetStream, error) {
	o, err := f.Options(name, role)
	if err != nil {
		return nil, nil, err
	}
	o.Report = report
	return broker.Connect(ctx, o)
}
