package broker

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"sync/atomic"

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
// renewed under a running process. asked is set when the broker asks for our certificate.
func (o ConnectOptions) secrets(asked *atomic.Bool) ([]nats.Option, error) {
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
	}
	conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		asked.Store(true)
		if o.Cert == "" {
			return &tls.Certificate{}, nil // it is for the broker to refuse
		}
		// Read again at each handshake: certificates are renewed under a running process.
		pair, err := tls.LoadX509KeyPair(o.Cert, o.Key)
		return &pair, err
	}
	if o.CA == "" && o.Cert == "" {
		return append(opts, func(n *nats.Options) error { n.TLSConfig = conf; return nil }), nil
	}
	// Without the wish for TLS, a broker that offers none would be spoken to in
	// the clear, by one who has named whom to trust.
	return append(opts, nats.Secure(conf)), nil
}
