package access

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"net"
	"path/filepath"
	"time"

	"resslt/batcher/broker"
	"resslt/schemas/bounded"
	"resslt/schemas/errs"
)

// pair is a certificate and its key, as parsed.
type pair struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// certificates issues the broker's certificate and one for each role of each tenant,
// signed by the folder's authority, which is kept. They are issued again each time: run
// it before they expire.
func (o KeyOptions) certificates(tenants []account) error {
	now := time.Now().Add(-time.Hour) // clocks differ
	ca, err := o.authority(now)
	if err != nil {
		return err
	}
	server := &x509.Certificate{
		Subject: pkix.Name{CommonName: o.Hosts[0]}, NotBefore: now, NotAfter: now.Add(o.Valid),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, h := range o.Hosts {
		if ip := net.ParseIP(h); ip != nil {
			server.IPAddresses = append(server.IPAddresses, ip)
		} else {
			server.DNSNames = append(server.DNSNames, h)
		}
	}
	if _, err := issue(filepath.Join(o.Dir, "server"), server, ca); err != nil {
		return err
	}
	for _, t := range tenants {
		for _, r := range t.roles {
			client := &x509.Certificate{
				Subject:   pkix.Name{CommonName: string(r), Organization: []string{t.name}},
				NotBefore: now, NotAfter: now.Add(o.Valid),
				KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
			}
			if _, err := issue(filepath.Join(o.Dir, t.name, string(r)), client, ca); err != nil {
				return err
			}
		}
	}
	return nil
}

// authority reads the folder's authority, or creates it.
func (o KeyOptions) authority(now time.Time) (*pair, error) {
	name := filepath.Join(o.Dir, "ca")
	ca, err := readPair(name)
	if !errors.Is(err, fs.ErrNotExist) {
		return ca, err
	}
	return issue(name, &x509.Certificate{
		Subject: pkix.Name{CommonName: "resslt farm"}, NotBefore: now, NotAfter: now.AddDate(10, 0, 0),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}, nil)
}

// issue writes NAME.pem and NAME.key: a new key, and the template signed by ca, or
// self-signed if ca is nil.
func issue(name string, template *x509.Certificate, ca *pair) (*pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, keyError(name, err)
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
		return nil, keyError(name, err)
	}
	signer := &pair{template, key}
	if ca != nil {
		signer = ca
	}
	der, err := x509.CreateCertificate(rand.Reader, template, signer.cert, &key.PublicKey, signer.key)
	if err != nil {
		return nil, keyError(name, err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, keyError(name, err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, keyError(name, err)
	}
	if err := writeSecret(name+".key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})); err != nil {
		return nil, err
	}
	return &pair{cert, key}, write(name+".pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644)
}

func readPair(name string) (*pair, error) {
	bad := func(file string, err error) (*pair, error) {
		return nil, errs.New("read key", file, "restore it, or remove "+name+".pem and .key to make another", errs.BecauseErr(errs.ErrCorrupt, err))
	}
	der := map[string][]byte{}
	for _, ext := range []string{".pem", ".key"} {
		raw, err := bounded.ReadFile(name+ext, broker.MaxSecretBytes)
		if err != nil {
			return nil, err
		}
		block, _ := pem.Decode(raw)
		if block == nil {
			return bad(name+ext, errors.New("it is not PEM"))
		}
		der[ext] = block.Bytes
	}
	cert, err := x509.ParseCertificate(der[".pem"])
	if err != nil {
		return bad(name+".pem", err)
	}
	key, err := x509.ParsePKCS8PrivateKey(der[".key"])
	if err != nil {
		return bad(name+".key", err)
	}
	ec, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return bad(name+".key", errors.New("it is not an ECDSA key"))
	}
	return &pair{cert, ec}, nil
}
