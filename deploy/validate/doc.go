// Package validate checks the files in deploy with the parsers of the programs that read them:
// Kubernetes' and KEDA's own types, compose-go, BuildKit, Prometheus, and where it is asked
// to (make systemd, make kubernetes) systemd and Kubernetes' API server themselves. It is a
// module of its own, so that their dependencies are not the programs'. The names in
// these files, of metrics, flags and ports, are compared with the programs by tests of
// cmd, and the nats-server's configuration by cmd/internal/access.
//
//	cd deploy/validate && go test ./...
package validate
