// Package broker is how every command finds its broker: one set of flags, one set
// of environment variables, one role; or starts one in its own process (Embed).
//
//	flag            environment    what it is
//	--nats          NATS_URL       nats://host:4222, tls://host:4222; several, comma-separated
//	--creds         NATS_CREDS     file of a user's JWT and nkey (operator mode)
//	--nkey          NATS_NKEY      file of a user's nkey seed
//	--token         NATS_TOKEN     token
//	--token-file    -              file that holds the token and nothing else
//	--tls-ca        NATS_CA        PEM file: who may have signed the broker's certificate
//	--tls-cert      NATS_CERT      PEM file: our certificate, where the broker asks for one
//	--tls-key       NATS_KEY       PEM file: its key
//
// The environment's names are those of the `nats` command line. A flag beats the
// environment; a flag that says who we are beats all of the environment that does.
// A token on a command line can be read by everybody on the machine: give a file or
// the environment.
//
// Keys makes such files for a broker of one's own: certificates, nkeys,
// credentials, and the broker's configuration for them.
package broker
