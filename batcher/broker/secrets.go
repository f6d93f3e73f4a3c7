package broker

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strings"

	"resslt/schemas/bounded"
	"resslt/schemas/errs"

	"github.com/nats-io/nats.go"
)

// MaxSecretBytes bounds a file of keys, credentials, certificates or a token; the largest are
// an operating system's list of authorities.
const MaxSecretBytes = 4 << 20

// validate reports whether the options can be used; it returns ErrUsage.
func (o ConnectOptions) validate() error {
	bad := func(why, hint string) error {
		return errs.New("connect to broker", "", hint, errs.Because(errs.ErrUsage, why))
	}
	given := 0
	for _, s := range []string{o.Creds, o.NKey, o.Token} {
		if s != "" {
			given++
		}
	}
	switch {
	case (o.URL == "") == (o.Broker == nil):
		return bad("name one broker", "give --nats URL")
	case given > 1:
		return bad("more than one way to say who we are", "give one of --creds, --nkey and --token")
	case (o.Cert == "") != (o.Key == ""):
		return bad("a certificate and its key belong together", "give --tls-cert and --tls-key")
	}
	return nil
}

// secrets are the options that say who we are, and whom we trust. Files are read
// here, so that one that is missing or no such file is named before the broker is
// asked; nats.go reads the credentials again at each reconnect, so that they can be
// renewed under a running process.
func (o ConnectOptions) secrets() ([]nats.Option, error) {
	var opts []nats.Option
	fail := func(file, hint string, kind, err error) ([]nats.Option, error) {
		return nil, errs.New("connect to broker", file, hint, errs.BecauseErr(kind, err))
	}
	for _, file := range []string{o.Creds, o.NKey, o.CA, o.Cert, o.Key} {
		if file == "" {
			continue
		}
		if _, err := bounded.ReadFile(file, MaxSecretBytes); err != nil {
			return fail(file, "name a file that can be read", errs.ErrNotFound, err)
		}
	}
	if o.Token != "" {
		opts = append(opts, nats.Token(o.Token))
	}
	if o.Creds != "" {
		opts = append(opts, nats.UserCredentials(o.Creds))
	}
	if o.NKey != "" {
		opt, err := nats.NkeyOptionFromSeed(o.NKey)
		if err != nil {
			return fail(o.NKey, "name a file with a user's nkey seed, which begins with SU", errs.ErrCorrupt, err)
		}
		opts = append(opts, opt)
	}
	if o.CA == "" && o.Cert == "" {
		return opts, nil
	}
	// Without the wish for TLS, a broker that offers none would be spoken to in
	// the clear, by one who has named whom to trust.
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if o.CA != "" {
		raw, err := bounded.ReadFile(o.CA, MaxSecretBytes)
		if err != nil {
			return fail(o.CA, "name a file that can be read", errs.ErrNotFound, err)
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(raw) {
			return fail(o.CA, "name a PEM file of certificates", errs.ErrCorrupt, errors.New("it holds no certificate"))
		}
	}
	if o.Cert != "" {
		if _, err := tls.LoadX509KeyPair(o.Cert, o.Key); err != nil {
			return fail(o.Cert, "name the PEM files of a certificate and of its key", errs.ErrCorrupt, err)
		}
		// Read again at each handshake: certificates are renewed under a running process.
		conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(o.Cert, o.Key)
			return &pair, err
		}
	}
	return append(opts, nats.Secure(conf)), nil
}

// refusedConnection says in our words why a first connection did not come about.
func refusedConnection(where string, err error) error {
	fail := func(kind error, hint string) error {
		return errs.New("connect to broker", where, hint, errs.BecauseErr(kind, err))
	}
	var (
		authority x509.UnknownAuthorityError
		host      x509.HostnameError
		expired   x509.CertificateInvalidError
		alert     tls.AlertError
	)
	text := err.Error()
	switch {
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired), errors.Is(err, nats.ErrAuthRevoked), errors.Is(err, nats.ErrAccountAuthExpired):
		return fail(errs.ErrDenied, "give what this broker knows us by: --creds, --nkey or --token")
	case errors.Is(err, nats.ErrNkeysNotSupported):
		return fail(errs.ErrDenied, "give --creds or --token: this broker has no nkeys")
	case errors.As(err, &authority):
		return fail(errs.ErrUnavailable, "give --tls-ca FILE, the authority that signed the broker's certificate")
	case errors.As(err, &host):
		return fail(errs.ErrUnavailable, "connect by a name that is in the broker's certificate")
	case errors.As(err, &expired):
		return fail(errs.ErrUnavailable, "have the broker's certificate renewed, and see that the clocks are right")
	case errors.As(err, &alert), strings.Contains(text, "tls: certificate required"), strings.Contains(text, "remote error: tls"), strings.Contains(text, "after TLS handshake"):
		return fail(errs.ErrDenied, "give --tls-cert and --tls-key, signed by an authority that the broker trusts")
	case errors.Is(err, nats.ErrSecureConnWanted):
		return fail(errs.ErrUnavailable, "leave --tls-ca and --tls-cert out, or configure TLS in the broker")
	}
	return fail(errs.ErrUnavailable, "start `nats-server -js`, or correct --nats")
}
