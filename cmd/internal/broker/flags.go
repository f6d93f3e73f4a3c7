package broker

import (
	"context"
	"os"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/pflag"

	"resslt/batcher/broker"
	"resslt/schemas/errs"
)

// DefaultURL is a broker on this machine.
const DefaultURL = "nats://127.0.0.1:4222"

// Flags say which broker, and who we are to it. Register them, then Connect.
type Flags struct {
	URL              string
	creds, nkey      string
	token, tokenFile string
	ca, cert, key    string
	wasSet           func(flag string) bool
	getenv           func(string) string
}

// Register adds the flags to fs. fallback is the URL where neither flag nor
// environment names one; "" where a command can do without a broker.
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
	fs.StringVar(&f.tokenFile, "token-file", "", "`file` that holds the token")
	fs.StringVar(&f.ca, "tls-ca", "", "PEM `file` of who signed the broker's certificate; $NATS_CA")
	fs.StringVar(&f.cert, "tls-cert", "", "PEM `file` of our certificate, for mutual TLS; $NATS_CERT")
	fs.StringVar(&f.key, "tls-key", "", "PEM `file` of its key; $NATS_KEY")
}

// Options are what the flags and the environment say, for a connection under name
// in role. It returns ErrNotFound where the token's file cannot be read.
func (f *Flags) Options(name string, role broker.Role) (broker.ConnectOptions, error) {
	o := broker.ConnectOptions{
		URL: f.or("nats", f.URL, "NATS_URL"), Name: name, Role: role,
		CA: f.or("tls-ca", f.ca, "NATS_CA"), Cert: f.or("tls-cert", f.cert, "NATS_CERT"), Key: f.or("tls-key", f.key, "NATS_KEY"),
		Creds: f.creds, NKey: f.nkey, Token: f.token,
	}
	if f.tokenFile != "" {
		raw, err := os.ReadFile(f.tokenFile)
		if err != nil {
			return o, errs.New("connect to broker", f.tokenFile, "name a file that can be read", errs.BecauseErr(errs.ErrNotFound, err))
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

// or is a flag's value, the environment's where the flag was not given.
func (f *Flags) or(flag, value, env string) string {
	if v := f.getenv(env); v != "" && !f.wasSet(flag) {
		return v
	}
	return value
}

// Connect connects in role. What the broker refuses later on, and that it is lost
// and back, goes to report, a line each; nil: nobody hears. The caller closes the
// connection. Errors are broker.Connect's.
func (f *Flags) Connect(ctx context.Context, name string, role broker.Role, report func(string)) (*nats.Conn, jetstream.JetStream, error) {
	o, err := f.Options(name, role)
	if err != nil {
		return nil, nil, err
	}
	o.Report = report
	return broker.Connect(ctx, o)
}
