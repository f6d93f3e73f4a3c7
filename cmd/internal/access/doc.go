// Package access is how every command finds its broker: one set of flags, one set
// of environment variables, one role; or starts one in its own process (Embed).
//
//	flag            environment    meaning
//	--nats          NATS_URL       nats://host:4222, tls://host:4222; several, comma-separated
//	--creds         NATS_CREDS     file of a user's JWT and nkey (operator mode)
//	--nkey          NATS_NKEY      file of a user's nkey seed
//	--token         NATS_TOKEN     token
//	--token-file    -              file that contains only the token
//	--tls-ca        NATS_CA        PEM file: the authority that signed the broker's certificate
//	--tls-cert      NATS_CERT      PEM file: our certificate, if the broker asks for one
//	--tls-key       NATS_KEY       PEM file: the certificate's key
//
// The environment variables are those of the `nats` command line. A flag overrides the
// environment; a flag with credentials overrides all credentials in the environment.
// Every user of the machine can read a token on a command line: use a file or the
// environment.
//
// Keys makes such files for one's own broker: certificates, nkeys, credentials, and the
// broker's configuration for them.
package access
